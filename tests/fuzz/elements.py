"""Steps that work element by element: functions, arithmetic, comparisons, choices, casts."""

from __future__ import annotations

import numpy as np

from fuzz.grow import FLOATS, INTS, Grower, Skip, is_float, is_int, like, rank
from sardonyx.core.dtype import DType
from sardonyx.core.expr import number
from sardonyx.graph.ir import Value

PLAIN = (
    "Relu", "Neg", "Abs", "Tanh", "Sigmoid", "Erf", "Sin", "Cos", "Atan", "Softplus",
    "Softsign", "Elu", "Selu", "Celu", "LeakyRelu", "HardSwish", "HardSigmoid", "Gelu", "Mish",
    "Floor", "Ceil", "Round", "Sign", "ThresholdedRelu", "Identity", "Asinh", "Shrink",
)  # fmt: skip
PARTIAL = (
    "Sqrt", "Log", "Reciprocal", "Exp", "Tan", "Acosh", "Asin", "Acos", "Atanh", "Cosh",
    "Sinh",
)  # fmt: skip


def partner(g: Grower, x: Value) -> Value:
    """A value or constant that broadcasts with x and has its type."""
    dims = x.type.dims

    def fits(v: Value) -> bool:
        tail = v.type.dims[::-1]
        pairs = zip(tail, dims[::-1], strict=False)
        return v.dtype is x.dtype and all(a is b or number(a) == 1 for a, b in pairs)

    assert x.dtype is not None
    if g.maybe(0.65):
        return g.pick(fits)
    if g.maybe(0.3):
        return g.normal((), x.dtype)
    shape = like(dims[g.below(0, rank(x) + 1) :])
    shape = tuple(1 if g.maybe(0.2) else n for n in shape)
    return g.normal(shape, x.dtype)


def ordered(g: Grower, x: Value, y: Value) -> tuple[Value, Value]:
    """The two in either order."""
    return (x, y) if g.maybe(0.6) else (y, x)


def function(g: Grower) -> None:
    """A function defined everywhere, a few of them chained."""
    x = g.number()
    for _ in range(g.below(1, 4)):
        x = g.emit(g.one(*PLAIN), x)


def partial(g: Grower) -> None:
    """A function with poles or holes, most often kept away from them."""
    x = g.number()
    assert x.dtype is not None
    if g.maybe(0.8):
        x = g.emit("Sigmoid", x)
    g.emit(g.one(*PARTIAL), x)


def clip(g: Grower) -> None:
    """Clip with one or two bounds."""
    x = g.pick(lambda v: is_float(v) or is_int(v))
    assert x.dtype is not None
    kind = x.dtype.numpy
    low = g.const(np.array(g.below(0, 2), kind)) if g.maybe(0.7) else None
    high = g.const(np.array(g.below(2, 5), kind)) if low is None or g.maybe(0.7) else None
    g.emit("Clip", x, low, high)


def arithmetic(g: Grower) -> None:
    """Two values of any shapes that broadcast."""
    x = g.number()
    kind = g.one("Add", "Add", "Sub", "Mul", "Mul", "Div", "Min", "Max", "PRelu", "Mod")
    y = partner(g, x)
    if kind == "PRelu":
        g.emit(kind, x, y)
    elif kind == "Mod":
        g.emit(kind, x, y, fmod=1)
    else:
        g.emit(kind, *ordered(g, x, y))


def power(g: Grower) -> None:
    """Pow of a positive base, or with a small exponent."""
    x = g.number()
    assert x.dtype is not None
    if g.maybe(0.5):
        base = g.emit("Sigmoid", x)
        g.emit("Pow", base, partner(g, base))
        return
    exponent = np.array(g.one(2, 3, 0.5, -1, 0, 1, 2.5)).astype(x.dtype.numpy)
    g.emit("Pow", x, g.const(exponent))


def many(g: Grower) -> None:
    """Sum, Mean, Min or Max of one to four values."""
    x = g.number()
    parts = [x, *(partner(g, x) for _ in range(g.below(0, 4)))]
    g.emit(g.one("Sum", "Mean", "Min", "Max"), *parts)


def whole(g: Grower) -> None:
    """Integer arithmetic, wrapping and bitwise included."""
    x = g.pick(is_int)
    assert x.dtype is not None
    y = partner(g, x)
    kinds = ["Add", "Sub", "Mul", "Min", "Max", "BitwiseAnd", "BitwiseOr", "BitwiseXor"]
    kind = g.one(*kinds, "Abs", "Neg", "BitwiseNot", "Sign", "Mod", "Div")
    if kind in ("Abs", "Neg", "BitwiseNot", "Sign"):
        if kind == "Neg" and x.dtype.numpy.kind == "u":
            raise Skip
        g.emit(kind, x)
        return
    if kind in ("Mod", "Div"):
        divisor = g.one(1, 2, 3, 5)
        if x.dtype.numpy.kind == "u" or kind == "Mod":
            g.emit(kind, x, g.const(np.array(divisor, x.dtype.numpy)))
        return
    g.emit(kind, x, y)


def compare(g: Grower) -> None:
    """A comparison."""
    x = g.pick(lambda v: is_float(v) or is_int(v))
    kind = g.one("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")
    g.emit(kind, *ordered(g, x, partner(g, x)))


def logic(g: Grower) -> None:
    """Boolean arithmetic, or a test for special numbers."""
    if g.maybe(0.2):
        g.emit(g.one("IsNaN", "IsInf"), g.number())
        return
    x = g.pick(lambda v: v.dtype is DType.BOOL)
    if g.maybe(0.3):
        g.emit("Not", x)
        return
    y = g.pick(lambda v: v.dtype is DType.BOOL)
    g.emit(g.one("And", "Or", "Xor"), x, y)


def where(g: Grower) -> None:
    """A choice between two values."""
    x = g.pick(lambda v: v.dtype is not DType.BOOL)
    y = partner(g, x)
    condition = g.pick(lambda v: v.dtype is DType.BOOL)
    g.emit("Where", condition, *ordered(g, x, y))


def cast(g: Grower) -> None:
    """A cast between types; floats to integers only after squashing."""
    x = g.pick()
    assert x.dtype is not None
    to = g.one(*FLOATS, *INTS, DType.BOOL)
    if x.dtype.is_float and to.is_int:
        x = g.emit("Sigmoid", x)
        assert x.dtype is not None
        x = g.emit("Mul", x, g.const(np.array(9.5).astype(x.dtype.numpy)))
    made = g.emit("Cast", x, to=to.value)
    if g.maybe(0.6) and made.dtype is not g.real:
        g.emit("Cast", made, to=g.real.value)


def quantize(g: Grower) -> None:
    """QuantizeLinear and DequantizeLinear around a value."""
    x = g.pick(lambda v: v.dtype is DType.FLOAT32)
    kind = g.one(np.int8, np.uint8)
    zero = g.const(np.array(g.below(0, 5), kind))
    scale = g.const(np.array(0.05, np.float32))
    made = g.emit("QuantizeLinear", x, scale, zero)
    g.emit("DequantizeLinear", made, scale, zero)


def activation_pair(g: Grower) -> None:
    """x * f(x): a value read twice."""
    x = g.number()
    g.emit("Mul", x, g.emit(g.one("Sigmoid", "Tanh", "HardSigmoid"), x))


STEPS = (
    function,
    function,
    function,
    partial,
    clip,
    arithmetic,
    arithmetic,
    arithmetic,
    arithmetic,
    power,
    many,
    whole,
    whole,
    compare,
    logic,
    where,
    where,
    cast,
    cast,
    quantize,
    activation_pair,
)
