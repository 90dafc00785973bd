"""Steps that multiply and add: matrix products, convolutions, attention, pools."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuzz.grow import Grower, Skip, dim, known, rank
from sardonyx.core.dtype import DType
from sardonyx.graph.ir import Value


def weights(g: Grower) -> None:
    """A MatMul with constant weights on the right, then perhaps a bias and an activation."""
    x = g.number(1, 5)
    assert x.dtype is not None
    k, n = (known(x, -1), g.one(1, 2, 3, 5, 8, 16, 17, 33, 64))
    shape = (k,) if g.maybe(0.1) else (k, n)
    y = g.emit("MatMul", x, g.normal(shape, x.dtype, k**-0.5))
    if g.maybe(0.5) and len(shape) == 2:
        y = g.emit("Add", y, g.normal((n,), x.dtype))
    if g.maybe(0.5):
        g.emit(g.one("Relu", "Gelu", "Sigmoid", "Tanh"), y)


def left_weights(g: Grower) -> None:
    """A MatMul with constant weights on the left."""
    x = g.number(2, 5)
    assert x.dtype is not None
    k = known(x, -2)
    g.emit("MatMul", g.normal((g.one(1, 3, 8, 17), k), x.dtype, k**-0.5), x)


def attention(g: Grower) -> None:
    """x times its own transpose, softmax, times x again."""
    x = g.number(2, 5)
    assert x.dtype is not None
    perm = [*range(rank(x) - 2), rank(x) - 1, rank(x) - 2]
    turned = g.emit("Transpose", x, perm=tuple(perm))
    scores = g.emit("MatMul", x, turned)
    factor = (dim(x, -1) or 4) ** -0.5
    scores = g.emit("Mul", scores, g.const(np.array(factor).astype(x.dtype.numpy)))
    g.emit("MatMul", g.emit("Softmax", scores, axis=-1), x)


def product(g: Grower) -> None:
    """A MatMul of two computed values."""
    x = g.number(2, 5)
    inner = x.type.dims[-1]
    y = g.pick(lambda v: v.dtype is x.dtype and rank(v) == rank(x) and v.type.dims[-2] is inner)
    g.emit("MatMul", x, y)


def gemm(g: Grower) -> None:
    """A Gemm with any transposition, scaling and bias."""
    x = g.number(2, 3)
    assert x.dtype is not None
    turned, flipped = g.below(0, 2), g.below(0, 2)
    k, n = (known(x, 0 if turned else 1), g.one(1, 3, 8, 17, 32))
    w = g.normal((n, k) if flipped else (k, n), x.dtype, k**-0.5)
    c = g.normal(g.one((n,), (1, n), (), (1, 1)), x.dtype) if g.maybe(0.6) else None
    settings: dict[str, Any] = {"transA": turned, "transB": flipped}
    if g.maybe(0.4):
        settings |= {"alpha": 0.5, "beta": g.one(2.0, 0.0, 1.0)}
    g.emit("Gemm", x, w, c, **settings)


def einsum(g: Grower) -> None:
    """An Einsum of one or two values."""
    x = g.number(3, 4)
    text = g.one("bij,bkj->bik", "bij,bjk->bik", "bij->bji", "bij->bi", "bij,bij->b")
    g.emit("Einsum", *([x, x] if "," in text else [x]), equation=text)


def window(g: Grower, x: Value, most: int = 3) -> dict[str, Any]:
    """Kernel, strides, pads and dilations that leave at least one element."""
    spatial = rank(x) - 2
    kernel, strides, dilations, pads = ([], [], [], [0] * (2 * spatial))
    for n in range(spatial):
        size = dim(x, n + 2)
        if size == 0:
            raise Skip
        k = g.below(1, most + 1) if size is None else g.below(1, min(most, size) + 1)
        if size is None:
            k = 1 if g.maybe(0.5) else 3
        kernel.append(k)
        strides.append(g.one(1, 1, 2))
        wide = k > 1 and (size or 0) > 2 * (k - 1)
        dilations.append(g.one(1, 2) if wide and g.maybe(0.3) else 1)
        low = k // 2 if size is None or g.maybe(0.6) else 0
        pads[n], pads[n + spatial] = (low, low if g.maybe(0.8) or size is None else 0)
    return {"kernel_shape": tuple(kernel), "strides": tuple(strides),
            "dilations": tuple(dilations), "pads": tuple(pads)}  # fmt: skip


def conv(g: Grower) -> None:
    """A Conv with groups, then perhaps a normalisation and an activation."""
    x = g.number(3, 5)
    assert x.dtype is not None
    c = known(x, 1)
    settings = window(g, x)
    if g.maybe(0.1):
        del settings["pads"]
        settings |= {"auto_pad": g.one("SAME_UPPER", "SAME_LOWER", "VALID")}
        settings |= {"dilations": (1,) * (rank(x) - 2)}
    groups = g.one(1, 1, c, *[n for n in range(1, c + 1) if c % n == 0])
    out = groups * g.one(1, 1, 2, 4, 8)
    shape = (out, c // groups, *settings["kernel_shape"])
    w = g.normal(shape, x.dtype, np.prod(shape[1:]) ** -0.5)
    bias = g.normal((out,), x.dtype) if g.maybe(0.6) else None
    y = g.emit("Conv", x, w, bias, group=groups, **settings)
    if g.maybe(0.3):
        parts = [g.normal((out,), x.dtype) for _ in range(3)]
        spread = g.const((g.rng.random(out) + 0.5).astype(x.dtype.numpy))
        y = g.emit("BatchNormalization", y, *parts, spread)
    if g.maybe(0.4):
        y = g.emit(g.one("Relu", "Sigmoid", "HardSwish"), y)
    if g.maybe(0.3) and y.shape == x.shape:
        g.emit("Add", y, x)


def plain_conv(g: Grower) -> None:
    """A 3x3 or 1x1 Conv of stride 1, as networks have them."""
    x = g.number(4, 5)
    assert x.dtype is not None
    c, k, out = (known(x, 1), g.one(1, 3), g.one(4, 8, 16, 32))
    w = g.normal((out, c, k, k), x.dtype, (c * k * k) ** -0.5)
    y = g.emit("Conv", x, w, g.normal((out,), x.dtype), pads=(k // 2,) * 4)
    g.emit("Relu", y)


def conv_transpose(g: Grower) -> None:
    """A ConvTranspose."""
    x = g.number(3, 5)
    assert x.dtype is not None
    c = known(x, 1)
    groups = g.one(1, 1, c)
    spatial = rank(x) - 2
    kernel = tuple(g.below(1, 4) for _ in range(spatial))
    w = g.normal((c, g.one(1, 2, 4), *kernel), x.dtype, c**-0.5)
    strides = tuple(g.one(1, 2) for _ in range(spatial))
    g.emit("ConvTranspose", x, w, group=groups, strides=strides)


def pool(g: Grower) -> None:
    """A pool, windowed or global."""
    x = g.number(3, 5)
    if g.maybe(0.3):
        g.emit(g.one("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), x)
        return
    settings = window(g, x)
    kind = g.one("MaxPool", "MaxPool", "AveragePool", "AveragePool", "LpPool")
    settings["ceil_mode"] = g.below(0, 2)
    if kind == "AveragePool":
        settings["count_include_pad"] = g.below(0, 2)
    outputs = 2 if kind == "MaxPool" and g.maybe(0.2) else 1
    g.emit(kind, x, outputs=outputs, **settings)


def integer_product(g: Grower) -> None:
    """A MatMulInteger with zero points."""
    x = g.pick(lambda v: v.dtype in (DType.INT8, DType.UINT8) and rank(v) >= 2)
    assert x.dtype is not None
    k, n = known(x, -1), g.one(1, 4, 17, 32)
    w = g.normal((k, n), g.one(DType.INT8, DType.UINT8))
    zero = g.const(np.array(3, x.dtype.numpy)) if g.maybe(0.5) else None
    g.emit("MatMulInteger", x, w, zero)


STEPS = (
    weights,
    weights,
    weights,
    left_weights,
    attention,
    product,
    gemm,
    einsum,
    conv,
    conv,
    plain_conv,
    conv_transpose,
    pool,
    pool,
    integer_product,
)
