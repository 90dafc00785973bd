"""What shape inference shares: axes, broadcasting, known values, assumptions and refusals.

Dims are Expr. Where two dims that must agree cannot be compared before running, the rule is
recorded as a pair of expressions that must be equal (`assume`), for the session to check.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeAlias

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument, InvalidGraph
from sardonyx.core.expr import (
    INDEX,
    Expr,
    cast,
    const,
    eq,
    maximum,
    minimum,
    number,
    product,
    show,
    symbol,
    where,
)
from sardonyx.core.limits import Limits
from sardonyx.graph.ir import Type

Dims: TypeAlias = tuple[Expr, ...]

_open = threading.local()
_counter = itertools.count()


@contextmanager
def assumptions() -> Iterator[list[tuple[Expr, Expr]]]:
    """Collects what inference in this thread assumes: pairs that must be equal when running."""
    outer = getattr(_open, "pairs", None)
    _open.pairs = pairs = list[tuple[Expr, Expr]]()
    try:
        yield pairs
    finally:
        _open.pairs = outer


def assume(a: Expr, b: Expr) -> None:
    """Records that inference takes `a` and `b` as equal, unless they are the same expression."""
    pairs = getattr(_open, "pairs", None)
    if pairs is not None and a is not b and (a, b) not in pairs:
        pairs.append((a, b))


def unknown_dim(stem: str, lower: int = 0) -> Expr:
    """A dim known only after the op has run; no two calls give the same symbol."""
    return symbol(f"_{stem}_{next(_counter)}", lower)


def unknown_dims(stem: str, count: int) -> tuple[Expr, ...]:
    """As many dims as a model says; LimitExceeded where that is no rank."""
    Limits.current().check_rank(count)
    return tuple(unknown_dim(stem) for _ in range(count))


def refuse(code: str, message: str, given: object = None, wanted: object = None) -> InvalidGraph:
    """The error for a node whose inputs cannot be what they are."""
    return InvalidGraph(code, message, given=given, wanted=wanted)


def like(x: Type, dtype: DType | None = None) -> Type:
    """`x` without its known value, of another element type if one is given."""
    return replace(x, value=None, dtype=dtype or x.dtype)


def text(shape: Iterable[Expr] | None) -> str:
    """A shape as messages show it."""
    return "[?]" if shape is None else "[" + ",".join(show(d) for d in shape) + "]"


def axis_of(axis: int, rank: int, what: str = "axis") -> int:
    """`axis` counted from 0; E0321 when it is not one of `rank` axes."""
    if -rank <= axis < rank:
        return axis % rank
    raise refuse("E0321", f"{what} {axis} of {rank} dims", axis, f"{-rank} … {rank - 1}")


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from 0, as given; E0321 for one out of range, E0325 for one given twice."""
    found = tuple(axis_of(a, rank) for a in axes)
    if len(set(found)) != len(found):
        raise refuse("E0325", "an axis is given twice", list(axes), "each axis once")
    return found


def need_rank(x: Type, least: int, most: int | None = None, what: str = "the input") -> None:
    """E0320 unless the rank is unknown or in the range."""
    most = most if most is not None else 1 << 16
    if x.rank is not None and not least <= x.rank <= most:
        wanted = f"{least} dims" if least == most else f"at least {least} dims"
        raise refuse("E0320", f"{what} has {x.rank} dims", text(x.shape), wanted)


def common_dtype(*types: Type | None) -> DType | None:
    """The one element type of the inputs whose type is known; E0323 when they differ."""
    known = [t.dtype for t in types if t is not None and t.dtype is not None]
    if known and any(d is not known[0] for d in known):
        raise refuse("E0323", "the inputs must have one element type", ", ".join(map(str, known)))
    return known[0] if known else None


def same_dim(a: Expr, b: Expr) -> Expr:
    """The dim that both `a` and `b` are; assumes it where it cannot be proved, E0322 if not so."""
    if a is b:
        return a
    if a.is_const and b.is_const:
        raise refuse("E0322", "two dims must be equal", show(a), show(b))
    assume(a, b)
    if a.is_const or b.is_const:
        return a if a.is_const else b
    return b if b.op == "var" and a.op != "var" else a


def same_shape(a: Dims, b: Dims) -> Dims:
    """`same_dim` over two shapes of one rank."""
    if len(a) != len(b):
        raise refuse("E0320", "two shapes must have as many dims", text(a), text(b))
    return tuple(same_dim(x, y) for x, y in zip(a, b, strict=True))


def at_most(a: Expr, b: Expr) -> None:
    """Assumes that `a` is not more than `b`; E0322 where it is known to be."""
    if a.is_const and b.is_const:
        if (number(a) or 0) > (number(b) or 0):
            raise refuse("E0322", "a dim is too large", show(a), f"{show(b)} or less")
        return
    assume(maximum(a, b), b)


def divides(n: Expr, by: int, what: str) -> None:
    """Assumes that `n` divides by the positive `by`; E0341 where it is known not to."""
    rest = number(n % by)
    if rest:
        raise refuse("E0341", f"{what} do not divide into groups", show(n), f"a multiple of {by}")
    if rest is None:
        assume(n % by, const(0))


def same_dims(x: Type | None, dims: Sequence[Expr], what: str) -> None:
    """`same_shape` for an operand that may be absent or of unknown rank."""
    if x is not None and x.shape is not None:
        need_rank(x, len(dims), len(dims), what)
        same_shape(x.shape, tuple(dims))


def fit_into(x: Type | None, dims: Sequence[Expr], what: str) -> None:
    """An operand that may be absent must broadcast to the dims without making them larger."""
    if x is None or x.shape is None:
        return
    need_rank(x, 0, len(dims), what)
    for small, dim in zip(reversed(x.shape), reversed(dims), strict=False):
        if number(small) != 1:
            same_dim(small if small.is_const else _unless_one(small, dim), dim)


