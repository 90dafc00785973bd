"""Kernels as data: closed, canonical loop programs.

    Kernel   := params (Buffer...), symbols (Expr...), body (Stmt...)
    Stmt     := For | Let | Fold | Store | If | Contract | Tile | Loop
    For      := for var in [0, extent): body       kind serial | parallel | vector | ..
    Let      := var = value                        a scalar (per lane inside a vector loop)
    Fold     := var = op over vars of value        a reduction; `vars` are nested loops
    Store    := buffer[index] = value              index is one flat int64 Expr
    If       := if condition: then else: other
    Contract := for b, m, n: acc = sum over k of a * b; body         before scheduling
    Tile     := acc[rows][cols] += A panel * B panel; body per element   after scheduling
    Loop     := for var from start to stop step n, carrying values       after vectorising

A Load inside an Expr is `load(buffer number, [flat index])`. Every name is positional (buffers
b0.., symbols s0.., loop variables i0..) once `canonical` has run, so equal kernels have equal
text; the hash of the text names the machine code. The interpreter (`loops.interp`) is the meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr

LoopKind = Literal["serial", "parallel", "vector", "unroll", "turn"]
FoldKind = Literal["serial", "vector"]
Role = Literal["in", "out"]
Space = Literal["param", "thread"]


@dataclass(frozen=True)
class Buffer:
    """Memory a kernel touches: parameter `number`, `size` elements of `dtype`.

    `space` is "param" (passed in) or "thread" (scratch private to each thread, size constant,
    64-byte aligned). `role` of a parameter is "in" or "out".
    """

    number: int
    dtype: DType
    size: Expr
    role: Role = "in"
    space: Space = "param"


@dataclass(frozen=True)
class For:
    """A loop; `var` is a loop variable whose extent it carries.

    A parallel loop is split statically among the threads: thread t of n runs
    [E*t//n, E*(t+1)//n). A vector loop runs in lanes, its tail masked. A turn loop around one reads
    blocks of both along itself and turns them in registers. No loop carries values from one trip to
    the next except through memory in a serial loop.
    """

    var: Expr
    body: tuple[Stmt, ...]
    kind: LoopKind = "serial"

    @property
    def extent(self) -> Expr:
        """The number of trips."""
        return self.var.args[0]


@dataclass(frozen=True)
class Let:
    """Names a value; `var` is a `scalar`."""

    var: Expr
    value: Expr


@dataclass(frozen=True)
class Fold:
    """Reduces `value` with `op` over the loops `vars` (outermost first) into the scalar `var`.

    `kind` "vector" runs the innermost loop in lanes and combines them at the end (reassociating a
    sum), "serial" keeps the order. `lets` are evaluated in each innermost trip before `value`.
    """

    var: Expr
    op: str
    vars: tuple[Expr, ...]
    value: Expr
    kind: FoldKind = "serial"


@dataclass(frozen=True)
class Span:
    """Where the lanes of a store go: lane k to the index + k * stride."""

    lanes: int
    stride: Expr


@dataclass(frozen=True)
class Store:
    """Writes one element; in the stage `vector` also lanes, in their order, where `mask` holds.

    The lanes go to a span, or each to its own place where the index is a vector.
    """

    buffer: int
    index: Expr
    value: Expr
    span: Span | None = None
    mask: Expr | None = None


@dataclass(frozen=True)
class If:
    """A branch; the condition is uniform across the lanes of an enclosing vector loop."""

    condition: Expr
    then: tuple[Stmt, ...]
    other: tuple[Stmt, ...] = ()


@dataclass(frozen=True)
class Contract:
    """For every batch, m, n: `acc` = sum over k of left * right, then `body`.

    The statement for what an operator says as a `graph.op.SumOfProducts`, over loop variables.
    `left` depends on batch, m, k only and `right` on batch, k, n only. `acc` is a scalar; `body`
    stores expressions of acc. A strategy turns it into packing loops and Tiles.
    """

    batch: tuple[Expr, ...]
    m: tuple[Expr, ...]
    n: tuple[Expr, ...]
    k: tuple[Expr, ...]
    acc: Expr
    left: Expr
    right: Expr
    body: tuple[Stmt, ...]


@dataclass(frozen=True)
class Tile:
    """A register tile: acc[i][j] = sum over k < depth of A[i, k] * B[k, j], then `body` for each.

    A[i, k] is element a_at + i * a_stride + k of buffer `a`; B[k, j] is element
    b_at + k * b_stride + j of buffer `b` (for int8, k runs in groups of 4: see kernels.quantized).
    `rows` x `cols` is the register shape, constants. `row` and `col` are loop variables of those
    extents used by `body`; only rows < `valid_rows` and cols < `valid_cols` are stored, though
    all of A and B must be readable. `col` runs in vector lanes. `acc` is the scalar holding the
    sum; `start` is an Expr giving its first value (None: zero), for blocking over k.

    In the stage `vector` the body runs once for each `lanes` columns: `col` is the first of them,
    below cols - lanes + 1, `acc` and `mask` are vectors, `valid` gives the mask (both None: every
    lane is on).
    """

    acc: Expr
    rows: int
    cols: int
    depth: Expr
    a: int
    a_at: Expr
    a_stride: Expr
    b: int
    b_at: Expr
    b_stride: Expr
    row: Expr
    col: Expr
    valid_rows: Expr
    valid_cols: Expr
    body: tuple[Stmt, ...]
    start: Expr | None = None
    lanes: int | None = None
    mask: Expr | None = None
    valid: Expr | None = None


@dataclass(frozen=True)
class Loop:
    """For var = start, start + step, .. while below the extent of `var`: body.

    The scalars or vectors `carried` are `first` in the first trip, what `next` was in those that
    follow, and keep the last of it after the loop. `once` says that there is one trip at most,
    `sure` that the whole range of which the loop runs a part has a trip: what does not change may
    be computed before it.
    """

    var: Expr
    start: Expr
    step: int
    body: tuple[Stmt, ...] = ()
    once: bool = False
    sure: bool = False
    carried: tuple[Expr, ...] = ()
    first: tuple[Expr, ...] = ()
    next: tuple[Expr, ...] = ()

    @property
    def stop(self) -> Expr:
        """Where the variable ends."""
        return self.var.args[0]


Stmt = For | Let | Fold | Store | If | Contract | Tile | Loop


@dataclass(frozen=True)
class Kernel:
    """A closed loop program: nothing in it refers to a model.

    `work` estimates its arithmetic operations plus bytes moved, an Expr of the symbols, from
    which the program decides whether waking a second thread pays.
    """

    params: tuple[Buffer, ...]
    symbols: tuple[Expr, ...]
    body: tuple[Stmt, ...]
    work: Expr
    scratch: tuple[Buffer, ...] = ()

    @property
    def buffers(self) -> dict[int, Buffer]:
        """Every buffer by number."""
        return {b.number: b for b in (*self.params, *self.scratch)}


def children(stmt: Stmt) -> tuple[Stmt, ...]:
    """The statements directly inside one."""
    if isinstance(stmt, If):
        return (*stmt.then, *stmt.other)
    return stmt.body if isinstance(stmt, For | Contract | Tile | Loop) else ()


def statements(body: tuple[Stmt, ...]) -> Iterator[Stmt]:
    """Every statement, outer before inner."""
    for s in body:
        yield s
        yield from statements(children(s))


def expressions(stmt: Stmt) -> tuple[Expr, ...]:
    """The expressions a statement itself evaluates, those of inner statements excluded."""
    match stmt:
        case For():
            return (stmt.extent,)
        case Let():
            return (stmt.value,)
        case Fold():
            return (stmt.value, *(v.args[0] for v in stmt.vars))
        case Store():
            stride = () if stmt.span is None else (stmt.span.stride,)
            mask = () if stmt.mask is None else (stmt.mask,)
            return (stmt.index, stmt.value, *stride, *mask)
        case If():
            return (stmt.condition,)
        case Contract():
            loops = (*stmt.batch, *stmt.m, *stmt.n, *stmt.k)
            return (stmt.left, stmt.right, *(v.args[0] for v in loops))
        case Tile():
            first = (stmt.start,) if stmt.start is not None else ()
            return (
                stmt.depth, stmt.a_at, stmt.a_stride, stmt.b_at, stmt.b_stride,
                stmt.valid_rows, stmt.valid_cols, *first,
            )  # fmt: skip
        case Loop():
            return (stmt.start, stmt.stop, *stmt.first, *stmt.next)
