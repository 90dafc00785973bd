"""Right operands that are codes of a few bits, each block of them with a scale and a zero point.

    right(k, n) = (code(k, n) - zero(k // B, n)) * scale(k // B, n)

is found in the expression, however it came to be (MatMulNBits, DequantizeLinear of int4 or int8 by
tensor, column or block, before a Transpose or after), and laid out for panels of `width` columns:

    codes   [batch][panel][part][word][width]   32 bits of one column: 8 codes of 4 bits, 4 of 8
    scales, zeros          [batch][panel][block][width]

Codes lie in two's complement: two shifts give a code as a number. A part is what is summed before
its scale is applied: a block, or a piece of a long one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    Expr,
    binary,
    cast,
    const,
    number,
    operate,
    substitute,
    var,
    walk,
    where,
)
from sardonyx.kernels.buffers import closed
from sardonyx.kernels.linear import count, parts, renumber
from sardonyx.kernels.scheduled import Packed
from sardonyx.loops.ir import Contract, For, Kernel, Stmt, Store

WORD = 32
_I32, _U32, _F32 = DType.INT32, DType.UINT32, DType.FLOAT32
_HALVES = (DType.FLOAT16, DType.BFLOAT16)
# Codes of one sum before it is scaled: half of the rounding error of a longer chain.
_PART = 256
# Bits up to which a code and its zero point differ from zero by little more than from each other.
_CENTRED = 4
# Fewer codes to a scale than this are more work to scale than to multiply.
_SMALLEST = 8


@dataclass(frozen=True)
class Codes:
    """What a right operand is made of, over one variable `k` for all of the depth.

    The number that stands at (k, n) is (code - 2^(bits - 1) - shift - zero) * scale, `code` being
    unsigned; where there are levels, `levels[code]` stands for the first difference. `zero` and
    `scale` are of batch, n and `block`, the number of a block of `length`.
    """

    k: Expr
    block: Expr
    code: Expr
    bits: int
    length: int
    scale: Expr | None
    zero: Expr | None
    shift: float
    levels: tuple[Expr, ...] = ()

    @property
    def depth(self) -> int:
        """How many codes a column has."""
        return _known(self.k.args[0])

    @property
    def part(self) -> int:
        """Codes of a part."""
        if self.length <= _PART:
            return self.length
        if self.length >= self.depth or self.length % _PART == 0:
            return _PART
        return self.length

    @property
    def unit(self) -> int:
        """The fewest codes that fill whole words."""
        return math.lcm(WORD, self.bits) // self.bits

    @property
    def words(self) -> int:
        """Words of a part."""
        return -(-self.part * self.bits // WORD)

    @property
    def parts(self) -> int:
        """Parts of a column, the last of which may be shorter."""
        return -(-self.depth // self.part)

    @property
    def blocks(self) -> int:
        """Blocks of a column."""
        return -(-self.depth // self.length)

    @property
    def centred(self) -> bool:
        """Whether zero points are taken off sums: codes of more bits may lie far from theirs, and
        what is left of large sums would be inexact."""
        return self.bits <= _CENTRED and (self.zero is not None or self.shift != 0)

    @property
    def looked_up(self) -> Codes:
        """The same numbers as levels."""
        half = 1 << (self.bits - 1)
        table = tuple(const(float(n - half), _F32) for n in range(1 << self.bits))
        return replace(self, levels=self.levels or table)

    def block_of(self, part: Expr) -> Expr:
        """The block that a part belongs to."""
        return part // max(1, self.length // self.part)

    def number(self, words: Callable[[int], Expr], at: int) -> Expr:
        """The number that the code at place `at` of a unit stands for, less the zero point.

        `words(w)` is word w of the unit.
        """
        low, high = at * self.bits, (at + 1) * self.bits - 1
        word, off = low // WORD, low % WORD
        found = words(word)
        if high // WORD > word:
            below = binary("shr", cast(found, _U32), const(off, _U32))
            above = binary("shl", words(word + 1), const(WORD - off, _I32))
            found, off = binary("bitor", cast(below, _I32), above), 0
        if self.levels:
            # A lookup takes the low bits of its index.
            return operate("lookup", (binary("shr", found, const(off, _I32)), *self.levels))
        left, right = WORD - self.bits - off, WORD - self.bits
        if left:
            found = binary("shl", found, const(left, _I32))
        return cast(binary("shr", found, const(right, _I32)), _F32)


def _known(e: Expr) -> int:
    found = number(e)
    assert found is not None
    return found


def codes_of(c: Contract) -> Codes | str:
    """The codes in the right operand of a contraction; the reason where there are none."""
    depth = number(count(c.k))
    if c.acc.dtype is not _F32 or depth is None:
        return "no sum of a known number of float32"
    k = var("code_k", depth)
    right = renumber(c.right, c.k, k, parts(c.k, k))
    found = _affine(right)
    if found is None or k not in found.code.free:
        return "the right operand is not of scaled integers"
    inner, scale, zero, levels = found
    length = _length([e for e in (scale, zero) if e is not None], k, depth)
    if length < _SMALLEST:
        return "scales of the right operand do not go by blocks"
    code, bits, middle = _unsigned(inner)
    block = var("code_block", -(-depth // length))
    first = {k: block * length}
    scale = None if scale is None else substitute(scale, first)
    shift = 0.0 if levels else float(middle - (1 << (bits - 1)))
    zero = None if zero is None else substitute(zero, first)
    if zero is not None and zero.is_const:
        shift, zero = shift + float(zero.arg), None
    if levels and (middle or len(levels) != 1 << bits):
        return "codes are not the numbers of their levels"
    return Codes(k, block, code, bits, length, scale, zero, shift, levels)


class _Parts(NamedTuple):
    """(cast(code) - zero) * scale, or levels[code] * scale."""

    code: Expr
    scale: Expr | None = None
    zero: Expr | None = None
    levels: tuple[Expr, ...] = ()


def _affine(e: Expr) -> _Parts | None:
    """What an expression is made of, None where it is something else."""
    if e.op == "lookup" and e.args[0].op == "cast" and e.args[0].args[0].dtype is DType.UINT8:
        return _Parts(e.args[0].args[0], levels=e.args[1:])
    if e.op == "cast" and e.dtype is _F32:
        inner = e.args[0]
        if inner.dtype in (DType.INT8, DType.UINT8):
            return _Parts(inner)
        rounded = inner.op == "cast" and inner.dtype in _HALVES and inner.args[0].dtype is _F32
        return _affine(inner.args[0]) if rounded else None
    if e.op == "sub":
        found = _affine(e.args[0])
        plain = found is not None and found == _Parts(found.code)
        return found._replace(zero=e.args[1]) if found is not None and plain else None
    if e.op == "mul" and len(e.args) == 2:
        for side, other in (e.args, e.args[::-1]):
            found = _affine(side)
            if found is not None and found.scale is None:
                return found._replace(scale=other)
    return None


def _length(exprs: list[Expr], k: Expr, depth: int) -> int:
    """The longest run of k along which expressions do not change, 0 where they change at each."""
    periods = [
        number(x.args[1]) or 0 for x in walk(*exprs) if x.op == "floordiv" and k in x.args[0].free
    ]
    length = min(math.gcd(*periods) or depth, depth)
    block, inside = var("block", -(-depth // length)), var("inside", length)
    moved = (substitute(e, {k: block * length + inside}) for e in exprs)
    return length if all(inside not in e.free for e in moved) else 0


def _unsigned(e: Expr) -> tuple[Expr, int, int]:
    """(code, bits, middle) of an integer that is code - middle, the code unsigned and 32 bits."""
    x, middle = e, 0
    while x.op in ("cast", "sub") and x.args[0].dtype.is_int:
        if x.op == "sub":
            if not x.args[1].is_const:
                break
            middle += x.args[1].arg
        x = x.args[0]
    bits = _bits(x)
    if bits is None:
        x, middle = e, 0
    if bits is None and e.dtype.is_signed:
        x, middle = binary("bitxor", cast(e, DType.UINT8), const(128, DType.UINT8)), 128
    return cast(x, _U32), bits or 8, middle


def _bits(e: Expr) -> int | None:
    """How many bits an expression has that shows it by a mask."""
    if e.op == "bitxor":
        inner, turned = _bits(e.args[0]), e.args[1]
        fits = inner is not None and turned.is_const and 0 <= turned.arg < 1 << inner
        return inner if fits else None
    if e.op != "bitand" or not e.args[1].is_const:
        return None
    mask = int(e.args[1].arg)
    return mask.bit_length() if 0 < mask < 256 and mask & (mask + 1) == 0 else None


@dataclass(frozen=True)
class Panels:
    """The layout of codes in panels of `width` columns."""

    kernel: Kernel
    contract: Contract
    codes: Codes
    width: int

    @property
    def across(self) -> Expr:
        """Panels of one batch entry."""
        return (count(self.contract.n) + (self.width - 1)) // self.width

    def packed(self) -> Iterator[Packed]:
        """The codes, then the scales and the zero points where there are any."""
        yield self._codes()
        for e in (self.codes.scale, self.codes.zero):
            if e is not None:
                yield self._each(stored(e))

    def _at(self, e: Expr, task: Expr, column: Expr) -> Expr:
        """An expression of batch and n at a panel and a column."""
        c = self.contract
        e = substitute(e, parts(c.batch, task // self.across))
        return renumber(e, c.n, column, parts(c.n, column))

    def _closed(self, task: Expr, inner: tuple[Stmt, ...], length: int, dtype: DType) -> Packed:
        size = count(self.contract.batch) * self.across * (length * self.width)
        return closed(self.kernel, (For(task, inner, "parallel"),), size, dtype)

    def _task(self) -> tuple[Expr, Expr, Expr]:
        task = var("code_task", count(self.contract.batch) * self.across)
        lane = var("code_column", self.width)
        return task, lane, (task % self.across) * self.width + lane

    def _each(self, e: Expr) -> Packed:
        """One element for every block and column."""
        task, lane, column = self._task()
        block, known = self.codes.block, binary("lt", column, count(self.contract.n))
        value = where(known, self._at(e, task, column), const(0, e.dtype))
        at = (task * block.args[0] + block) * self.width + lane
        body = (For(block, (For(lane, (Store(0, at, value),), "vector"),)),)
        return self._closed(task, body, self.codes.blocks, e.dtype)

    def _codes(self) -> Packed:
        codes, (task, lane, column) = self.codes, self._task()
        part = var("code_part", codes.parts)
        whole, rest = divmod(codes.part, codes.unit)
        unit = var("code_unit", whole)
        size = codes.unit * codes.bits // WORD
        known = binary("lt", column, count(self.contract.n))
        start = task * (codes.parts * codes.words) + part * codes.words

        def word(first: Expr, w: int, held: int) -> Expr:
            """Word w of the `held` codes from `first` on."""
            total = const(0, _U32)
            for n in range(held):
                by = n * codes.bits - w * WORD
                if -codes.bits < by < WORD:
                    total = binary("bitor", total, _moved(self._code(first + n, task, column), by))
            return cast(where(known, total, const(0, _U32)), _I32)

        def stores(first: Expr, at: Expr, held: int) -> tuple[Stmt, ...]:
            found = tuple(
                Store(0, (at + w) * self.width + lane, word(first, w, held))
                for w in range(-(-held * codes.bits // WORD))
            )
            return (For(lane, found, "vector"),)

        inner: tuple[Stmt, ...] = ()
        if whole:
            first = part * codes.part + unit * codes.unit
            inner = (For(unit, stores(first, start + unit * size, codes.unit)),)
        if rest:
            first = part * codes.part + whole * codes.unit
            inner = (*inner, *stores(first, start + whole * size, rest))
        return self._closed(task, (For(part, inner),), codes.parts * codes.words, _I32)

    def _code(self, k: Expr, task: Expr, column: Expr) -> Expr:
        """A code in two's complement, 0 behind the last."""
        codes, half = self.codes, 1 << (self.codes.bits - 1)
        found = self._at(substitute(codes.code, {codes.k: k}), task, column)
        found = found if codes.levels else binary("bitxor", found, const(half, _U32))
        if codes.depth % codes.part == 0:
            return found
        return where(binary("lt", k, const(codes.depth)), found, const(0, _U32))


def _moved(code: Expr, by: int) -> Expr:
    if by == 0:
        return code
    op = "shl" if by > 0 else "shr"
    return binary(op, code, const(abs(by), _U32))


def stored(e: Expr) -> Expr:
    """What an expression is made of by a cast alone, which is made where it is read."""
    narrower = e.op == "cast" and e.args[0].dtype.bits < e.dtype.bits
    return e.args[0] if narrower and e.args[0].op in ("load", "cast") else e
