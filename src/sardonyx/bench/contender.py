"""Who takes part in a measurement, and how a worker process brings one to life."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sardonyx.core.errors import NotFound

Arrays = dict[str, NDArray[Any]]
Run = Callable[[], Sequence[NDArray[Any]]]


class Prepared(Protocol):
    """A model made ready to run; `names` are its outputs in the order that runs give them."""

    names: Sequence[str]
    settings: Mapping[str, Any]

    def bind(self, feeds: Arrays) -> Run:
        """A run of these feeds without arguments, as a caller in a loop would write it."""
        ...


@dataclass(frozen=True)
class Contender:
    """One side of a measurement, as plain data that another process can read.

    `factory` is `module:function`; in a fresh process the function is called with the keyword
    arguments of `options` and `threads`, and returns a `Prepared`. Its import is not timed, its
    call is. `environment` is set before anything is imported.
    """

    label: str
    factory: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The contender as JSON-ready data."""
        return {
            "label": self.label,
            "factory": self.factory,
            "options": dict(self.options),
            "environment": dict(self.environment),
        }


def find_factory(place: str) -> Callable[..., Prepared]:
    """The function that `module:function` names; NotFound where there is none."""
    module, _, name = place.partition(":")
    try:
        return cast("Callable[..., Prepared]", getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError) as problem:
        raise NotFound(
            "E0740", f"the contender `{place}` cannot be imported: {problem}", wanted="module:name"
        ) from problem


def load_pool(path: str) -> list[Arrays]:
    """The input sets of a pool file with keys `in|0|name`."""
    sets: dict[int, Arrays] = {}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            kind, index, name = key.split("|", 2)
            if kind == "in":
                sets.setdefault(int(index), {})[name] = stored[key]
    return [sets[index] for index in sorted(sets)]


def save_pool(path: str, sets: Sequence[Mapping[str, NDArray[Any]]], kind: str = "in") -> None:
    """Write input sets (or output sets, with kind `out`) in the form that `load_pool` reads."""
    rows = {f"{kind}|{i}|{name}": a for i, row in enumerate(sets) for name, a in row.items()}
    np.savez(path, allow_pickle=False, **rows)
