"""The inner loop of a register tile: one broadcast of A for each row, one row of B in vectors.

    for k: b[0..vectors] = B row; for i: a = splat A[i, k]; for j: C[i][j] += a * b[j]

A step is one k for floats, two for 16-bit and four for 8-bit integers (kernels.quantized). The
rows of A are addressed from one moving pointer, so that with a constant stride the offsets are
part of the instructions. One trip is one step: more of them spill registers and gain nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, number
from sardonyx.kernels.micro.protocol import Emit
from sardonyx.loops.ir import Tile

# Half of the rounding error of one chain, for one addition in 256 (docs/decisions/0002).
PART = 256


@dataclass(frozen=True)
class _Kinds:
    """LLVM types: an accumulator vector, what is broadcast of A, and a vector of B."""

    sum: str
    step: str
    row: str
    lanes: int


def multiply(code: Emit, t: Tile, lanes: int, first: list[str]) -> list[str]:
    """Writes the loop over k; `first` and the result are the accumulators, row by row.

    A long float sum is made of parts of `PART` steps, each summed from zero: rounding errors grow
    with the length of a chain of additions, and the parts cost one addition in `PART`.
    """
    depth = number(t.depth)
    start = [("ptr", code.pointer(t.a, t.a_at)), ("ptr", code.pointer(t.b, t.b_at))]
    whole = code.expr(t.depth)
    if not t.acc.dtype.is_float or (depth is not None and depth <= PART + PART // 2):
        return _steps(code, t, lanes, first, [p for _, p in start], whole)[: len(first)]
    total = code.type(t.acc.dtype, lanes)
    with code.loop(whole, [*((total, c) for c in first), *start], step=PART) as trip:
        *sums, at_a, at_b = trip.values
        left = code.let(f"sub i64 {whole}, {trip.index}")
        short = code.let(f"icmp slt i64 {left}, {PART}")
        steps = code.let(f"select i1 {short}, i64 {left}, i64 {PART}")
        zeros = ["zeroinitializer"] * len(first)
        *parts, at_a, at_b = _steps(code, t, lanes, zeros, [at_a, at_b], steps)
        sums = [code.let(f"fadd {total} {s}, {p}") for s, p in zip(sums, parts, strict=True)]
        trip.next([*sums, at_a, at_b])
    return trip.results[: len(first)]


def _steps(
    code: Emit, t: Tile, lanes: int, first: list[str], pointers: list[str], count: str
) -> list[str]:
    """The accumulators and the two pointers after `count` steps."""
    a, b = (code.kernel.buffers[n].dtype for n in (t.a, t.b))
    kinds = _kinds(code, t.acc.dtype, a, lanes)
    vectors = t.cols // lanes
    rows = _row_offsets(code, t.a_stride, t.rows, a.bits // 8)
    next_b = _bytes(code, t.b_stride, b.bits // 8)
    step = t.acc.dtype.bits // 8
    carry = [(kinds.sum, c) for c in first]
    carry += [("ptr", p) for p in pointers]
    with code.loop(count, carry) as trip:
        *sums, at_a, at_b = trip.values
        places = [_offset(code, at_b, j * lanes * step) for j in range(vectors)]
        columns = [code.let(f"load {kinds.row}, ptr {p}, align {b.bits // 8}") for p in places]
        for i in range(t.rows):
            whole = _broadcast(code, kinds, _offset(code, at_a, rows[i]), a.bits // 8)
            for j in range(vectors):
                n = i * vectors + j
                sums[n] = _add_product(code, (t.acc.dtype, a), kinds, whole, columns[j], sums[n])
        trip.next([*sums, _offset(code, at_a, step), _offset(code, at_b, next_b)])
    return trip.results


def _kinds(code: Emit, acc: DType, a: DType, lanes: int) -> _Kinds:
    total = code.type(acc, lanes)
    if a is acc:
        return _Kinds(total, code.type(acc), total, lanes)
    group = acc.bits // a.bits
    return _Kinds(total, "i32", f"<{lanes * group} x i{a.bits}>", lanes)


def _broadcast(code: Emit, kinds: _Kinds, pointer: str, align: int) -> str:
    """Every lane holding the step's elements of A at an address."""
    element = code.let(f"load {kinds.step}, ptr {pointer}, align {align}")
    whole = f"<{kinds.lanes} x {kinds.step}>"
    one = code.let(f"insertelement {whole} poison, {kinds.step} {element}, i32 0")
    mask = f"<{kinds.lanes} x i32> zeroinitializer"
    wide = code.let(f"shufflevector {whole} {one}, {whole} poison, {mask}")
    return wide if whole == kinds.row else code.let(f"bitcast {whole} {wide} to {kinds.row}")


def _add_product(
    code: Emit, types: tuple[DType, DType], kinds: _Kinds, a: str, b: str, c: str
) -> str:
    acc, operand = types
    if acc.is_float:
        name = f"llvm.fmuladd.v{kinds.lanes}f{acc.bits}"
        return code.call(name, kinds.sum, (kinds.sum, a), (kinds.sum, b), (kinds.sum, c))
    if operand is acc:
        return code.let(f"add {kinds.sum} {c}, {code.let(f'mul {kinds.sum} {a}, {b}')}")
    if operand is DType.INT16:
        return code.let(f"add {kinds.sum} {c}, {_pairs(code, kinds, a, b)}")
    name = f"llvm.x86.avx512.vpdpbusd.{kinds.lanes * 32}"
    return code.call(name, kinds.sum, (kinds.sum, c), (kinds.row, a), (kinds.row, b))


def _pairs(code: Emit, kinds: _Kinds, a: str, b: str) -> str:
    """The sums of products of neighbouring 16-bit elements, which x86 has an instruction for."""
    count = kinds.lanes * 2
    wide = f"<{count} x i32>"
    left, right = (code.let(f"sext {kinds.row} {x} to {wide}") for x in (a, b))
    products = code.let(f"mul {wide} {left}, {right}")
    halves = []
    for odd in (0, 1):
        picked = ", ".join(f"i32 {2 * n + odd}" for n in range(kinds.lanes))
        mask = f"<{kinds.lanes} x i32> <{picked}>"
        halves.append(code.let(f"shufflevector {wide} {products}, {wide} poison, {mask}"))
    return code.let(f"add {kinds.sum} {halves[0]}, {halves[1]}")


def _row_offsets(code: Emit, stride: Expr, rows: int, size: int) -> list[int | str]:
    """The byte offset of each row from the first: numbers where the stride is one."""
    known = number(stride)
    if known is not None:
        return [i * known * size for i in range(rows)]
    step = code.let(f"mul i64 {code.expr(stride)}, {size}")
    return [0, *(code.let(f"mul i64 {step}, {i}") for i in range(1, rows))]


def _bytes(code: Emit, elements: Expr, size: int) -> int | str:
    known = number(elements)
    if known is not None:
        return known * size
    return code.let(f"mul i64 {code.expr(elements)}, {size}")


def _offset(code: Emit, pointer: str, by: int | str) -> str:
    return pointer if by == 0 else code.let(f"getelementptr i8, ptr {pointer}, i64 {by}")
