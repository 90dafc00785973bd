"""Formulas over floating-point vectors, written as instructions.

A `Math` writes the operations of one float type at one width; the functions of `single` and
`double` are formulas in its terms. Scalar and vector lanes run the same operations, so what
is computed for an element does not depend on its position. Operands are texts; Python numbers
become constants. Fused multiply-add is used where the target has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sardonyx.core.dtype import DType
from sardonyx.engine.emit.math.tables import Table
from sardonyx.engine.emit.types import constant, splat, vector
from sardonyx.engine.emit.writer import Writer

Operand = str | float
_INT = {DType.FLOAT32: "i32", DType.FLOAT64: "i64"}
_SUFFIX = {DType.FLOAT32: "f32", DType.FLOAT64: "f64"}
_INT_SUFFIX = {DType.FLOAT32: "i32", DType.FLOAT64: "i64"}


class Math:
    """Writes float operations of `dtype` (FLOAT32 or FLOAT64) in `lanes` (None: scalar)."""

    def __init__(self, writer: Writer, dtype: DType, lanes: int | None) -> None:
        self.w, self.dtype, self.lanes = writer, dtype, lanes
        self.float = vector("float" if dtype is DType.FLOAT32 else "double", lanes)
        self.int = vector(_INT[dtype], lanes)
        self.bool = vector("i1", lanes)
        self.single = dtype is DType.FLOAT32
        self.mantissa = 23 if self.single else 52
        self.bias = 127 if self.single else 1023
        width = "" if lanes is None else f"v{lanes}"
        self._name = width + _SUFFIX[dtype]
        self._int_name = width + _INT_SUFFIX[dtype]
        self.fused = writer.target.has("fma") or writer.target.level == "neon"
        self.rounds = writer.target.has("avx") or writer.target.level == "neon"

    def k(self, value: Operand) -> str:
        """A float operand: the text itself, or the constant of a number."""
        return value if isinstance(value, str) else constant(self.dtype, value, self.lanes)

    def i(self, value: str | int) -> str:
        """An integer operand of the float's width."""
        return value if isinstance(value, str) else splat(_INT[self.dtype], str(value), self.lanes)

    def _float(self, op: str, *args: Operand) -> str:
        return self.w.let(f"{op} {self.float} {', '.join(self.k(a) for a in args)}")

    def _int(self, op: str, a: str | int, b: str | int) -> str:
        return self.w.let(f"{op} {self.int} {self.i(a)}, {self.i(b)}")

    def _intrinsic(self, name: str, *args: Operand) -> str:
        pairs = [(self.float, self.k(a)) for a in args]
        return self.w.call(f"llvm.{name}.{self._name}", self.float, *pairs)

    def add(self, a: Operand, b: Operand) -> str:
        """a + b."""
        return self._float("fadd", a, b)

    def sub(self, a: Operand, b: Operand) -> str:
        """a - b."""
        return self._float("fsub", a, b)

    def mul(self, a: Operand, b: Operand) -> str:
        """a * b."""
        return self._float("fmul", a, b)

    def div(self, a: Operand, b: Operand) -> str:
        """a / b."""
        return self._float("fdiv", a, b)

    def neg(self, a: Operand) -> str:
        """-a, of zero and NaN too."""
        return self._float("fneg", a)

    def fma(self, a: Operand, b: Operand, c: Operand) -> str:
        """a * b + c, rounded once where the target can."""
        if self.fused:
            return self._intrinsic("fma", a, b, c)
        return self.add(self.mul(a, b), c)

    def sqrt(self, a: Operand) -> str:
        """The square root, correctly rounded."""
        return self._intrinsic("sqrt", a)

    def abs(self, a: Operand) -> str:
        """|a|."""
        return self._intrinsic("fabs", a)

    def copysign(self, a: Operand, sign: Operand) -> str:
        """|a| with the sign bit of `sign`."""
        return self._intrinsic("copysign", a, sign)

    def rint(self, a: Operand) -> str:
        """The nearest integer, halves to even."""
        return self._intrinsic("roundeven", a) if self.rounds else self._rint(a)

    def _rint(self, a: Operand) -> str:
        """Adding and taking away 2**mantissa leaves an integer, without SSE4.1's instruction."""
        magic = self.copysign(float(2**self.mantissa), a)
        near = self.copysign(self.sub(self.add(a, magic), magic), a)
        return self.pick(self.lt(self.abs(a), float(2**self.mantissa)), near, a)

    def floor(self, a: Operand) -> str:
        """The largest integer not above a."""
        if self.rounds:
            return self._intrinsic("floor", a)
        near = self._rint(a)
        return self.copysign(self.pick(self.gt(near, a), self.sub(near, 1.0), near), a)

    def ceil(self, a: Operand) -> str:
        """The smallest integer not below a."""
        if self.rounds:
            return self._intrinsic("ceil", a)
        near = self._rint(a)
        return self.copysign(self.pick(self.lt(near, a), self.add(near, 1.0), near), a)

    def trunc(self, a: Operand) -> str:
        """The integer part."""
        if self.rounds:
            return self._intrinsic("trunc", a)
        return self.copysign(self.floor(self.abs(a)), a)

    def lt(self, a: Operand, b: Operand) -> str:
        """a < b, false for NaN."""
        return self._float("fcmp olt", a, b)

    def gt(self, a: Operand, b: Operand) -> str:
        """a > b, false for NaN."""
        return self._float("fcmp ogt", a, b)

    def eq(self, a: Operand, b: Operand) -> str:
        """a == b, false for NaN."""
        return self._float("fcmp oeq", a, b)

    def nan(self, a: Operand) -> str:
        """Whether a is NaN."""
        return self._float("fcmp uno", a, a)

    def pick(self, mask: str, a: Operand, b: Operand) -> str:
        """a where the mask holds, else b."""
        return self.w.let(
            f"select {self.bool} {mask}, {self.float} {self.k(a)}, {self.float} {self.k(b)}"
        )

    def pick_int(self, mask: str, a: str | int, b: str | int) -> str:
        """Of integers, a where the mask holds, else b."""
        return self.w.let(
            f"select {self.bool} {mask}, {self.int} {self.i(a)}, {self.int} {self.i(b)}"
        )

    def both(self, a: str, b: str) -> str:
        """Where both masks hold."""
        return self.w.let(f"and {self.bool} {a}, {b}")

    def either(self, a: str, b: str) -> str:
        """Where a mask holds."""
        return self.w.let(f"or {self.bool} {a}, {b}")

    def max(self, a: Operand, b: Operand) -> str:
        """a > b ? a : b; b where either is NaN."""
        return self.pick(self.gt(a, b), a, b)

    def min(self, a: Operand, b: Operand) -> str:
        """a < b ? a : b; b where either is NaN."""
        return self.pick(self.lt(a, b), a, b)

    def bits(self, a: Operand) -> str:
        """The bits of a float as an integer."""
        return self.w.let(f"bitcast {self.float} {self.k(a)} to {self.int}")

    def of_bits(self, a: str) -> str:
        """The float of these bits."""
        return self.w.let(f"bitcast {self.int} {a} to {self.float}")

    def to_int(self, a: Operand) -> str:
        """An integer-valued float of the integer's range as an integer."""
        if self.single or self.w.target.has("avx512dq") or self.lanes is None:
            return self.w.let(f"fptosi {self.float} {self.k(a)} to {self.int}")
        # Without an instruction for it: |a| < 2**51, whose mantissa holds the integer.
        magic = float(3 << 51)
        return self.isub(self.bits(self.add(a, magic)), self.bits(magic))

    def to_float(self, a: str) -> str:
        """A signed integer (of at most 2**51 for FLOAT64) as a float."""
        if self.single or self.w.target.has("avx512dq") or self.lanes is None:
            return self.w.let(f"sitofp {self.int} {a} to {self.float}")
        magic = float(3 << 51)
        return self.sub(self.of_bits(self.iadd(a, self.bits(magic))), magic)

    def iadd(self, a: str | int, b: str | int) -> str:
        """Integer a + b."""
        return self._int("add", a, b)

    def isub(self, a: str | int, b: str | int) -> str:
        """Integer a - b."""
        return self._int("sub", a, b)

    def iand(self, a: str | int, b: str | int) -> str:
        """Bitwise and."""
        return self._int("and", a, b)

    def ior(self, a: str | int, b: str | int) -> str:
        """Bitwise or."""
        return self._int("or", a, b)

    def ixor(self, a: str | int, b: str | int) -> str:
        """Bitwise exclusive or."""
        return self._int("xor", a, b)

    def shl(self, a: str, by: int) -> str:
        """Bits moved up."""
        return self._int("shl", a, by)

    def shr(self, a: str, by: int) -> str:
        """Bits moved down, zeros entering."""
        return self._int("lshr", a, by)

    def sar(self, a: str, by: int) -> str:
        """Bits moved down, the sign entering."""
        if self.single or self.w.target.has("avx512f") or self.lanes is None:
            return self._int("ashr", a, by)
        # AVX2 shifts no 64-bit lane arithmetically.
        top = 1 << (63 - by)
        return self.isub(self.ixor(self.shr(a, by), top), top)

    def int_eq(self, a: str, b: str | int) -> str:
        """Integer a == b."""
        return self._int("icmp eq", a, b)

    def int_lt(self, a: str, b: str | int) -> str:
        """Signed a < b."""
        return self._int("icmp slt", a, b)

    def poly(self, x: str, coefficients: Sequence[float]) -> str:
        """The polynomial with these coefficients, lowest first, by Horner's rule."""
        out = self.k(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            out = self.fma(out, x, c)
        return out

    def power_of_two(self, n: str) -> str:
        """2**n of an integer n in the normal range."""
        return self.of_bits(self.shl(self.iadd(n, self.bias), self.mantissa))

    def scale(self, a: str, n: str) -> str:
        """a * 2**n for an integer-valued float n, rounded once, subnormal results too.

        |n| stays below twice the exponent range.
        """
        native = 16 if self.single else 8
        if self.w.target.has("avx512f") and self.lanes == native:
            return self._scalef(a, n)
        whole = self.to_int(n)
        half = self.sar(whole, 1)
        first = self.mul(a, self.power_of_two(half))
        return self.mul(first, self.power_of_two(self.isub(whole, half)))

    def _scalef(self, a: str, n: str) -> str:
        name = f"llvm.x86.avx512.mask.scalef.{'ps' if self.single else 'pd'}.512"
        mask = f"i{self.lanes}"
        self.w.declare(
            f"declare {self.float} @{name}({self.float}, {self.float}, {self.float}, {mask}, "
            "i32 immarg)"
        )
        vectors = f"{self.float} {a}, {self.float} {n}, {self.float} {self.k(0.0)}"
        rounding = 4
        return self.w.let(f"call {self.float} @{name}({vectors}, {mask} -1, i32 {rounding})")

    @property
    def segments(self) -> int:
        """How many entries a table has that a register permutes: 16 of float32, or 8."""
        return 16 if self.w.target.has("avx512f") else 8

    def lookup(self, table: Table, index: str) -> list[str]:
        """Of every row of a table of `segments` columns, the float32 entry that `index` names.

        Only the low bits of the index count.
        """
        if self.lanes is None or not self.w.target.has("avx2"):
            return self._lookup_memory(table, index)
        return [self._permute(row, index) for row in table]

    def _permute(self, row: Sequence[float], index: str) -> str:
        assert self.lanes is not None
        size = self.segments
        kinds = vector("float", size), vector("i32", size)
        name = "llvm.x86.avx512.permvar.sf.512" if size == 16 else "llvm.x86.avx2.permps"
        values = ", ".join(f"float {constant(DType.FLOAT32, x)}" for x in row)
        parts = []
        for first in range(0, self.lanes, size):
            part = self._resized(self.int, index, first, self.lanes, size)
            pairs = (kinds[0], f"<{values}>"), (kinds[1], part)
            parts.append(self.w.call(name, kinds[0], *pairs))
        out = parts[0]
        if self.lanes < size:
            return self._resized(kinds[0], out, 0, size, self.lanes)
        for k, part in enumerate(parts[1:], 2):
            # Parts are joined two at a time: <size * (k - 1)> and <size>, widened alike.
            before = vector("float", size * (k - 1))
            wide = self._resized(kinds[0], part, 0, size, size * (k - 1))
            order = ", ".join(f"i32 {i}" for i in range(size * k))
            both = f"{before} {out}, {before} {wide}"
            out = self.w.let(f"shufflevector {both}, <{size * k} x i32> <{order}>")
        return out

    def _resized(self, kind: str, a: str, first: int, width: int, to: int) -> str:
        """Lanes of a vector from `first` on, as many as wanted."""
        if width == to:
            return a
        picks = [i if i < width else -1 for i in range(first, first + to)]
        order = ", ".join("i32 poison" if i < 0 else f"i32 {i}" for i in picks)
        both = f"{kind} {a}, {kind} poison"
        return self.w.let(f"shufflevector {both}, <{to} x i32> <{order}>")

    def _lookup_memory(self, table: Table, index: str) -> list[str]:
        columns = list(zip(*table, strict=True))
        values = ", ".join(
            f"float {constant(DType.FLOAT32, x)}" for column in columns for x in column
        )
        kind, rows = f"[{len(columns) * len(table)} x float]", len(table)
        name = self.w.table(kind, values)
        low = self.iand(index, len(columns) - 1)
        out = ["poison"] * rows
        for lane in range(self.lanes or 1):
            one = low
            if self.lanes is not None:
                one = self.w.let(f"extractelement {self.int} {low}, i32 {lane}")
            start = self.w.let(f"mul i32 {one}, {rows}")
            for k in range(rows):
                at = self.w.let(f"add i32 {start}, {k}")
                place = self.w.let(f"getelementptr float, ptr {name}, i32 {at}")
                item = self.w.let(f"load float, ptr {place}, align 4")
                if self.lanes is not None:
                    joined = f"{self.float} {out[k]}, float {item}, i32 {lane}"
                    item = self.w.let(f"insertelement {joined}")
                out[k] = item
        return out

    def any(self, mask: str) -> str:
        """Whether the mask holds in any lane, as a scalar i1."""
        if self.lanes is None:
            return mask
        whole = f"i{self.lanes}"
        packed = self.w.let(f"bitcast {self.bool} {mask} to {whole}")
        return self.w.let(f"icmp ne {whole} {packed}, 0")

    def mend(
        self, mask: str, values: Sequence[str], right: Callable[[], Sequence[str]]
    ) -> list[str]:
        """The floats `values`, those of lanes in the mask replaced by what `right` computes.

        `right` runs only if the mask holds in some lane.
        """
        w, bytes_ = self.w, 8 * (self.lanes or 1)
        places = [w.stack(bytes_) for _ in values]
        for place, value in zip(places, values, strict=True):
            w.line(f"store {self.float} {value}, ptr {place}")
        with w.branch(self.any(mask), guard=False, writes=frozenset()):
            for place, old, better in zip(places, values, right(), strict=True):
                w.line(f"store {self.float} {self.pick(mask, better, old)}, ptr {place}")
        return [w.let(f"load {self.float}, ptr {place}") for place in places]

    def each(self, function: str, *args: str) -> str:
        """The C library's scalar `function`, called lane by lane."""
        kind = "float" if self.single else "double"
        if self.lanes is None:
            return self.w.call(function, kind, *((kind, a) for a in args))
        out = "poison"
        for lane in range(self.lanes):
            scalars = [
                (kind, self.w.let(f"extractelement {self.float} {a}, i32 {lane}")) for a in args
            ]
            one = self.w.call(function, kind, *scalars)
            out = self.w.let(f"insertelement {self.float} {out}, {kind} {one}, i32 {lane}")
        return out
