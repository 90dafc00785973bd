"""Steps behind the outputs that one side has and the other has not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from sardonyx.compare.comparison import Reason
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.core.dtype import Array

_BITS = 10.0
_MOST_AXES = 4


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    found: Array = powers / powers.sum(axis=axis, keepdims=True)
    return found


def _steps(rank: int) -> Iterator[tuple[str, Callable[[Array], Any]]]:
    yield "a sigmoid", lambda x: 1 / (1 + np.exp(-x))
    yield "a tanh", np.tanh
    yield "a ReLU", lambda x: np.maximum(x, 0)
    yield "an exponential", np.exp
    for axis in range(-1, -rank - 1, -1):
        yield f"a softmax over axis {axis}", partial(_softmax, axis=axis)
        yield f"a log-softmax over axis {axis}", partial(_log_softmax, axis=axis)
    for axis in range(-1, -rank - 1, -1):
        yield f"an arg-max over axis {axis}", partial(np.argmax, axis=axis)
        keep = f"an arg-max over axis {axis}, which is kept"
        yield keep, partial(np.argmax, axis=axis, keepdims=True)
    axes = range(rank) if rank <= _MOST_AXES else range(0)
    for order in permutations(axes):
        if order != tuple(axes):
            yield f"a transpose to {list(order)}", partial(np.transpose, axes=order)


class PostProcessing(Cause):
    """Sigmoid, softmax, arg-max, a transpose: on the outputs of one side only."""

    name = "post-processing"
    remedy = "leave the step out on both sides, or add it where it is missing"
    rank = 5
    inner = False

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The first step that makes the outputs of this side those of the other."""
        sizes = _sizes(doubt)
        for text, step in _steps(max((len(s) for s in sizes), default=0)):
            if "arg-max" in text and _bits(sizes) < _BITS:
                continue
            verdict = doubt.outputs(partial(_stepped, step))
            if verdict is not None and verdict.agree:
                said = f"behind its outputs {text} is missing; with it the sides agree"
                yield doubt.reason(self, said, verdict.error)
                return


def _log_softmax(x: Array, axis: int) -> Array:
    found: Array = np.log(_softmax(x, axis))
    return found


def _stepped(step: Callable[[Array], Any], _: str, x: Any) -> Array:
    made: Array = step(np.asarray(x))
    return made.astype(x.dtype) if made.dtype.kind == "f" else made


def _sizes(doubt: Doubt) -> list[tuple[int, ...]]:
    """The shapes of the outputs that differ, of every case."""
    shapes: list[tuple[int, ...]] = []

    def note(_: str, x: Array) -> Array:
        shapes.append(np.shape(x))
        return x

    doubt.outputs(note)
    return shapes


def _bits(sizes: list[tuple[int, ...]]) -> float:
    """How surely equal indices are no coincidence."""
    found = 0.0
    for shape in sizes:
        most = max(shape, default=1)
        found += float(np.prod(shape)) / max(most, 1) * float(np.log2(max(most, 1)))
    return found


CAUSE = PostProcessing()
