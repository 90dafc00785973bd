"""Elementwise functions of two tensors: arithmetic, comparison, logic, bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, cast, eq, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Operand
from sardonyx.ops.base.element import Aligned, Binary, InPlace, lift
from sardonyx.ops.base.shapes import refuse


class Add(Binary):
    """x + y; integers wrap."""

    since = 7
    neutral = (-0.0, -0.0)
    ufunc = np.add
    word = "add"


class Sub(Binary):
    """x - y; integers wrap."""

    since = 7
    neutral = (None, 0.0)
    ufunc = np.subtract
    word = "sub"


class Mul(Binary):
    """x * y; integers wrap."""

    since = 7
    neutral = (1, 1)
    ufunc = np.multiply
    word = "mul"


class Div(Binary):
    """x / y; integers are rounded towards zero, and division by zero gives 0."""

    since = 7
    neutral = (None, 1)

    def compute(self, x: Array, y: Array) -> Any:
        if x.dtype.kind not in "iu":
            return np.divide(x, y)
        quotient = np.floor_divide(x, y)
        inexact = (y != 0) & (np.remainder(x, y) != 0)
        return quotient + (inexact & ((x < 0) != (y < 0))).astype(x.dtype)

    def element(self, x: Expr, y: Expr) -> Expr:
        return binary("truncdiv" if x.dtype.is_int else "div", x, y)


class Pow(Binary):
    """x to the power y, in the type of x; the two types may differ from opset 12 on."""

    since = 7
    neutral = (None, 1)

    def checked(self, x: Type, y: Type) -> DType | None:
        del y
        return x.dtype

    def compute(self, x: Array, y: Array) -> Any:
        if x.dtype.kind in "iu":
            return _integer_power(x, y)
        return np.power(x, y.astype(x.dtype))

    def at(self, idx: Index, x: Operand, y: Operand) -> Expr:
        base = x.broadcast(idx)
        exponent = self._known_exponent(y)
        if exponent is not None and not x.dtype.is_int:
            return cast(_repeated(lift(base), exponent), x.dtype)
        return cast(self.element(lift(base), lift(self.right(idx, x, y))), x.dtype)

    @staticmethod
    def _known_exponent(y: Operand) -> int | None:
        values = y.known()
        if values is None or len(values) != 1 or not values[0].is_const:
            return None
        return {1.0: 1, 2.0: 2, 3.0: 3}.get(float(values[0].arg))

    def element(self, x: Expr, y: Expr) -> Expr:
        wide = DType.FLOAT64 if x.dtype.is_int else x.dtype
        return cast(binary("pow", cast(x, wide), cast(y, wide)), x.dtype)


def _repeated(x: Expr, times: int) -> Expr:
    out = x
    for _ in range(times - 1):
        out = out * x
    return out


def _integer_power(x: Array, y: Array) -> Array:
    if y.dtype.kind in "iu" and (not y.size or y.min() >= 0):
        wide = np.uint64 if x.dtype.kind == "u" else np.int64
        return np.power(x.astype(wide), y.astype(wide)).astype(x.dtype)
    return np.trunc(np.power(x.astype(np.float64), y.astype(np.float64))).astype(x.dtype)


class Mod(Binary):
    """The remainder of the division, with the sign of y, or of x when `fmod` is 1."""

    since = 28
    fmod: int = 0

    def compute(self, x: Array, y: Array) -> Any:
        return np.fmod(x, y) if self.fmod else np.mod(x, y)

    def element(self, x: Expr, y: Expr) -> Expr:
        if x.dtype.is_int:
            return binary("fmod" if self.fmod else "mod", x, y)
        rest = binary("fmod", x, y)
        if self.fmod:
            return rest
        zero = where(y < 0.0, rest.like(-0.0), 0.0)
        opposite = binary("ne", rest < 0.0, y < 0.0)
        return where(eq(rest, 0.0), zero, where(opposite, rest + y, rest))

    def express(self, write: Body, opset: int, *inputs: Value) -> Value | None:
        x, y = inputs
        if opset < ModV10.since or x.type.dtype is None or not x.type.dtype.is_float:
            return None
        rest, zero = write(ModV10(fmod=1), x, y), write.number(0, x)
        negative = write("Less", y, zero)
        none = write("Where", negative, write.number(-0.0, x), zero)
        opposite = write("Xor", write("Less", rest, zero), negative)
        floored = write("Where", opposite, write("Add", rest, y), rest)
        return write("Where", write("Equal", rest, zero), none, floored)


class ModV10(Mod):
    """Mod of opsets 10 to 27, where floats need fmod=1."""

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        x = inputs[0]
        if not given["fmod"] and (x is None or x.type.dtype is None or x.type.dtype.is_float):
            return "before opset 28 floats need fmod=1"
        return None

    def checked(self, x: Type, y: Type) -> DType | None:
        if x.dtype is not None and x.dtype.is_float and not self.fmod:
            raise refuse("E0325", "Mod of floats needs fmod=1", "fmod=0", "fmod=1")
        return super().checked(x, y)


class Comparison(Binary, abstract=True):
    """A relation of two elements."""

    result = DType.BOOL
    tolerance = "exact"


class Equal(Comparison):
    """Whether x equals y."""

    since = 7
    ufunc = np.equal
    word = "eq"


class Less(Comparison):
    """Whether x < y."""

    since = 7
    ufunc = np.less
    word = "lt"


class _OrEqual(Comparison, abstract=True):
    """A relation that equals have too."""

    def express(self, write: Body, opset: int, *inputs: Value) -> Value:
        del opset
        strict = write(self.op_type.removesuffix("OrEqual"), *inputs)
        return write("Or", strict, write("Equal", *inputs))


class LessOrEqual(_OrEqual):
    """Whether x <= y."""

    since = 12
    ufunc = np.less_equal
    word = "le"


class Greater(Comparison):
    """Whether x > y."""

    since = 7
    ufunc = np.greater

    def element(self, x: Expr, y: Expr) -> Expr:
        return y < x


class GreaterOrEqual(_OrEqual):
    """Whether x >= y."""

    since = 12
    ufunc = np.greater_equal

    def element(self, x: Expr, y: Expr) -> Expr:
        return y <= x


class And(Comparison):
    """Whether both hold."""

    since = 7
    neutral = (True, True)
    ufunc = np.logical_and
    word = "and"


class Or(Comparison):
    """Whether one holds."""

    since = 7
    neutral = (False, False)
    ufunc = np.logical_or
    word = "or"


class Xor(Comparison):
    """Whether exactly one holds."""

    since = 7
    neutral = (False, False)
    ufunc = np.logical_xor
    word = "xor"


class BitwiseAnd(Binary):
    """The bits set in both."""

    since = 18
    tolerance = "exact"
    ufunc = np.bitwise_and
    word = "bitand"


class BitwiseOr(Binary):
    """The bits set in one or both."""

    since = 18
    tolerance = "exact"
    ufunc = np.bitwise_or
    word = "bitor"


class BitwiseXor(Binary):
    """The bits set in exactly one."""

    since = 18
    tolerance = "exact"
    ufunc = np.bitwise_xor
    word = "bitxor"


class BitShift(Binary):
    """The bits of x moved by y places LEFT or RIGHT, all of them where y is no such number.

    A signed number shifted right is filled with its sign; all else with 0.
    """

    since = 11
    tolerance = "exact"
    direction: str

    def checked(self, x: Type, y: Type) -> DType | None:
        if self.direction not in ("LEFT", "RIGHT"):
            raise refuse("E0325", "an unknown direction", self.direction, "LEFT or RIGHT")
        return super().checked(x, y)

    def compute(self, x: Array, y: Array) -> Any:
        last = x.dtype.type(x.dtype.itemsize * 8 - 1)
        legal = (y >= 0) & (y <= last)
        places = np.where(legal, y, last)
        if self.direction == "RIGHT" and x.dtype.kind == "i":
            return np.right_shift(x, places)
        shift = np.left_shift if self.direction == "LEFT" else np.right_shift
        return np.where(legal, shift(x, places), x.dtype.type(0))

    def express(self, write: Body, opset: int, x: Value, y: Value) -> Value | None:
        dtype = x.type.dtype
        if dtype is None or not dtype.is_signed or opset < BitShift.since:
            return None
        bits = DType.parse(f"u{dtype}").value

        def shifted(v: Value) -> Value:
            unsigned = (write("Cast", w, to=bits) for w in (v, y))
            return write("Cast", write(self, *unsigned), to=dtype.value)

        if self.direction == "LEFT":
            return shifted(x)
        negative = write("Less", x, write.number(0, x))
        mirrored = write("Sub", write.number(-1, x), x)
        found = shifted(write("Where", negative, mirrored, x))
        return write("Where", negative, write("Sub", write.number(-1, x), found), found)

    def element(self, x: Expr, y: Expr) -> Expr:
        last = x.dtype.bits - 1
        legal = binary("and", y.like(0) <= y, y <= last)
        if self.direction == "RIGHT" and x.dtype.is_signed:
            return binary("shr", x, where(legal, y, last))
        return where(legal, binary("shl" if self.direction == "LEFT" else "shr", x, y), 0)


class AddV6(Aligned, Add):
    """Add of opset 6."""


class SubV6(Aligned, Sub):
    """Sub of opset 6."""


class MulV6(Aligned, Mul):
    """Mul of opset 6."""


class DivV6(Aligned, Div):
    """Div of opset 6."""


class AddV1(InPlace, AddV6):
    """Add of opset 1."""


class SubV1(InPlace, SubV6):
    """Sub of opset 1."""


class MulV1(InPlace, MulV6):
    """Mul of opset 1."""


class DivV1(InPlace, DivV6):
    """Div of opset 1."""


class PowV1(Aligned, Pow):
    """Pow of opset 1."""


class EqualV1(Aligned, Equal):
    """Equal of opset 1."""


class LessV1(Aligned, Less):
    """Less of opset 1."""


class GreaterV1(Aligned, Greater):
    """Greater of opset 1."""


class AndV1(Aligned, And):
    """And of opset 1."""


class OrV1(Aligned, Or):
    """Or of opset 1."""


class XorV1(Aligned, Xor):
    """Xor of opset 1."""
