"""Steps that add up: reductions, normalisations, softmax."""

from __future__ import annotations

from fuzz.grow import Grower, dim, is_float, known, rank
from sardonyx.core.dtype import DType

REDUCTIONS = (
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
    "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd",
)  # fmt: skip


def reduction(g: Grower) -> None:
    """A reduction over any axes."""
    x = g.number()
    kind = g.one(*REDUCTIONS)
    if rank(x) == 0 or g.maybe(0.1):
        g.emit(kind, x, keepdims=g.below(0, 2))
        return
    axes = [n - rank(x) * g.below(0, 2) for n in g.some(range(rank(x)))]
    if kind == "ReduceProd":
        x = g.emit("Sigmoid", x)
    g.emit(kind, x, g.ints(*axes), keepdims=g.below(0, 2))


def whole_reduction(g: Grower) -> None:
    """A reduction of integers."""
    x = g.pick(lambda v: v.dtype in (DType.INT32, DType.INT64) and rank(v) >= 1)
    axes = g.some(range(rank(x)))
    g.emit(g.one("ReduceSum", "ReduceMax", "ReduceMin"), x, g.ints(*axes), keepdims=g.below(0, 2))


def softmax(g: Grower) -> None:
    """A Softmax, LogSoftmax or Hardmax on any axis."""
    x = g.number(1)
    g.emit(g.one("Softmax", "Softmax", "Softmax", "LogSoftmax", "Hardmax"), x, axis=g.axis(x))


def arg(g: Grower) -> None:
    """ArgMax or ArgMin, ties included."""
    x = g.pick(lambda v: v.dtype is not DType.BOOL and rank(v) >= 1)
    settings = {"axis": g.axis(x), "keepdims": g.below(0, 2), "select_last_index": g.below(0, 2)}
    g.emit(g.one("ArgMax", "ArgMin"), x, **settings)


def layer_norm(g: Grower) -> None:
    """LayerNormalization or RMSNormalization from any axis."""
    x = g.number(1)
    assert x.dtype is not None
    axis = g.below(0, rank(x))
    shape = [known(x, n) for n in range(axis, rank(x))]
    scale = g.normal(shape, x.dtype)
    if g.maybe(0.3):
        g.emit("RMSNormalization", x, scale, axis=axis - rank(x))
        return
    bias = g.normal(shape, x.dtype) if g.maybe(0.7) else None
    g.emit("LayerNormalization", x, scale, bias, axis=axis)


def channel_norm(g: Grower) -> None:
    """Batch, instance or group normalisation."""
    x = g.number(3, 5)
    assert x.dtype is not None
    c = known(x, 1)
    scale, bias = (g.normal((c,), x.dtype), g.normal((c,), x.dtype))
    kind = g.one("BatchNormalization", "BatchNormalization", "InstanceNormalization", "Group")
    if kind == "BatchNormalization":
        spread = g.const((g.rng.random(c) + 0.5).astype(x.dtype.numpy))
        g.emit(kind, x, scale, bias, g.normal((c,), x.dtype), spread)
    elif kind == "InstanceNormalization":
        g.emit(kind, x, scale, bias)
    else:
        groups = g.one(*[n for n in range(1, c + 1) if c % n == 0])
        g.emit("GroupNormalization", x, scale, bias, num_groups=groups)


def other_norm(g: Grower) -> None:
    """LpNormalization, MeanVarianceNormalization or LRN."""
    x = g.number(1)
    kind = g.one("LpNormalization", "MeanVarianceNormalization", "LRN")
    if kind == "LpNormalization":
        g.emit(kind, x, axis=g.axis(x), p=g.one(1, 2))
    elif kind == "LRN" and rank(x) == 4 and dim(x, 1):
        g.emit(kind, x, size=g.one(1, 3))
    elif rank(x) == 4:
        g.emit("MeanVarianceNormalization", x)


def squash(g: Grower) -> None:
    """Brings values back to a moderate size."""
    g.emit("Tanh", g.pick(lambda v: is_float(v) and not v.uses))


STEPS = (
    reduction,
    reduction,
    reduction,
    whole_reduction,
    softmax,
    softmax,
    arg,
    layer_norm,
    channel_norm,
    other_norm,
    squash,
)
