"""Gradients of reductions and of what is computed along whole axes."""

from __future__ import annotations

from sardonyx.gradient.step import WRITTEN, Grads, NoGradient, Step, Term, dims, rule, told
from sardonyx.graph.ir import Value


def _kept(s: Step, v: Value) -> Term:
    """A reduced value with the axes that it lost, each of extent 1."""
    if s.op.keepdims or _is_all(s):
        return Term(s, v)
    axes = s.node.operand(1)
    if axes is None:
        rank = len(dims(s.input(0)))
        axes = s.ints(*range(rank))
    return Term(s, s("Unsqueeze", v, axes))


def _is_all(s: Step) -> bool:
    """Whether nothing is reduced, as an empty list of axes may say."""
    axes = s.node.operand(1)
    empty = axes is None or told(axes) == ()
    return bool(empty and s.op.noop_with_empty_axes)


def _spread(s: Step, grad: Term) -> Grads:
    """A gradient with the extents of the input."""
    x = s.input(0)
    if grad.value.type.shape == x.type.shape:
        return s.first(grad)
    return s.first(s("Expand", grad.value, s.shape(x)))


@rule("ReduceSum")
def _sum(s: Step) -> Grads:
    """dy for each."""
    return _spread(s, _kept(s, s.dy.value))


@rule("ReduceMean")
def _mean(s: Step) -> Grads:
    """A share of dy for each."""
    count = Term(s, s.size_of(s.input(0))) / s.size_of(s.node.output)
    return _spread(s, _kept(s, (s.dy / count).value))


@rule("ReduceMax", "ReduceMin")
def _extreme(s: Step) -> Grads:
    """dy shared among the elements that are the result."""
    dtype = s.node.output.type.dtype
    assert dtype is not None
    hits = s.x.test("Equal", _kept(s, s.node.output)).of("Cast", to=dtype.value)
    noop, rest = s.op.noop_with_empty_axes, s.node.inputs[1:]
    count = s("ReduceSum", hits.value, *rest, keepdims=1, noop_with_empty_axes=noop)
    share = _kept(s, s.dy.value) / count
    return s.first(hits * share)


@rule("ReduceL1")
def _l1(s: Step) -> Grads:
    """dy times the sign."""
    return s.first(_kept(s, s.dy.value) * s.x.of("Sign"))


@rule("ReduceL2")
def _l2(s: Step) -> Grads:
    """dy x / y, 0 where y is."""
    y = _kept(s, s.node.output)
    safe = y.test("Equal", 0).where(1.0, y)
    return s.first(_kept(s, s.dy.value) * (s.x / safe))


@rule("ReduceSumSquare")
def _sum_square(s: Step) -> Grads:
    """dy 2 x."""
    return s.first(_kept(s, s.dy.value) * (2 * s.x))


@rule("ReduceLogSum")
def _log_sum(s: Step) -> Grads:
    """dy over the sum."""
    return _spread(s, _kept(s, (s.dy * (-s.y).of("Exp")).value))


@rule("ReduceLogSumExp")
def _log_sum_exp(s: Step) -> Grads:
    """dy exp(x - y)."""
    return s.first(_kept(s, s.dy.value) * (s.x - _kept(s, s.node.output)).of("Exp"))


def _along(s: Step, grad: Term) -> Term:
    """The sum along the operator's axis."""
    return Term(s, s.total(grad.value, [s.op.axis], keep=True))


@rule("Softmax")
def _softmax(s: Step) -> Grads:
    """(dy - sum(dy y)) y."""
    return s.first((s.dy - _along(s, s.dy * s.y)) * s.y)


@rule("LogSoftmax")
def _log_softmax(s: Step) -> Grads:
    """dy - exp(y) sum(dy)."""
    return s.first(s.dy - s.y.of("Exp") * _along(s, s.dy))


@rule("GlobalAveragePool")
def _global_average(s: Step) -> Grads:
    """A share of dy for each."""
    x = s.input(0)
    count = Term(s, s.size_of(x)) / s.size_of(s.node.output)
    share = s.dy / count
    return s.first(s("Expand", share.value, s.shape(x)))


@rule("GlobalMaxPool")
def _global_max(s: Step) -> Grads:
    """dy shared among the largest."""
    dtype = s.node.output.type.dtype
    assert dtype is not None
    hits = s.x.test("Equal", s.y).of("Cast", to=dtype.value)
    axes = range(2, len(dims(s.input(0))))
    count = s.total(hits.value, axes, keep=True)
    share = s.dy / count
    return s.first(hits * share)


@rule("BatchNormalization")
def _batch(s: Step) -> Grads:
    """With given statistics: y = (x - mean) k scale + bias, where k = 1 / sqrt(var + eps)."""
    s.only_first()
    if getattr(s.op, "training_mode", 0):
        raise NoGradient("it computes its statistics from the batch")
    rank = len(dims(s.input(0)))

    def wide(v: Value) -> Term:
        return Term(s, s("Unsqueeze", v, s.ints(*(n for n in range(rank) if n != 1))))

    def narrow(t: Term) -> Value:
        return s.total(t.value, [n for n in range(rank) if n != 1])

    x, scale, _, mean, variance = s.terms()
    k = 1 / (variance + s.op.epsilon).of("Sqrt")
    factor = wide((scale * k).value)
    found: list[Value | None] = [(s.dy * factor).value, None, None, None, None]
    apart = x - wide(mean.value)
    if s.wanted[1] or s.wanted[4]:
        weighed = narrow(s.dy * apart)
        found[1] = (Term(s, weighed) * k).value
        found[4] = (-0.5 * (Term(s, weighed) * scale) * k * k * k).value
    if s.wanted[2] or s.wanted[3]:
        shift = narrow(s.dy)
        found[2], found[3] = shift, (-(Term(s, shift) * scale * k)).value
    return found


def _instance(s: Step) -> tuple[Value, ...]:
    """Each channel of each row standardised, scaled and shifted."""
    x, scale, bias = s.terms()
    rank = len(dims(x.value))
    axes = s.ints(*range(2, rank))
    apart = x - s("ReduceMean", x.value, axes)
    variance = Term(s, s("ReduceMean", (apart * apart).value, axes))
    y = apart / (variance + s.op.epsilon).of("Sqrt")
    wide = (s("Unsqueeze", t.value, s.ints(*range(1, rank - 1))) for t in (scale, bias))
    factor, shift = wide
    return ((y * factor + shift).value,)


def _lp(s: Step) -> tuple[Value, ...]:
    """x over its norm along the axis."""
    name = "ReduceL1" if s.op.p == 1 else "ReduceL2"
    return ((s.x / s(name, s.input(0), s.ints(s.op.axis))).value,)


WRITTEN.update({"InstanceNormalization": _instance, "LpNormalization": _lp})
