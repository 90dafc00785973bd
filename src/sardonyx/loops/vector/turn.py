"""Two loops along which memory lies crosswise, in blocks that are turned in registers.

    turn for i < N:                loop j step 16: loop i step 16:
      vector for j < M:              v0 = b1[i + N * j : 16] .. v15 = b1[i + N * (j + 15) : 16]
        b0[M * i + j] =              b0[M * i + j : 16] = turn.0(v0, .., v15)
          b1[i + N * j]              ..

A block reads what lies side by side along i, once for each of its j, and writes what lies side by
side along j. Rows and columns that fill no block are left to the plain loops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, name_of, number, scalar, substitute
from sardonyx.loops.build import coefficient, mapped
from sardonyx.loops.ir import For, Let, Stmt, Store
from sardonyx.loops.lanes import span, turned
from sardonyx.loops.vector.values import Lanes, certain

# A block takes as many registers, and shuffles that grow with its logarithm besides.
_WIDEST = 16
_LEAST = 4

Inside = Callable[[Lanes, Sequence[Stmt], Mapping[Expr, Expr]], tuple[Stmt, ...]]


def crossing(body: Sequence[Stmt], i: Expr, j: Expr) -> list[Expr]:
    """The loads that a body always makes, side by side along i and not along j."""
    values = [s.value for s in body if isinstance(s, Store)]
    found = []
    for x in sorted(certain(values), key=str):
        along, beside = (coefficient(x.args[0], v) for v in (j, i))
        if beside == 1 and along not in (0, 1) and not x.dtype.is_bool:
            found.append(x)
    return found


def width_of(lanes: int, *extents: Expr) -> int:
    """Rows and columns of a block; 1 where there is none."""
    width = min(lanes, _WIDEST)
    for extent in extents:
        known = number(extent)
        while known is not None and known < width:
            width //= 2
    return width if width >= _LEAST else 1


def block(
    s: For, at: tuple[Expr, Expr], width: int, name: Callable[[DType], Expr], inside: Inside
) -> tuple[Stmt, ...]:
    """The block of a turn loop from `at` on; `inside` puts a body in lanes, some values known."""
    (i, inner), (low, first) = (s.var, s.body[0]), at
    assert isinstance(inner, For)
    j, made = inner.var, list[Stmt]()
    stands, rows = dict[Expr, Expr](), dict[Expr, list[Expr]]()
    for x in crossing(inner.body, i, j):
        rows[x] = [name(x.dtype) for _ in range(width)]
        stands[x] = scalar(f"{name_of(rows[x][0])}.turned", x.dtype)
        for k, v in enumerate(rows[x]):
            place = substitute(x.args[0], {i: low, j: first + k})
            made.append(Let(v, span(x.arg, place, width, const(1), x.dtype)))
    body = mapped(inner.body, stands)
    for r in range(width):
        known = {stands[x]: turned(r, rows[x]) for x in rows}
        here = mapped(body, {i: low + r})
        made += inside(Lanes(j, first, width), here, known)
    return tuple(made)
