"""Products and convolutions fused with what is about them."""

from __future__ import annotations

from sardonyx.core.expr import number
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Value
from sardonyx.ops.base.shapes import need_rank, same_dim
from sardonyx.ops.microsoft.composed import Composed, Made, activated, integers, like


class TransposeMatMul(Composed):
    """alpha * A' @ B' with rows and columns exchanged."""

    transBatchA = 0  # noqa: N815 - ONNX Runtime's name
    transBatchB = 0  # noqa: N815 - ONNX Runtime's name
    alpha: float = 1.0
    transA: int = 0  # noqa: N815 - ONNX Runtime's name
    transB: int = 0  # noqa: N815 - ONNX Runtime's name

    def compose(self, body: Body, a: Value, b: Value) -> Value:
        left = _turned(body, a, self.transA, self.transBatchA)
        right = _turned(body, b, self.transB, self.transBatchB)
        y = body("MatMul", left, right)
        return y if self.alpha == 1 else body("Mul", y, like(body, y, self.alpha))


class FusedMatMul(TransposeMatMul):
    """TransposeMatMul whose batch axes may come after the rows too."""

    transBatchA: int = 0  # noqa: N815 - ONNX Runtime's name
    transBatchB: int = 0  # noqa: N815 - ONNX Runtime's name


class FusedMatMulActivation(FusedMatMul, kw_only=True):
    """FusedMatMul and an activation."""

    activation: str
    activation_alpha: float | None = None
    activation_beta: float | None = None
    activation_gamma: float | None = None
    activation_axis: int | None = None

    def compose(self, body: Body, a: Value, b: Value) -> Value:
        given = (self.activation_alpha, self.activation_beta, self.activation_gamma)
        y = super().compose(body, a, b)
        if self.activation == "Softmax":
            axis = -1 if self.activation_axis is None else self.activation_axis
            return body("Softmax", y, axis=axis)
        return activated(body, y, self.activation, *(p for p in given if p is not None))


def _turned(body: Body, x: Value, flip: int, batch: int) -> Value:
    rank = len(x.type.dims)
    if rank < 2:
        return x
    order = list(range(rank))
    if batch:
        order = [*order[1 : rank - 1], 0, rank - 1]
    if flip:
        order[-2:] = order[:-3:-1]
    return x if order == list(range(rank)) else body.transpose(x, *order)


class FusedGemm(Composed, kw_only=True):
    """Gemm and an activation."""

    alpha: float = 1.0
    beta: float = 1.0
    transA: int = 0  # noqa: N815 - ONNX Runtime's name
    transB: int = 0  # noqa: N815 - ONNX Runtime's name
    activation: str | None = None
    activation_alpha: float | None = None
    activation_beta: float | None = None
    activation_gamma: float | None = None

    def compose(self, body: Body, a: Value, b: Value, c: Made = None) -> Value:
        y = body("Gemm", a, b, c, alpha=self.alpha, beta=self.beta, transA=self.transA,
                 transB=self.transB)  # fmt: skip
        given = (self.activation_alpha, self.activation_beta, self.activation_gamma)
        return activated(body, y, self.activation, *(p for p in given if p is not None))


class GemmFastGelu(Composed):
    """The tanh form of Gelu of X @ W + bias."""

    def compose(self, body: Body, x: Value, w: Value, bias: Made = None) -> Value:
        y = body("MatMul", x, w)
        return body("Gelu", y if bias is None else body("Add", y, bias), approximate="tanh")


class _Windows(Composed, abstract=True):
    auto_pad: str = "NOTSET"
    dilations: tuple[int, ...] | None = None
    group: int = 1
    kernel_shape: tuple[int, ...] | None = None
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def convolve(self, body: Body, x: Value, w: Value, bias: Made) -> Value:
        """The standard's convolution."""
        return body("Conv", x, w, bias, auto_pad=self.auto_pad, dilations=self.dilations,
                    group=self.group, kernel_shape=self.kernel_shape, pads=self.pads,
                    strides=self.strides)  # fmt: skip


class FusedConv(_Windows):
    """Conv, the sum with Z, and an activation."""

    activation: str | None = None
    activation_params: tuple[float, ...] | None = None

    def compose(self, body: Body, x: Value, w: Value, b: Made = None, z: Made = None) -> Value:
        y = self.convolve(body, x, w, b)
        if z is not None:
            y = body("Add", y, z)
        return activated(body, y, self.activation, *(self.activation_params or ()))


class NhwcConv(_Windows):
    """Conv with the channels last in the input, the weights and the output."""

    def compose(self, body: Body, x: Value, w: Value, b: Made = None) -> Value:
        return last(body, self.convolve(body, first(body, x), first(body, w), b))


class NhwcFusedConv(FusedConv):
    """FusedConv with the channels last in the input, the weights, Z and the output."""

    def compose(self, body: Body, x: Value, w: Value, b: Made = None, z: Made = None) -> Value:
        added = None if z is None else first(body, z)
        return last(body, super().compose(body, first(body, x), first(body, w), b, added))


class NhwcMaxPool(Composed, kw_only=True):
    """MaxPool with the channels last."""

    auto_pad: str = "NOTSET"
    ceil_mode: int = 0
    dilations: tuple[int, ...] | None = None
    kernel_shape: tuple[int, ...]
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def compose(self, body: Body, x: Value) -> Value:
        y = body("MaxPool", first(body, x), auto_pad=self.auto_pad, ceil_mode=self.ceil_mode,
                 dilations=self.dilations, kernel_shape=self.kernel_shape, pads=self.pads,
                 strides=self.strides)  # fmt: skip
        return last(body, y)


def first(body: Body, x: Value) -> Value:
    """`x` with its last axis, the channels, made the second."""
    rank = len(x.type.dims)
    return body.transpose(x, 0, rank - 1, *range(1, rank - 1))


def last(body: Body, x: Value) -> Value:
    """`x` with its second axis, the channels, made the last."""
    rank = len(x.type.dims)
    return body.transpose(x, 0, *range(2, rank), 1)


class CDist(Composed):
    """The Euclidean distances, or their squares, between the rows of two matrices."""

    metric: str = "sqeuclidean"

    def compose(self, body: Body, a: Value, b: Value) -> Value:
        for x, what in ((a, "A"), (b, "B")):
            need_rank(x.type, 2, 2, what)
        same_dim(a.type.dims[1], b.type.dims[1])
        rows, columns = (body("Unsqueeze", x, integers(body, n)) for x, n in ((a, 1), (b, 0)))
        difference = body("Sub", rows, columns)
        squares = body("Mul", difference, difference)
        total = body("ReduceSum", squares, integers(body, 2), keepdims=0)
        return body("Sqrt", total) if self.metric == "euclidean" else total


class ConvTransposeWithDynamicPads(Composed, kw_only=True):
    """ConvTranspose whose pads are an input that is known before running."""

    auto_pad: str = "NOTSET"
    dilations: tuple[int, ...] | None = None
    group: int = 1
    kernel_shape: tuple[int, ...] | None = None
    output_padding: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def compose(self, body: Body, x: Value, w: Value, pads: Made = None, b: Made = None) -> Value:
        known = None if pads is None else pads.type.value
        if pads is not None and known is None:
            raise NotImplementedError("ConvTransposeWithDynamicPads with pads known only in a run")
        found = None if known is None else tuple(number(e) for e in known)
        return body("ConvTranspose", x, w, b, auto_pad=self.auto_pad, dilations=self.dilations,
                    group=self.group, kernel_shape=self.kernel_shape, pads=found,
                    output_padding=self.output_padding, strides=self.strides)  # fmt: skip
