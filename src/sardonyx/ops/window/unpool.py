"""MaxUnpool: puts pooled elements back where their maxima were."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument, RuntimeException
from sardonyx.core.expr import Expr
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Op
from sardonyx.ops.base.given import wholes
from sardonyx.ops.base.shapes import (
    at_most,
    check_size,
    known,
    length_of,
    need_rank,
    refuse,
    same_dims,
    unknown_dim,
)
from sardonyx.ops.window.windows import settings


class MaxUnpool(Op, kw_only=True):
    """Zeros, but for the elements of X at the positions that MaxPool found them at."""

    since = 9
    tolerance = "exact"
    kernel_shape: tuple[int, ...]
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def _dims(self, dims: tuple[Expr, ...]) -> tuple[Expr, ...]:
        n = len(dims) - 2
        kernel = settings(self.kernel_shape, n, "kernel_shape")
        strides = settings(self.strides, n, "strides")
        pads = settings(self.pads, 2 * n, "pads", default=0, least=0)
        rows = zip(dims[2:], strides, kernel, pads[:n], pads[n:], strict=True)
        return (*dims[:2], *((d - 1) * s + (k - b - e) for d, s, k, b, e in rows))

    def infer(self, x: Type, indices: Type, shape: Type | None = None) -> Type:
        need_rank(x, 3)
        if x.shape is None:
            return Type(x.dtype)
        same_dims(indices, x.shape, "the indices")
        if shape is None:
            return x.with_shape(self._dims(x.shape))
        length, lengths = length_of(shape), known(shape)
        if length is not None and length != len(x.shape):
            raise refuse("E0325", "the output's shape has another rank", length, len(x.shape))
        if lengths is None:
            lengths = tuple(unknown_dim("unpooled") for _ in x.shape)
        else:
            for own, given in zip(self._dims(x.shape), lengths, strict=True):
                at_most(own, given)
        return x.with_shape(lengths)

    def expand(
        self, graph: Graph, x: Value, indices: Value, shape: Value | None = None
    ) -> Value | None:
        if x.type.shape is None or (shape is not None and known(shape.type) is None):
            return None
        write, flat = Body(graph, "unpool"), (-1,)
        dims = self.dims_of(write, x)
        count = write("ReduceProd", dims, write.ints(0))
        zero = Tensor.of(np.zeros(1, x.type.dtype.numpy if x.type.dtype else np.float32))
        blank = write("ConstantOfShape", count, value=zero)
        spots = write.reshape(indices, flat)
        # None counts from the end.
        below = write("Less", spots, write.constant(np.int64(0)))
        spots = write("Where", below, count, spots)
        put = write("ScatterElements", blank, spots, write.reshape(x, flat), axis=0)
        y = write("Reshape", put, dims)
        if shape is None:
            return y
        zeros = write.ints(*[0] * len(x.type.shape))
        kept = write("Min", dims, shape)
        missing = write("Concat", zeros, write("Sub", shape, kept), axis=0)
        return write("Pad", write("Slice", y, zeros, kept), missing)

    def dims_of(self, write: Body, x: Value) -> Value:
        """The output's dims as a value of the graph."""
        dims = self._dims(x.type.dims)
        rank = len(dims)
        if all(d.is_const for d in dims):
            return write.ints(*(int(d.arg) for d in dims))
        n = rank - 2
        kernel = settings(self.kernel_shape, n, "kernel_shape")
        strides = settings(self.strides, n, "strides")
        pads = settings(self.pads, 2 * n, "pads", default=0, least=0)
        more = [
            k - b - e - s for k, b, e, s in zip(kernel, pads[:n], pads[n:], strides, strict=True)
        ]
        wide = write("Mul", write("Shape", x), write.ints(1, 1, *strides))
        return write("Add", wide, write.ints(0, 0, *more))

    def reference(self, x: Array, indices: Array, shape: Array | None = None) -> Array:
        n = x.ndim - 2
        kernel = settings(self.kernel_shape, n, "kernel_shape")
        strides = settings(self.strides, n, "strides")
        pads = settings(self.pads, 2 * n, "pads", default=0, least=0)
        rows = zip(x.shape[2:], strides, kernel, pads[:n], pads[n:], strict=True)
        own = (*x.shape[:2], *((d - 1) * s + k - b - e for d, s, k, b, e in rows))
        check_size(DType.from_numpy(x.dtype), own)
        y = np.zeros(int(np.prod(own)), x.dtype)
        flat = indices.reshape(-1)
        if flat.size and not 0 <= flat.min() <= flat.max() < y.size:
            given, wanted = f"{flat.min()} to {flat.max()}", f"[0, {y.size})"
            raise RuntimeException("E0404", "an index is out of range", given=given, wanted=wanted)
        y[flat] = x.reshape(-1)
        y = y.reshape(own)
        if shape is None:
            return y
        whole = wholes(shape, x.ndim, "the output's dims")
        check_size(DType.from_numpy(x.dtype), whole)
        if any(a > b for a, b in zip(own, whole, strict=True)):
            raise InvalidArgument("E0211", "the output is too small", given=whole, wanted=own)
        made = np.zeros(whole, x.dtype)
        made[tuple(map(slice, own))] = y
        return made
