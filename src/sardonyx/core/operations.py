"""The scalar operations: one row says all that is known of one.

    register(Operation("softsign", 1, real=lambda x: x / (1 + abs(x)), cost=5))

makes an operation that can be built, printed, read back, costed and interpreted; machine code wants
a spelling in the row, or a formula in `loops.math` that says it in operations that have one.

The meaning of an operation is given by kind of operand. `real` is on numpy's float32 and float64
(narrower floats compute in float32); `whole` is on Python ints, its result wraps; `truth` is on
bools. Integer division by zero gives 0. An operation whose result type is given has the meaning of
(operand, its type, the result's type).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sardonyx.core.dtype import DType

Meaning = Callable[..., Any]
Start = Literal["zero", "one", "least", "greatest"]


@dataclass(frozen=True)
class Spelling:
    """How LLVM says an operation on floats, signed and unsigned integers, and i1; "" is not at all.

    `add` is an instruction, `llvm.fma` an intrinsic, `@fmod` the C library's function, `same` the
    first operand as it is.
    """

    real: str = ""
    signed: str = ""
    unsigned: str = ""
    truth: str = ""

    def of(self, dtype: DType) -> str:
        """The spelling for operands of a type."""
        if dtype.is_bool:
            return self.truth
        if dtype.is_float:
            return self.real
        return self.signed if dtype.is_signed else self.unsigned


def _whole(text: str, truth: str = "") -> Spelling:
    return Spelling("", text, text, truth)


@dataclass(frozen=True)
class Operation:
    """A scalar operation of `arity` operands (0: as many as are given).

    `result` is the type of what it gives: the last operand's, bool, or one that is given with it
    and printed after the name. `wide` operations on float32 are float64's, rounded. `cost`
    estimates the float operations of computing it once. `start` is what reducing nothing gives
    (None: no reduction), `sign` how it is written between its operands, `first` the type of the
    first operand where it is not that of the others.
    """

    name: str
    arity: int
    real: Meaning | None = None
    whole: Meaning | None = None
    truth: Meaning | None = None
    result: Literal["same", "bool", "given"] = "same"
    cost: int = 1
    wide: bool = False
    start: Start | None = None
    sign: str | None = None
    first: DType | None = None
    llvm: Spelling = Spelling()

    def meaning(self, dtype: DType) -> Meaning:
        """What it does to operands of a type; ValueError where it is not defined on them."""
        found = self.truth if dtype.is_bool else self.whole if dtype.is_int else self.real
        if found is None:
            raise ValueError(f"no {self.name} of {dtype}")
        return found

    @property
    def expensive(self) -> bool:
        """Whether it costs more than computing it where it may not be needed can gain."""
        return self.cost > 2


OPERATIONS: dict[str, Operation] = {}
SIGNS: dict[str, str] = {}


def register(row: Operation) -> Operation:
    """Makes an operation known by its name and its sign."""
    OPERATIONS[row.name] = row
    if row.sign is not None:
        SIGNS[row.sign] = row.name
    return row


def find(name: str, arity: int | None = None) -> Operation:
    """The operation of that name (and number of operands); ValueError where there is none."""
    row = OPERATIONS.get(name)
    if row is None or (arity is not None and row.arity not in (0, arity)):
        raise ValueError(f"unknown operation {name!r}" + (f" of {arity}" if row else ""))
    return row


def is_reduction(name: str) -> bool:
    """Whether an operation reduces: has something that reducing nothing gives."""
    return name in OPERATIONS and OPERATIONS[name].start is not None


def limits(dtype: DType) -> tuple[Any, Any]:
    """The least and greatest value of a type, infinities included."""
    if dtype.is_float:
        return -math.inf, math.inf
    if dtype.is_bool:
        return False, True
    low = -(1 << (dtype.bits - 1)) if dtype.is_signed else 0
    return low, low + (1 << dtype.bits) - 1


def identity(name: str, dtype: DType) -> Any:
    """What reducing nothing with an operation gives."""
    start = OPERATIONS[name].start
    if start in ("least", "greatest"):
        return limits(dtype)[start == "greatest"]
    return int(start == "one")


def _truncated(a: int, b: int) -> int:
    quotient = abs(a) // abs(b) if b else 0
    return quotient if (a < 0) == (b < 0) else -quotient


def _power(a: int, b: int) -> int:
    if b >= 0:
        return pow(a, b, 1 << 64)
    if a not in (1, -1):
        return 0
    return a if b % 2 else 1


def _sign(x: Any) -> Any:
    return x if np.isnan(x) else np.copysign(type(x)(1), x) if x else type(x)(0)


def _fused(a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    from fractions import Fraction  # noqa: PLC0415 - for the interpreter of kernels only

    exact = None
    if np.isfinite(a) and np.isfinite(b) and np.isfinite(c):
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if not exact:
        return a * b + c
    try:
        near = float(exact)
    except OverflowError:
        return type(a)(math.inf if exact > 0 else -math.inf)
    if type(a) is np.float32 and Fraction(near) != exact:
        # Rounded to odd, so that the second rounding gives what one would have given.
        bits = np.float64(near).view(np.int64)
        below = abs(Fraction(near)) < abs(exact)
        near = float(((bits if below else bits - 1) | 1).view(np.float64))
    return type(a)(near)


def _scaled(a: Any, n: Any) -> Any:
    """a * 2**n, rounded once."""
    return n if np.isnan(n) else type(a)(np.ldexp(np.float64(a), int(np.clip(n, -4096, 4096))))


def _rows() -> list[Operation]:
    lists = (_arithmetic, _whole_numbers, _comparisons, _rounding, _functions, _parts)
    return [row for rows in lists for row in rows()]


def _arithmetic() -> list[Operation]:
    row, both, either = Operation, operator.and_, operator.or_
    return [
        row("add", 2, np.add, operator.add, operator.xor, start="zero", sign="+",
            llvm=Spelling("fadd", "add", "add", "xor")),
        row("sub", 2, np.subtract, operator.sub, sign="-", llvm=Spelling("fsub", "sub", "sub")),
        row("mul", 2, np.multiply, operator.mul, both, start="one", sign="*",
            llvm=Spelling("fmul", "mul", "mul", "and")),
        row("div", 2, np.divide, _truncated, cost=3, sign="/", llvm=Spelling("fdiv")),
        row("min", 2, np.minimum, min, both, start="greatest",
            llvm=Spelling("", "llvm.smin", "llvm.umin", "and")),
        row("max", 2, np.maximum, max, either, start="least",
            llvm=Spelling("", "llvm.smax", "llvm.umax", "or")),
        row("neg", 1, np.negative, operator.neg, llvm=Spelling("fneg")),
        row("abs", 1, np.abs, abs, llvm=Spelling("llvm.fabs", "", "same")),
        row("sign", 1, _sign, lambda a: (a > 0) - (a < 0)),
        row("floordiv", 2, lambda a, b: np.floor(np.divide(a, b)),
            lambda a, b: a // b if b else 0, cost=3, sign="//"),
        row("mod", 2, np.mod, lambda a, b: a % b if b else 0, cost=3, sign="%"),
        row("truncdiv", 2, lambda a, b: np.trunc(np.divide(a, b)), _truncated, cost=3),
        row("fmod", 2, np.fmod, lambda a, b: a - b * _truncated(a, b) if b else 0, cost=3,
            llvm=Spelling("@fmod")),
        row("fma", 3, _fused, llvm=Spelling("llvm.fma")),
        row("pow", 2, np.power, _power, cost=30, wide=True, llvm=Spelling("@pow")),
        row("sqrt", 1, np.sqrt, cost=4, llvm=Spelling("llvm.sqrt")),
        row("rsqrt", 1, lambda x: type(x)(1) / np.sqrt(x), cost=6, wide=True),
    ]  # fmt: skip


def _whole_numbers() -> list[Operation]:
    row, both, either, differ = Operation, operator.and_, operator.or_, operator.xor
    logic = {"and": both, "or": either, "xor": differ}
    return [
        *(
            row(f"bit{name}", 2, None, of, of, llvm=_whole(name, name))
            for name, of in logic.items()
        ),
        row("bitnot", 1, None, operator.invert, operator.not_),
        row("shl", 2, None, lambda a, b: a << b if 0 <= b < 64 else 0),
        row("shr", 2, None, lambda a, b: a >> (b if 0 <= b < 64 else 64)),
    ]


def _comparisons() -> list[Operation]:
    row, both, either, differ = Operation, operator.and_, operator.or_, operator.xor
    made = []
    for name, of, real, whole, sign in (
        ("lt", operator.lt, "olt", "lt", "<"), ("le", operator.le, "ole", "le", "<="),
        ("eq", operator.eq, "oeq", "", "=="), ("ne", operator.ne, "une", "", "!="),
    ):  # fmt: skip
        signed, unsigned = (f"icmp {s}{whole}" if whole else f"icmp {name}" for s in "su")
        llvm = Spelling(f"fcmp {real}", signed, unsigned, unsigned)
        made.append(row(name, 2, of, of, of, "bool", sign=sign, llvm=llvm))
    return [
        *made,
        row("and", 2, None, both, both, "bool", start="one", sign="&", llvm=_whole("and", "and")),
        row("or", 2, None, either, either, "bool", start="zero", sign="|", llvm=_whole("or", "or")),
        row("xor", 2, None, differ, differ, "bool", llvm=_whole("xor", "xor")),
        row("not", 1, None, operator.invert, operator.not_, "bool"),
        row("isnan", 1, np.isnan, lambda _: False, result="bool"),
        row("isinf", 1, np.isinf, lambda _: False, result="bool"),
    ]


def _rounding() -> list[Operation]:
    kinds = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "roundeven"}
    real = {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.rint}
    return [
        Operation(name, 1, real[name], lambda a: a, llvm=Spelling(f"llvm.{said}", "same", "same"))
        for name, said in kinds.items()
    ]


def _functions() -> list[Operation]:
    functions: dict[str, tuple[Meaning, int]] = {
        "exp": (np.exp, 8), "log": (np.log, 10), "tanh": (np.tanh, 12),
        "erf": (lambda x: np.float64(math.erf(x)), 14),
        "sigmoid": (lambda x: np.float64(1) / (np.float64(1) + np.exp(-x)), 10),
        "sin": (np.sin, 14), "cos": (np.cos, 14), "tan": (np.tan, 20),
        "asin": (np.arcsin, 20), "acos": (np.arccos, 20), "atan": (np.arctan, 20),
        "sinh": (np.sinh, 20), "cosh": (np.cosh, 20), "asinh": (np.arcsinh, 24),
        "acosh": (np.arccosh, 24), "atanh": (np.arctanh, 24),
    }  # fmt: skip
    linked = {"erf": "@erf", "tan": "@tan"}
    return [
        Operation(name, 1, of, cost=cost, wide=True, llvm=Spelling(linked.get(name, "")))
        for name, (of, cost) in functions.items()
    ]


def _parts() -> list[Operation]:
    """What formulas are made of besides: `loops.math` has them by name."""
    row, ints = Operation, _whole

    def chosen(condition: Any, yes: Any, no: Any) -> Any:
        return yes if condition else no

    def entry(index: Any, *values: Any) -> Any:
        return values[int(index) % len(values)]

    return [
        row("select", 3, chosen, chosen, chosen, first=DType.BOOL),
        row("any", 1, None, None, bool, "bool"),
        row("copysign", 2, np.copysign, llvm=Spelling("llvm.copysign")),
        row("scale", 2, _scaled, cost=2),
        row("lookup", 0, entry, entry, cost=2, first=DType.INT32),
        row("lshift", 2, None, operator.lshift, llvm=ints("shl")),
        row("rshift", 2, None, operator.rshift, llvm=Spelling("", "ashr", "lshr")),
        row("quotient", 2, None, _truncated, cost=3, llvm=Spelling("", "sdiv", "udiv")),
        row("libsin", 1, _library(math.sin), cost=14, wide=True, llvm=Spelling("@sin")),
        row("libcos", 1, _library(math.cos), cost=14, wide=True, llvm=Spelling("@cos")),
        row("bitcast", 1, _same_bits, _same_bits, result="given"),
        row("truncate", 1, _indefinite, result="given"),
        row("toint", 1, _indefinite, result="given"),
        row("tofloat", 1, None, lambda x, _, to: to.numpy.type(x), result="given"),
    ]


def _library(of: Callable[[float], float]) -> Meaning:
    return lambda x: np.float64(of(x) if np.isfinite(x) else math.nan)


def _indefinite(x: Any, _: DType, to: DType) -> int:
    """A float without its fraction; the least integer where it is none of the type."""
    low, high = limits(to)
    return int(x) if np.isfinite(x) and low <= int(x) <= high else int(low)


def _same_bits(x: Any, source: DType, to: DType) -> Any:
    return np.array(x, source.numpy).view(to.numpy)[()]


for _operation in _rows():
    register(_operation)
