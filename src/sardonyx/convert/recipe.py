"""Made-up arrays that anyone can make again from a few words, on any machine and version."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import UsageError

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass(frozen=True)
class Recipe:
    """How to make an array: normal, bits (0 and 1), choice (among `values`), small or large.

    The same words give the same bits anywhere: numbers come from SplitMix64 (Steele, Lea and
    Flood 2014), floats from sums of them, which are exact.
    """

    kind: str
    dtype: DType
    shape: tuple[int, ...]
    seed: int = 0
    values: tuple[Any, ...] = ()

    def array(self) -> Array:
        """The array."""
        found = _KINDS[self.kind](self)
        if self.dtype.is_string:
            return np.asarray(found, object)
        return np.asarray(found).astype(self.dtype.numpy)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        made: dict[str, Any] = {"kind": self.kind, "dtype": str(self.dtype)}
        made |= {"shape": list(self.shape), "seed": self.seed}
        return made | ({"values": list(self.values)} if self.values else {})

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Recipe:
        """The inverse of `to_dict`; ValueError, TypeError or KeyError for anything else."""
        kind = str(told["kind"])
        if kind not in _KINDS:
            raise ValueError(f"no arrays are made by `{kind}`")
        shape = tuple(int(n) for n in told["shape"])
        values = tuple(told.get("values", ()))
        return cls(kind, DType.parse(told["dtype"]), shape, int(told["seed"]), values)


def recipe_of(
    dtype: DType, shape: tuple[int, ...], seed: int, values: Sequence[Any] = ()
) -> Recipe:
    """What suits a type: one of `values`, 0 and 1 for integers (valid as indices and as masks),
    normal numbers for floats; UsageError (E0913) where nothing does.
    """
    if values:
        return Recipe("choice", dtype, shape, seed, tuple(values))
    if dtype.is_bool or dtype.is_int:
        return Recipe("bits", dtype, shape, seed)
    if not dtype.is_float or dtype.bits < 16:
        raise UsageError("E0913", f"no inputs of type {dtype} can be made up")
    return Recipe("normal", dtype, shape, seed)


def positions(size: int, count: int) -> Array:
    """`count` of the numbers below `size`, the same ones on any machine."""
    drawn = _words(Recipe("bits", DType.INT64, (count,), size))
    return np.asarray(drawn % np.uint64(size)).astype(np.int64)


def _words(recipe: Recipe, stream: int = 0) -> Array:
    """64 random bits for each element, of an independent stream for each `stream`."""
    count = math.prod(recipe.shape)
    with np.errstate(over="ignore"):
        start = np.uint64((recipe.seed * 16 + stream + 1) * _FIRST % 2**64)
        z = start + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
        z = z ^ (z >> np.uint64(31))
    return np.asarray(z.reshape(recipe.shape))


def _uniform(recipe: Recipe, stream: int) -> Array:
    found: Array = (_words(recipe, stream) >> np.uint64(40)).astype(np.float64) / 2**24
    return found


def _normal(recipe: Recipe) -> Array:
    """Sums of twelve uniform numbers: mean 0, variance 1, at most 6 in size."""
    total = sum((_uniform(recipe, n) for n in range(12)), start=np.float64(-6.0))
    return np.asarray(total)


def _bits(recipe: Recipe) -> Array:
    found = np.asarray(_words(recipe) >> np.uint64(63)).astype(np.int64)
    if recipe.shape:
        found[..., :1] = 1  # a mask of a row must let something through
    return found


def _choice(recipe: Recipe) -> Array:
    held = np.asarray(recipe.values, object if recipe.dtype.is_string else None)
    return np.asarray(held[(_words(recipe) >> np.uint64(11)) % np.uint64(len(held))])


def _small(recipe: Recipe) -> Array:
    return _normal(recipe) / 1024.0


def _large(recipe: Recipe) -> Array:
    return _normal(recipe) * 100.0


_KINDS = {"normal": _normal, "bits": _bits, "choice": _choice, "small": _small, "large": _large}


def array_told(x: Any) -> dict[str, Any]:
    """An array of numbers or strings as JSON-ready data."""
    x = np.asarray(x)
    if x.dtype.kind in "OUST":
        return {"dtype": "string", "shape": list(x.shape), "items": x.reshape(-1).tolist()}
    data = base64.b64encode(np.ascontiguousarray(x).tobytes()).decode()
    return {"dtype": str(DType.from_numpy(x.dtype)), "shape": list(x.shape), "data": data}


def array_read(told: Mapping[str, Any]) -> Array:
    """The inverse of `array_told`; ValueError, TypeError or KeyError for anything else."""
    shape = tuple(int(n) for n in told["shape"])
    if "items" in told:
        return np.asarray(told["items"], object).reshape(shape)
    dtype = DType.parse(told["dtype"]).numpy
    return np.frombuffer(base64.b64decode(told["data"], validate=True), dtype).reshape(shape)
