"""Gradients of operators that work element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sardonyx.gradient.step import Grads, NoGradient, Step, Term, rule, told
from sardonyx.graph.ir import Value

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)

# The derivative, of the operand, of the result, or of the operator's attributes and the operand.
_OF_X: dict[str, Callable[[Term], Term]] = {
    "Abs": lambda x: x.of("Sign"),
    "Log": lambda x: 1 / x,
    "Sin": lambda x: x.of("Cos"),
    "Cos": lambda x: -x.of("Sin"),
    "Asin": lambda x: 1 / (1 - x * x).of("Sqrt"),
    "Acos": lambda x: -1 / (1 - x * x).of("Sqrt"),
    "Atan": lambda x: 1 / (1 + x * x),
    "Sinh": lambda x: x.of("Cosh"),
    "Cosh": lambda x: x.of("Sinh"),
    "Asinh": lambda x: 1 / (x * x + 1).of("Sqrt"),
    "Acosh": lambda x: 1 / (x * x - 1).of("Sqrt"),
    "Atanh": lambda x: 1 / (1 - x * x),
    "Erf": lambda x: _TWO_OVER_ROOT_PI * (-(x * x)).of("Exp"),
    "Softplus": lambda x: x.of("Sigmoid"),
    "Softsign": lambda x: 1 / (1 + x.of("Abs")) ** 2,
    "Relu": lambda x: _above(x, 0, 1.0, 0.0),
    "HardSwish": lambda x: _above(x, 3, 1.0, _above(x, -3, x / 3 + 0.5, 0.0)),
}
_OF_Y: dict[str, Callable[[Term], Term]] = {
    "Exp": lambda y: y,
    "Sqrt": lambda y: 0.5 / y,
    "Reciprocal": lambda y: -(y * y),
    "Tan": lambda y: 1 + y * y,
    "Tanh": lambda y: 1 - y * y,
    "Sigmoid": lambda y: y * (1 - y),
}
_OF_OP: dict[str, Callable[[Any, Term], Term]] = {
    "LeakyRelu": lambda op, x: _above(x, 0, 1.0, op.alpha),
    "ThresholdedRelu": lambda op, x: _above(x, op.alpha, 1.0, 0.0),
    "Elu": lambda op, x: _above(x, 0, 1.0, op.alpha * x.least(0).of("Exp")),
    "Selu": lambda op, x: op.gamma * _above(x, 0, 1.0, op.alpha * x.least(0).of("Exp")),
    "Celu": lambda op, x: _above(x, 0, 1.0, (x.least(0) / op.alpha).of("Exp")),
    "HardSigmoid": lambda op, x: _inside(op.alpha * x + op.beta, op.alpha),
    "Gelu": lambda op, x: _gelu(x, op.approximate),
    "Swish": lambda op, x: _swish(x, op.alpha),
}


def _above(x: Term, bound: float, yes: float | Term, no: float | Term) -> Term:
    """One factor where x is above a bound, another elsewhere."""
    test = x.test("Greater", bound)
    if isinstance(yes, float) and isinstance(no, float):
        yes = Term(x.write, x.write.number(yes, x.value))
    return test.where(yes, no)


def _inside(x: Term, factor: float) -> Term:
    """A factor where x is between 0 and 1, 0 elsewhere."""
    within = x.test("Greater", 0)._with("And", x.test("Less", 1))
    return within.where(Term(x.write, x.write.number(factor, x.value)), 0.0)


def _gelu(x: Term, approximate: str) -> Term:
    if approximate == "tanh":
        c = math.sqrt(2 / math.pi)
        t = (c * (x + 0.044715 * (x * x * x))).of("Tanh")
        inner = c * (1 + 3 * 0.044715 * (x * x))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner
    normal = 0.5 * (1 + (x * math.sqrt(0.5)).of("Erf"))
    return normal + x * (1 / math.sqrt(2 * math.pi)) * (-0.5 * (x * x)).of("Exp")


def _swish(x: Term, alpha: float) -> Term:
    s = (alpha * x).of("Sigmoid")
    return s + alpha * x * s * (1 - s)


@rule(*_OF_X)
def _by_operand(s: Step) -> Grads:
    """dy times the derivative."""
    return s.first(s.dy * _OF_X[s.op.op_type](s.x))


@rule(*_OF_Y)
def _by_result(s: Step) -> Grads:
    """dy times the derivative."""
    return s.first(s.dy * _OF_Y[s.op.op_type](s.y))


@rule(*_OF_OP)
def _by_attributes(s: Step) -> Grads:
    """dy times the derivative."""
    return s.first(s.dy * _OF_OP[s.op.op_type](s.op, s.x))


@rule("Neg")
def _neg(s: Step) -> Grads:
    """-dy."""
    return s.first(-s.dy)


@rule("Mish")
def _mish(s: Step) -> Grads:
    """dy (t + x sigmoid(x) (1 - t²)) where t is tanh(softplus(x))."""
    x, t = s.x, s.x.of("Softplus").of("Tanh")
    return s.first(s.dy * (t + x * x.of("Sigmoid") * (1 - t * t)))


@rule("Floor", "Ceil", "Round", "Sign")
def _steps(s: Step) -> Grads:
    """Nothing: they are constant almost everywhere."""
    return [None] * len(s.node.inputs)


@rule("Cast", "CastLike")
def _cast(s: Step) -> Grads:
    """dy in the type of the input."""
    dtype = s.input(0).type.dtype
    assert dtype is not None
    return s.first(s("Cast", s.dy.value, to=dtype.value))


@rule("Dropout")
def _dropout(s: Step) -> Grads:
    """dy, where nothing is dropped."""
    s.only_first()
    training = s.node.operand(2)
    if training is not None and told(training) != (False,):
        raise NoGradient("elements may be dropped at random")
    return s.first(s.dy)


@rule("Add", "Sum")
def _add(s: Step) -> Grads:
    """dy for each."""
    return [s.onto(s.dy, n) for n in range(len(s.node.inputs))]


@rule("Mean")
def _mean(s: Step) -> Grads:
    """A share of dy for each."""
    share = s.dy / len(s.node.inputs)
    return [s.onto(share, n) for n in range(len(s.node.inputs))]


@rule("Sub")
def _sub(s: Step) -> Grads:
    """dy and -dy."""
    return s.onto(s.dy, 0), s.onto(-s.dy, 1) if s.wanted[1] else None


@rule("Mul")
def _mul(s: Step) -> Grads:
    """dy b and dy a."""
    a, b = s.terms()
    return [s.onto(s.dy * other, n) if s.wanted[n] else None for n, other in enumerate((b, a))]


@rule("Div")
def _div(s: Step) -> Grads:
    """dy / b and -dy y / b."""
    each = s.dy / s.terms()[1]
    return s.onto(each, 0), s.onto(-(each * s.y), 1) if s.wanted[1] else None


@rule("Pow")
def _pow(s: Step) -> Grads:
    """dy p x^(p-1), and dy y log x where x is above 0."""
    x, p = s.terms()
    if p.value.type.dtype is not x.value.type.dtype:
        assert x.value.type.dtype is not None
        p = p.of("Cast", to=x.value.type.dtype.value)
    squares = told(s.input(1)) == (2,)
    slope = 2 * x if squares else p * x ** (p - 1)
    first = s.onto(s.dy * slope, 0) if s.wanted[0] else None
    if not s.wanted[1]:
        return first, None
    positive = x.test("Greater", 0)
    logarithm = positive.where(x, 1.0).of("Log")
    return first, s.onto(s.dy * s.y * logarithm, 1)


@rule("Max", "Min")
def _extreme(s: Step) -> Grads:
    """dy shared among the operands that are the result."""
    dtype = s.node.output.type.dtype
    assert dtype is not None
    hits = [t.test("Equal", s.y).of("Cast", to=dtype.value) for t in s.terms()]
    count = hits[0]
    for hit in hits[1:]:
        count = count + hit
    share = s.dy / count
    return [s.onto(share * hit, n) for n, hit in enumerate(hits)]


@rule("Where")
def _where(s: Step) -> Grads:
    """dy where the condition holds, and where not."""
    condition = s.terms()[0]
    yes = s.onto(condition.where(s.dy, 0.0), 1) if s.wanted[1] else None
    return None, yes, s.onto(condition.where(0.0, s.dy), 2) if s.wanted[2] else None


@rule("PRelu")
def _prelu(s: Step) -> Grads:
    """dy, times the slope below 0; of the slope dy x there."""
    x, slope = s.terms()
    above = x.test("Greater", 0)
    first = s.onto(above.where(s.dy, s.dy * slope), 0)
    return first, s.onto(above.where(0.0, s.dy * x), 1) if s.wanted[1] else None


@rule("Clip")
def _clip(s: Step) -> Grads:
    """dy inside the bounds; of a bound dy where it is the result."""
    inner = s.dy
    grads: list[Value | None] = [None] * len(s.node.inputs)
    for n, name in ((1, "Less"), (2, "Greater")):
        bound = s.node.operand(n)
        if bound is not None:
            beyond = s.x.test(name, bound)
            if s.wanted[n]:
                grads[n] = s.onto(beyond.where(s.dy, 0.0), n)
            inner = beyond.where(0.0, inner)
    grads[0] = s.onto(inner, 0)
    return grads


@rule("Mod")
def _mod(s: Step) -> Grads:
    """dy, and minus dy times how often b goes into a."""
    a, b = s.terms()
    whole = (a - s.y) / b
    rounded = whole.of("Round")
    return s.onto(s.dy, 0), s.onto(-(s.dy * rounded), 1) if s.wanted[1] else None
