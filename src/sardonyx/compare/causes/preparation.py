"""Inputs that one side expects prepared otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from sardonyx.compare.comparison import Reason
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.compare.sides import Outputs
from sardonyx.core.dtype import Array

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Step = Callable[[Array], Array]


class Preparation(Cause):
    """The order of channels, the range of pixels, the mean and spread of images."""

    name = "input preparation"
    remedy = "prepare the inputs of both sides alike, or put the step into the exported model"
    rank = 40

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The first step on the inputs that makes the sides agree."""
        for text, step in _steps(doubt):

            def answer(feeds: Mapping[str, Any], step: Step = step) -> Outputs:
                return doubt.side.feed(
                    {n: _prepared(np.asarray(x), step) for n, x in feeds.items()}
                )

            verdict = doubt.judged(answer)
            if verdict is not None and verdict.agree:
                said = f"the sides agree when it is fed its inputs {text}"
                yield doubt.reason(self, said, verdict.error)
                return


def _steps(doubt: Doubt) -> Iterator[tuple[str, Step]]:
    shapes = [np.shape(x) for c in doubt.cases for x in c.feeds.values()]
    axes = [axis for axis in (1, -1) if any(_colour(s, axis) for s in shapes)]
    for axis in axes:
        yield "with the channels reversed (RGB, BGR)", partial(_reversed, axis=axis)
    yield "divided by 255", lambda x: x / 255
    yield "multiplied by 255", lambda x: x * 255
    yield "as 2x - 1", lambda x: 2 * x - 1
    yield "as (x + 1) / 2", lambda x: (x + 1) / 2
    for axis in axes:
        yield "less ImageNet's mean, over its spread", partial(_normalised, axis=axis)
        yield "times ImageNet's spread, plus its mean", partial(_raw, axis=axis)


def _prepared(x: Array, step: Step) -> Array:
    if x.dtype.kind != "f":
        return x
    return np.ascontiguousarray(step(x).astype(x.dtype))


def _colour(shape: tuple[int, ...], axis: int) -> bool:
    return len(shape) == 4 and shape[axis] == 3


def _reversed(x: Array, axis: int) -> Array:
    return np.flip(x, axis) if _colour(x.shape, axis) else x


def _along(values: tuple[float, ...], axis: int) -> Array:
    return np.array(values).reshape((-1, 1, 1) if axis == 1 else (-1,))


def _normalised(x: Array, axis: int) -> Array:
    return (x - _along(_MEAN, axis)) / _along(_SPREAD, axis) if _colour(x.shape, axis) else x


def _raw(x: Array, axis: int) -> Array:
    return x * _along(_SPREAD, axis) + _along(_MEAN, axis) if _colour(x.shape, axis) else x


CAUSE = Preparation()
