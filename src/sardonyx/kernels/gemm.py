"""Contractions as packed panels and register tiles.

    gemm(kernel, target) -> Scheduled | str        kernel: one Contract; str: why it is not taken

    pack     right -> panels [batch][ceil(N / width)][K][width]        a kernel of its own
    main     parallel task of (batch, column block, row block):
                 scratch rows = left                                   unless read where it lies
                 for panel: for tile: Tile(rows, panel) { body }

All m axes are one row number. A row count that is no multiple of the tile height ends in smaller
tiles, so that no row is computed twice and none in vain. Where K is not constant and `left` must
be copied, K is cut and the sums wait in scratch (kernels.tiles).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, number, substitute
from sardonyx.kernels.blocking import choose, shares_sets, tile_shape
from sardonyx.kernels.buffers import trimmed
from sardonyx.kernels.linear import count, pitch
from sardonyx.kernels.pack import Form, memory_order, panels
from sardonyx.kernels.quantized import Bytes, column_sums, of_bytes
from sardonyx.kernels.scheduled import Scheduled
from sardonyx.kernels.tiles import SLICE, SLICE_PANELS, Lies, Task, sliced, whole
from sardonyx.loops.ir import Buffer, Contract, For, Kernel, Store
from sardonyx.loops.target import Target

# The deepest sum whose rows are copied whole: a float32 row has 64 KiB then, and a tile's rows
# still fit the second-level cache; deeper ones are cut into slices.
_DEEPEST = 1 << 14
# The same where the depth has several axes, which slices cannot cut: the copy, of MiBs for each
# thread, is cheaper than to do without tiles.
_DEEPEST_OF_AXES = 1 << 18
_DTYPES = frozenset({DType.FLOAT32, DType.FLOAT64, DType.INT32, DType.INT64, DType.UINT32})


@dataclass(frozen=True)
class Choice:
    """What is free to choose about a contraction; None: as the rules say.

    `tile` is (rows, columns) of the register tile, `copy` whether rows of `left` are copied even
    where they could be read where they lie.
    """

    tile: tuple[int, int] | None = None
    copy: bool | None = None

    def __str__(self) -> str:
        shape = "x".join(map(str, self.tile or ()))
        return f"{shape}, {'copied' if self.copy else 'in place'}"


def gemm(kernel: Kernel, target: Target) -> Scheduled | str:
    """Schedules a kernel that is one Contract; the reason where it cannot."""
    return chosen(kernel, target, Choice())


def candidates(kernel: Kernel, target: Target) -> Iterator[tuple[Choice, Scheduled]]:
    """Every way of scheduling a contraction that may be worth measuring."""
    lanes = target.lanes(DType.FLOAT32)
    most = target.registers - 2
    seen: set[Kernel] = set()
    for copy in (False, True):
        for vectors in (1, 2, 3, 4):
            height = min(16, (most - vectors) // vectors)
            for rows in dict.fromkeys((height, max(1, height - 2), max(1, height // 2))):
                choice = Choice((rows, vectors * lanes), copy)
                made = chosen(kernel, target, choice)
                if isinstance(made, Scheduled) and made.kernel not in seen:
                    seen.add(made.kernel)
                    yield choice, made


def chosen(kernel: Kernel, target: Target, choice: Choice) -> Scheduled | str:
    """Schedules a kernel that is one Contract in a given way; the reason where it cannot."""
    if len(kernel.body) != 1 or not isinstance(kernel.body[0], Contract):
        return "the kernel is not one contraction"
    c = kernel.body[0]
    k = memory_order(c.k, c.left)
    reason = _refusal(c)
    if reason:
        return reason
    given = _Operands.of(c, k, target, choice)
    if given.in_slices and given.integer is not None and given.integer.right_zero is not None:
        given = _Operands.of(c, k, target, choice, in_pairs=True)
    if given.in_slices and sum(number(v.args[0]) != 1 for v in k) > 1:
        return "K has several axes and is too long, or of unknown size"
    return _scheduled(kernel, k, target, choice, given)


@dataclass(frozen=True)
class _Operands:
    """How the operands reach the tile; `in_slices`: K does not fit a thread's scratch in one."""

    contract: Contract
    form: Form
    integer: Bytes | None
    lies: Lies | None
    in_slices: bool

    @classmethod
    def of(
        cls,
        c: Contract,
        k: tuple[Expr, ...],
        target: Target,
        choice: Choice,
        in_pairs: bool = False,
    ) -> _Operands:
        """The operands by the rules, bytes in pairs of 16 bits if so wanted."""
        integer = of_bytes(c, target, in_pairs)
        c = c if integer is None else integer.contract
        form = Form(c.left.dtype, c.right.dtype) if integer is None else integer.form
        deep, several = number(count(k)), sum(number(v.args[0]) != 1 for v in k) > 1
        lies = None if choice.copy else in_place(c, k, form, target, choice.copy is None)
        fits = deep is not None and deep <= (_DEEPEST_OF_AXES if several else _DEEPEST)
        return cls(c, form, integer, lies, lies is None and not fits)


def _scheduled(
    kernel: Kernel, k: tuple[Expr, ...], target: Target, choice: Choice, given: _Operands
) -> Scheduled:
    c, form, integer = given.contract, given.form, given.integer
    deep, in_slices = number(count(k)), given.in_slices
    row_bytes = (SLICE if in_slices or deep is None else deep) * form.a.bits // 8
    sizes = (count(c.batch), count(c.m), count(c.n))
    tile = choice.tile or tile_shape(target, c.acc.dtype, number(sizes[2]))
    cut = choose(target, tile, sizes, row_bytes, SLICE_PANELS if in_slices else 0)
    packed = [panels(kernel, c, k, cut.width, form)]
    if integer is not None and integer.left_zero is not None:
        packed.append(column_sums(kernel, c))
    first = len(kernel.params)
    numbers = (first, first + 1, first + len(packed))
    task = Task(c, k, cut, given.lies, numbers, form, integer)
    body = sliced(task) if in_slices else whole(task)
    params = [*kernel.params, *(Buffer(first + n, p.dtype, p.count) for n, p in enumerate(packed))]
    loop = For(task.var, (*task.lets, *body), "parallel")
    main = replace(kernel, params=tuple(params), body=(loop,), scratch=tuple(task.scratch))
    return trimmed(main, tuple(packed), f"gemm {cut.height}x{cut.width} {form.a}")


def _refusal(c: Contract) -> str:
    if c.acc.dtype not in _DTYPES:
        return f"sums of {c.acc.dtype} have no register tile"
    if c.left.dtype is not c.acc.dtype or c.right.dtype is not c.acc.dtype:
        return "the operands are not of the sum's type"
    if not all(isinstance(s, Store) for s in c.body):
        return "the body holds more than stores"
    return ""


def in_place(
    c: Contract, k: tuple[Expr, ...], form: Form, target: Target, only_if_better: bool
) -> Lies | None:
    """How to read `left` where it lies, if it lies in rows (and copying it would gain nothing)."""
    if c.left.op != "load" or number(count(k) % form.group) != 0:
        return None
    index = c.left.args[0]
    along, down = pitch(index, k), pitch(index, c.m)
    if down is None or along is None or number(along) != 1:
        return None
    stride, rows = number(down), number(count(c.m))
    height = min(target.registers // 2, rows if rows is not None else target.registers)
    if only_if_better and stride is not None and shares_sets(stride, form.a, height, target):
        return None
    at = substitute(index, {v: const(0) for v in (*k, *c.m)})
    return Lies(c.left.arg, at, down)