def broadcast_dim(a: Expr, b: Expr) -> Expr:
    """The dim that numpy broadcasting gives; E0322 when the two cannot be broadcast."""
    if a is b or number(b) == 1:
        return a
    if number(a) == 1:
        return b
    if a.is_const and b.is_const:
        raise refuse("E0322", "two dims cannot be broadcast", show(a), f"{show(b)} or 1")
    assume(_unless_one(a, b), _unless_one(b, a))
    if a.is_const or b.is_const:
        return a if a.is_const else b
    return maximum(a, b)


def _unless_one(dim: Expr, other: Expr) -> Expr:
    return where(eq(dim, 1), other, dim)


def broadcast(*shapes: Dims | None) -> Dims | None:
    """The numpy broadcast of the shapes, None when the rank of one is unknown."""
    out: Dims = ()
    for shape in shapes:
        if shape is None:
            return None
        rank = max(len(out), len(shape))
        ones = const(1)
        padded = ((ones,) * (rank - len(s)) + s for s in (out, shape))
        try:
            out = tuple(itertools.starmap(broadcast_dim, zip(*padded, strict=True)))
        except InvalidGraph as error:
            shown = " and ".join(text(s) for s in shapes)
            said = f"{shown} cannot be broadcast"
            raise refuse("E0322", said, error.given, error.wanted) from None
    return out


def broadcast_types(*types: Type, dtype: DType | None = None) -> Type:
    """The type of an elementwise result; the inputs' common element type unless one is given."""
    return Type(dtype or common_dtype(*types), broadcast(*(t.shape for t in types)))


def added(dims: Iterable[Expr]) -> Expr:
    """The sum of dims; equal ones are counted, since each sum of formulas takes its length."""
    whole, counts = 0, Counter[Expr]()
    for d in dims:
        n = number(d)
        if n is None:
            counts[d] += 1
        else:
            whole += n
    return sum((d * n for d, n in counts.items()), const(whole))


def as_index(e: Expr) -> Expr:
    """A known element of an integer tensor as an index expression."""
    if e.op == "cast" and e.dtype is DType.INT32 and e.args[0].dtype is INDEX:
        return e.args[0]
    return cast(e, INDEX)


def known(x: Type | None) -> tuple[Expr, ...] | None:
    """The elements of an integer tensor as index expressions, None where they are not known."""
    if x is None or x.value is None:
        return None
    if x.dtype is not None and x.dtype.is_float:
        raise refuse("E0324", "sizes, places and counts are whole numbers", x.dtype, "int64")
    return tuple(as_index(e) for e in x.value)


def known_ints(x: Type | None) -> tuple[int, ...] | None:
    """The elements of an integer tensor, None unless all are known numbers."""
    values = known(x)
    if values is None:
        return None
    found = tuple(number(e) for e in values)
    return None if None in found else tuple(n for n in found if n is not None)


def length_of(x: Type) -> int | None:
    """The number of elements of a 1-D (or 0-D) tensor, None when it is not known."""
    if x.value is not None:
        return len(x.value)
    need_rank(x, 0, 1, "the list")
    static = x.static_shape
    return None if static is None else (static[0] if static else 1)


def clamp(e: Expr, low: Expr | int, high: Expr | int) -> Expr:
    """`e` forced into [low, high]."""
    return maximum(minimum(e, high), low)


def wrap(i: Expr, dim: Expr) -> Expr:
    """A subscript that may count from the end, made safe: in [0, dim) whatever `i` is.

    Native code cannot raise, so a subscript out of range reads the nearest element; that there
    was one is found beside it (`Op.counted`), and by `reference`: E0210.
    """
    return clamp(where(i < 0, i + dim, i), 0, dim - 1)


def choose(values: Sequence[Expr], i: Expr) -> Expr:
    """The element number `i` (which may be a run-time subscript) of known values; 0 of none."""
    at = number(i)
    if at is not None or not values:
        return values[at or 0] if values else const(0)
    out = values[-1]
    for n in range(len(values) - 2, -1, -1):
        out = where(eq(i, n), values[n], out)
    return out


def place(idx: Sequence[Expr], axes: Sequence[int], inner: Sequence[Expr]) -> list[Expr]:
    """`idx` with the subscripts of `axes` replaced by `inner`."""
    out = list(idx)
    for axis, i in zip(axes, inner, strict=True):
        out[axis] = i
    return out


def ravel(idx: Sequence[Expr], shape: Sequence[Expr]) -> Expr:
    """The row-major position of a subscript."""
    out = const(0)
    for i, d in zip(idx, shape, strict=True):
        out = out * d + i
    return out


def unravel(position: Expr, shape: Sequence[Expr]) -> tuple[Expr, ...]:
    """The subscript at a row-major position."""
    out = []
    for n, d in enumerate(shape):
        inner = product(shape[n + 1 :])
        out.append(position // inner % d if n else position // inner)
    return tuple(out)


def check_size(dtype: DType, dims: Sequence[int]) -> None:
    """LimitExceeded where a tensor that the model asks for is beyond the limits in force."""
    limits = Limits.current()
    count = limits.check_array(dtype, dims)
    limits.check_memory(count * dtype.numpy.itemsize)


def check_lengths(lengths: Array, most: int) -> None:
    """InvalidArgument (E0210) unless each of the lengths is one of 0 … `most`."""
    bad = lengths[(lengths < 0) | (lengths > most)]
    if bad.size:
        given, wanted = int(bad[0]), f"0 … {most}"
        raise InvalidArgument("E0210", "a length is out of range", given=given, wanted=wanted)
