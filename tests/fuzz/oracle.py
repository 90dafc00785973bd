"""What a graph must give, and how far off an honest implementation may be.

The reference runs once as it is and a few times with every float that an operator rounds, and every
float fed, moved by a few units in the last place. How far that moves an output element is what
rounding anywhere in the graph may do to it; an integer, or a NaN, that it flips is undecided.
Others than us, whose functions are less exact, are given more, and units of 1 too; and what may be
off by as much as it is, may be anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from sardonyx.core import floats
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.graph.evaluate import Walk
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.op import Op

RUNS = 5
ULPS = 8.0
LOOSE = 16.0
SLACK = 6.0
SINGLE = float(np.finfo(np.float32).eps)
CANCELLING = ("Gelu", "Mish", "Swish", "HardSwish")
# Operators whose results are off by units in the last place of the largest of them.
WAVES = ("DFT", "STFT")
# Operators of this domain compute in float32 whatever they are fed.
TABLES = "ai.onnx.ml"
# Operators whose further operands say a shape.
SHAPING = ("Resize", "Upsample")


Spread = Callable[[bool], list[Array]]


@dataclass(frozen=True)
class Wanted:
    """An output as the reference has it; `spread(loose)` is what rounding may do to each output.

    `doubtful`: a NaN came up on the way, or something empty was fed, of which others than us have
    opinions of their own.
    """

    array: Array
    place: int
    doubtful: bool
    spread: Spread = field(repr=False)

    def complaint(self, found: Array, loose: bool = False) -> str:
        """What is wrong with an output, or an empty string."""
        if found.dtype != self.array.dtype or found.shape != self.array.shape:
            return f"{found.dtype}{found.shape} for {self.array.dtype}{self.array.shape}"
        apart, allowed = off(found, self.array), floor(self.array)
        if (apart <= allowed).all():
            return ""
        more = SLACK * self.spread(loose)[self.place]
        if loose:
            more = np.where(more > off(self.array, np.zeros_like(self.array)), np.inf, more)
        allowed = allowed + more
        wrong = apart > allowed
        if not wrong.any():
            return ""
        at = tuple(int(n) for n in np.argwhere(wrong)[0])
        said = f"{int(wrong.sum())} of {wrong.size} elements, first {list(at)}: "
        return f"{said}{found[at]} for {self.array[at]} ± {allowed[at]:.3g}"


def off(found: Array, wanted: Array) -> Array:
    """The distance of elements in float64: 0 where equal, inf where only one is a number."""
    if not _rounds(found.dtype):
        return np.where(found == wanted, 0.0, np.inf)
    wide = _wide(found.dtype)
    a, b = (found.astype(wide), wanted.astype(wide))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(a - b)
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def wanted(graph: Graph, feeds: Mapping[str, Any]) -> list[Wanted]:
    """The outputs in order; raises what the reference raises."""
    walk = _Rounded(Limits.current(), met_nan=any(map(_has_nan, feeds.values())))
    exact = _outputs(walk, graph, feeds)

    @functools.cache
    def spread(loose: bool) -> list[Array]:
        found = [np.zeros(a.shape) for a in exact]
        for n in range(4 * RUNS if loose else RUNS):
            try:
                rng = np.random.default_rng(n)
                moved = _outputs(_Rounded(Limits.current(), rng=rng, loose=loose), graph, feeds)
            except SardonyxError:
                return [np.full(a.shape, np.inf) for a in exact]
            for total, a, b in zip(found, moved, exact, strict=True):
                np.maximum(total, off(a, b) if a.shape == b.shape else np.inf, out=total)
        return found

    doubtful = walk.met_nan or any(np.size(a) == 0 for a in feeds.values())
    return [Wanted(a, n, doubtful, spread) for n, a in enumerate(exact)]


def floor(a: Array) -> Array:
    """Where everything is exact, functions may still differ by a few units in the last place."""
    if not _rounds(a.dtype):
        return np.zeros(a.shape)
    info = _info(a.dtype)
    size = np.abs(a.astype(_wide(a.dtype)))
    few = float(info.eps) * 4
    return np.where(np.isfinite(size), size * few + float(info.tiny) * 4, 0.0)


def _outputs(walk: _Rounded, graph: Graph, feeds: Mapping[str, Any]) -> list[Array]:
    env: dict[Value, Any] = {v: walk.moved(feeds[v.name]) for v in graph.inputs}
    with np.errstate(all="ignore"), floats.standard():
        return [np.asarray(a) for a in walk.body(graph, env)]


@dataclass
class _Rounded(Walk):
    """A run of the reference in which every float that an operator rounds is moved a little."""

    rng: np.random.Generator | None = None
    met_nan: bool = False
    loose: bool = False

    def apply(self, node: Node, arrays: list[Any], env: dict[Value, Any]) -> tuple[Any, ...]:
        op = node.op
        if op.has("control"):
            return super().apply(node, arrays, env)
        found: Sequence[Any] = super().apply(node, self.terms(op, arrays), env)
        self.met_nan = self.met_nan or any(map(_has_nan, found))
        if op.tolerance != "exact":
            found = [self.moved(a) for a in found]
        if op.op_type in CANCELLING:
            found = [_shaken(a, arrays[0], self.rng) for a in found]
        if op.op_type in WAVES or op.domain == TABLES:
            found = [_shaken(a, _largest(a), self.rng) for a in found]
        return tuple(found)

    def terms(self, op: Op, arrays: list[Any]) -> list[Any]:
        """The operands of a sum, moved as the products and partial sums in it may be."""
        if op.tolerance != "reduction":
            return arrays
        moved = arrays[:1] if op.op_type in SHAPING else arrays
        least = SINGLE if op.domain == TABLES else 0.0
        return [*(self.moved(a, least) for a in moved), *arrays[len(moved) :]]

    def moved(self, a: Any, least: float = 0.0) -> Any:
        """Floats moved a little; anything else as it is."""
        if self.rng is None or not isinstance(a, np.ndarray) or not _rounds(a.dtype):
            return a
        eps = max(float(_info(a.dtype).eps), least)
        few = (ULPS if eps < 1e-4 else 2.0) * (LOOSE if self.loose else 1.0) * eps
        wide = a.astype(_wide(a.dtype))
        with np.errstate(all="ignore"):
            made = wide * (1 + self.rng.uniform(-1, 1, a.shape) * few)
            if self.loose:
                made += self.rng.uniform(-1, 1, a.shape) * max(few, LOOSE * SINGLE)
            return np.asarray(made.astype(a.dtype))


def _rounds(dtype: np.dtype[Any]) -> bool:
    kind = DType.from_numpy(dtype)
    return kind.is_float or kind.is_complex


def _has_nan(a: Any) -> bool:
    return isinstance(a, np.ndarray) and _rounds(a.dtype) and bool(np.isnan(a).any())


def _wide(dtype: np.dtype[Any]) -> type[Any]:
    return np.complex128 if dtype.kind == "c" else np.float64


def _info(dtype: np.dtype[Any]) -> Any:
    real = np.zeros((), dtype).real.dtype if dtype.kind == "c" else dtype
    return ml_dtypes.finfo(real)  # type: ignore[no-untyped-call]


def _largest(made: Any) -> Any:
    """The size of the largest number, for each element."""
    if not isinstance(made, np.ndarray) or not _rounds(made.dtype):
        return None
    size = np.abs(made.astype(_wide(made.dtype)))
    return np.full(made.shape, np.max(size, initial=0.0, where=np.isfinite(size)))


def _shaken(made: Any, x: Array | None, rng: np.random.Generator | None) -> Any:
    """`made` moved by what is little beside the operand."""
    if rng is None or x is None or x.shape != made.shape:
        return made
    size = np.abs(x.astype(np.float64)) * 2 * float(_info(made.dtype).eps)
    return np.asarray((made + rng.uniform(-1, 1, made.shape) * size).astype(made.dtype))
