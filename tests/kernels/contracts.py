"""Raw matrix products for the tests, over flat buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const, fresh, load, product, scalar
from sardonyx.loops.build import Closed, Sizes, contraction
from sardonyx.loops.ir import Contract, Store

Dim = Expr | int
Dims = Sequence[Dim]
Env = Mapping[Expr, int]
Finish = Callable[[Expr, Expr, Expr], Expr]
INT32 = DType.INT32


@dataclass(frozen=True)
class Case:
    """A raw kernel, the arrays of its parameters (the output first) and what it must compute."""

    closed: Closed
    arrays: list[Array]
    wanted: Array
    symbols: list[int] = field(default_factory=list)


@dataclass
class Memory:
    """Named arrays and their symbolic dims; `env` gives the values of the symbols."""

    env: Env
    arrays: dict[str, Array] = field(default_factory=dict)
    dims: dict[str, Dims] = field(default_factory=dict)

    def shape(self, dims: Dims) -> tuple[int, ...]:
        """Symbolic dims as numbers."""
        return tuple(self.env[d] if isinstance(d, Expr) else d for d in dims)

    def add(self, key: str, array: Array, dims: Dims) -> Array:
        """Names an array."""
        self.arrays[key], self.dims[key] = array, dims
        return array

    def out(self, dims: Dims, dtype: DType) -> None:
        """Room for the output."""
        self.add("out", np.zeros(self.shape(dims), dtype.numpy), dims)

    def at(self, key: str, subscripts: Sequence[Expr]) -> Expr:
        """An element of an array."""
        kind = DType.from_numpy(self.arrays[key].dtype)
        return load(key, [flat(self.dims[key], subscripts)], kind)

    @property
    def sizes(self) -> Sizes:
        """Element type and count of every buffer, for `close`."""
        return {
            key: (DType.from_numpy(a.dtype), product(map(const, self.dims[key])))
            for key, a in self.arrays.items()
        }

    def case(self, closed: Closed, wanted: Array) -> Case:
        """The test case of a kernel over these arrays."""
        ordered = [self.arrays[key].reshape(-1) for key in closed.params]
        symbols = [self.env[s] for s in closed.symbols]
        return Case(closed, ordered, wanted.reshape(-1), symbols)

    def contraction(self, contract: Contract, wanted: Array) -> Case:
        """The test case of a contraction."""
        return self.case(contraction(contract, "out", self.sizes), wanted)


def flat(dims: Dims, subscripts: Sequence[Expr]) -> Expr:
    """The row-major position of subscripts."""
    total = const(0)
    for d, i in zip(dims, subscripts, strict=True):
        total = total * d + i
    return total


def values(rng: np.random.Generator, shape: Sequence[int], dtype: DType) -> Array:
    """Random elements of a type on which sums of products are exact or well conditioned."""
    if dtype.is_float:
        return rng.standard_normal(tuple(shape)).astype(dtype.numpy)
    low, high = -5, 6
    if dtype.bits == 8:
        low, high = (-128, 128) if dtype.is_signed else (0, 256)
    return rng.integers(low, high, tuple(shape)).astype(dtype.numpy)


@dataclass(frozen=True)
class Finishing:
    """What becomes of a sum: an expression of (sum, row, column), its arrays, and numpy's form."""

    value: Finish
    extra: Mapping[str, Array]
    apply: Callable[[Array], Array]


def matmul(
    m: Dim,
    n: Dim,
    k: Dim,
    *,
    batch: Dim | None = None,
    dtype: DType = DType.FLOAT32,
    transposed: tuple[bool, bool] = (False, False),
    env: Env | None = None,
    finishing: Finishing | None = None,
    stored: DType | None = None,
) -> Case:
    """out[b, m, n] = finish(sum over k of a[b, m, k] * w[b, k, n]), `transposed` in memory.

    `stored` is the element type of the operands in memory, `dtype` that of the sum.
    """
    memory, rng = Memory(dict(env or {})), np.random.default_rng(0)
    lead: Dims = () if batch is None else (batch,)
    b_, (m_, n_, k_) = tuple(map(fresh, lead)), tuple(map(fresh, (m, n, k)))
    factors, wide = [], []
    exact = np.float64 if dtype.is_float else np.int64
    sides = (("a", (m, k), (m_, k_)), ("w", (k, n), (k_, n_)))
    for (key, dims, subscripts), turned in zip(sides, transposed, strict=True):
        order = -1 if turned else 1
        memory.add(
            key,
            values(rng, memory.shape((*lead, *dims[::order])), stored or dtype),
            (*lead, *dims[::order]),
        )
        array = memory.arrays[key].astype(exact)
        wide.append(np.swapaxes(array, -1, -2) if turned else array)
        factors.append(cast(memory.at(key, (*b_, *subscripts[::order])), dtype))
    wanted = np.asarray(np.matmul(*wide))
    acc = scalar("acc", dtype)
    value = acc
    if finishing is not None:
        value = finishing.value(acc, m_, n_)
        wanted = finishing.apply(wanted)
        for key, array in finishing.extra.items():
            memory.add(key, array, array.shape)
    memory.out((*lead, m, n), value.dtype)
    store = Store(0, flat((*lead, m, n), (*b_, m_, n_)), value)
    left, right = factors
    contract = Contract(b_, (m_,), (n_,), (k_,), acc, left, right, (store,))
    return memory.contraction(contract, wanted)


Zeros = tuple[str | None, str | None]


def matmul_bytes(
    m: Dim,
    n: Dim,
    k: Dim,
    kinds: tuple[DType, DType],
    zeros: Zeros,
    *,
    batch: int | None = None,
    env: Env | None = None,
) -> Case:
    """A product of bytes less zero points: None, "one" for all, one for "rows" or "columns"."""
    memory, rng = Memory(dict(env or {})), np.random.default_rng(0)
    lead: Dims = () if batch is None else (batch,)
    b_, (m_, n_, k_) = tuple(map(fresh, lead)), tuple(map(fresh, (m, n, k)))
    along: dict[str, tuple[Dim, Expr]] = {"one": (1, const(0)), "rows": (m, m_), "columns": (n, n_)}
    factors, wide = [], []
    sides = (("a", (m, k), (m_, k_)), ("w", (k, n), (k_, n_)))
    for i, (key, dims, subscripts) in enumerate(sides):
        whole = (*lead, *dims)
        array = memory.add(key, values(rng, memory.shape(whole), kinds[i]), whole)
        factor, exact = (cast(memory.at(key, (*b_, *subscripts)), INT32), array.astype(np.int64))
        which = zeros[i]
        if which is not None:
            extent, place = along[which]
            zero = values(rng, memory.shape((extent,)), kinds[i])
            memory.add(f"zero{i}", zero, (extent,))
            factor = factor - cast(memory.at(f"zero{i}", (place,)), INT32)
            shift = zero.astype(np.int64)
            exact = exact - (shift[:, None] if which == "rows" else shift)
        factors.append(factor)
        wide.append(exact)
    acc = scalar("acc", INT32)
    memory.out((*lead, m, n), INT32)
    store = Store(0, flat((*lead, m, n), (*b_, m_, n_)), acc)
    left, right = factors
    contract = Contract(b_, (m_,), (n_,), (k_,), acc, left, right, (store,))
    return memory.contraction(contract, np.asarray(np.matmul(*wide)))
