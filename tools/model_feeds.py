"""Seeded inputs that a model accepts, found by asking ONNX Runtime."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Feeds = dict[str, NDArray[Any]]
Accepts = Callable[[Feeds], bool]

BATCH = re.compile(r"batch|^N$|^s\d+$|unk__|Dimension\.0$|^rows$", re.IGNORECASE)
PICTURE = re.compile(r"height|width|Dimension\.[12]$|^\?$", re.IGNORECASE)
BATCH_TWO = 2
PICTURES = (320, 192, 64, 48)
LENGTHS = (576, 200, 64, 16_000, 16, 4, 1)
BOUNDS = (256, 100, 20, 5, 2, 1)
FIXED = {"sr": 16_000}
DTYPES = {"float": np.float32, "double": np.float64, "float16": np.float16, "bool": np.bool_}


@dataclass(frozen=True)
class Wanted:
    """An input as ONNX Runtime describes it: a dim is a size, or the name of a symbol."""

    name: str
    kind: str
    dims: tuple[int | str, ...]

    @property
    def dtype(self) -> Any:
        """The element type."""
        return DTYPES.get(self.kind) or np.dtype(self.kind)

    @property
    def whole(self) -> bool:
        """Whether it holds integers of free choice."""
        fixed = self.name in FIXED or "mask" in self.name
        return np.issubdtype(self.dtype, np.integer) and not fixed


@dataclass
class Maker:
    """Makes feeds of given sizes; integers lie below the bounds, by name of the input."""

    inputs: Sequence[Wanted]
    bounds: dict[str, int] = field(default_factory=dict)

    def feeds(self, sizes: Mapping[str, int], seed: int) -> Feeds:
        """One array for each input."""
        rng = np.random.default_rng(seed)
        return {w.name: self._array(w, sizes, rng) for w in self.inputs}

    def _array(self, w: Wanted, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
        shape = tuple(sizes[d] if isinstance(d, str) else d for d in w.dims)
        if w.name in FIXED:
            return np.full(shape, FIXED[w.name], w.dtype)
        if w.whole:
            return rng.integers(0, self.bounds.get(w.name, 1), shape).astype(w.dtype)
        if w.dtype is np.bool_ or "mask" in w.name:
            return np.ones(shape, w.dtype)
        picture = len(shape) == 4 and 3 in (shape[1], shape[3])
        drawn = rng.random(shape) if picture else rng.standard_normal(shape)
        return drawn.astype(w.dtype)

    def raise_bounds(self, sizes: Mapping[str, int], accepts: Accepts) -> None:
        """Gives each input of integers the widest range that is accepted, one after another."""
        for w in self.inputs:
            if w.whole:
                self.bounds[w.name] = self._widest(w.name, sizes, accepts)

    def _widest(self, name: str, sizes: Mapping[str, int], accepts: Accepts) -> int:
        for bound in BOUNDS:
            self.bounds[name] = bound
            if accepts(self.feeds(sizes, 0)):
                return bound
        return 1


def wanted(inputs: Sequence[Any]) -> list[Wanted]:
    """What `InferenceSession.get_inputs` says; a dim without a name is a symbol of its own."""
    found = []
    for i in inputs:
        dims = [
            d if (isinstance(d, int) and d > 0) or (isinstance(d, str) and d not in ("", "?"))
            else _nameless(i, axis)
            for axis, d in enumerate(i.shape)
        ]  # fmt: skip
        found.append(Wanted(i.name, i.type[len("tensor(") : -1], tuple(dims)))
    return found


def _nameless(value: Any, axis: int) -> str:
    if axis == 0 or (axis == 1 and value.name == "state"):
        return "batch"
    return "?" if len(value.shape) == 4 else f"{value.name}:{axis}"


def cases(inputs: Sequence[Wanted], accepts: Accepts) -> Iterator[tuple[dict[str, int], Feeds]]:
    """Sizes and feeds that are accepted: one of batch 1, and one that differs in all it can."""
    symbols = list(dict.fromkeys(d for w in inputs for d in w.dims if isinstance(d, str)))
    maker = Maker(inputs)

    def accepted(sizes: Mapping[str, int]) -> bool:
        return accepts(maker.feeds(sizes, 0))

    first = next(filter(accepted, _sizes(symbols, 1)), None)
    if first is None:
        return
    maker.raise_bounds(first, accepts)
    yield first, maker.feeds(first, 1)
    others = [s for batch in (BATCH_TWO, 1) for s in _sizes(symbols, batch) if s != first]
    others.sort(key=lambda s: sum(s[n] == first[n] for n in s))
    second = next(filter(accepted, others), None)
    if second is not None:
        yield second, maker.feeds(second, 2)


def _sizes(symbols: Sequence[str], batch: int) -> Iterator[dict[str, int]]:
    """One size for all edges of pictures, one for all lengths."""
    batches = [s for s in symbols if BATCH.search(s)]
    pictures = [s for s in symbols if s not in batches and PICTURE.search(s)]
    lengths = [s for s in symbols if s not in batches and s not in pictures]
    for picture in PICTURES if pictures else (1,):
        for length in LENGTHS if lengths else (1,):
            known = dict.fromkeys(batches, batch) | dict.fromkeys(pictures, picture)
            yield known | dict.fromkeys(lengths, length)
