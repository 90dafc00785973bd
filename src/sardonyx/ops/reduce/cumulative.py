"""Running sums and products along an axis."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, const, fresh, minimum, number, product
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Op
from sardonyx.loops.build import identity
from sardonyx.loops.ir import For, Kernel, Stmt, Store
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.given import whole
from sardonyx.ops.base.loops import Memory
from sardonyx.ops.base.shapes import axis_of, known_ints, like, need_rank

# Running results of these would be rounded at every step.
NARROW = (DType.FLOAT16, DType.BFLOAT16)
# Rows side by side where the axis is the last one, and elements of a task where it is not.
_ROWS, _BLOCK = 8, 1024


class Cumulative(Op, abstract=True):
    """The fold of every element with those before it along the axis.

    `exclusive` leaves the element itself out; `reverse` goes from the end.
    """

    tolerance = "reduction"
    ufunc: ClassVar[np.ufunc]
    word: ClassVar[str]
    exclusive: int = 0
    reverse: int = 0

    def infer(self, x: Type, axis: Type) -> Type:
        need_rank(axis, 0, 1, "the axis")
        wanted = known_ints(axis)
        if wanted and x.rank is not None:
            axis_of(wanted[0], x.rank)
        return like(x)

    def express(self, write: Body, opset: int, x: Value, axis: Value) -> Any:
        del opset
        found, rank = known_ints(axis.type), x.type.rank
        if not found or rank is None:
            return "its input `axis` is not known before running"
        at = axis_of(found[0], rank)
        order = [*(n for n in range(rank) if n != at), at]
        zero, one = (write.constant(np.int64(n)) for n in (0, 1))
        places = write("Range", zero, write.size(x, at), one)
        column = write("Unsqueeze", places, write.ints(1))
        pair = (places, column) if not self.reverse else (column, places)
        word = "Less" if self.exclusive else "LessOrEqual"
        rows = write("Unsqueeze", write.transpose(x, *order), write.ints(rank - 1))
        identity = write.number(type(self).ufunc.identity, x)
        kept = write("Where", write(word, *pair), rows, identity)
        name = "ReduceSum" if type(self).ufunc is np.add else "ReduceProd"
        made = write(name, kept, write.ints(rank), keepdims=0)
        return write.transpose(made, *(order.index(n) for n in range(rank)))

    @quiet
    def reference(self, x: Array, axis: Array) -> Array:
        n = axis_of(whole(axis, "the axis"), x.ndim)
        real = np.moveaxis(widen(x), n, 0)
        real = real[::-1] if self.reverse else real
        out = type(self).ufunc.accumulate(real, 0, dtype=real.dtype)
        if self.exclusive and len(real):
            first = np.full_like(real[:1], type(self).ufunc.identity)
            out = np.concatenate([first, out[:-1]])
        return settle(np.moveaxis(out[::-1] if self.reverse else out, 0, n), x.dtype)

    def build(self, outs: tuple[Type, ...], x: Type, axis: Type) -> Kernel | None:
        wanted = known_ints(axis)
        if not wanted or x.dtype is None or x.dtype in NARROW:
            return None
        n = axis_of(wanted[0], len(x.dims))
        outer, extent, inner = product(x.dims[:n]), x.dims[n], product(x.dims[n + 1 :])
        memory = Memory(outs, (x, axis))
        if number(inner) == 1:
            # No lane follows another along memory: rows side by side hide what one waits for.
            width: Expr = const(_ROWS)
            task = fresh((outer + (width - 1)) // width)
            lane = fresh(minimum(outer - task * width, width))
            first, stride = (task * width + lane) * extent, const(1)
        else:
            blocks = (inner + (_BLOCK - 1)) // _BLOCK
            task = fresh(outer * blocks)
            begin = task % blocks * _BLOCK
            lane = fresh(minimum(inner - begin, const(_BLOCK)))
            first, stride = task // blocks * extent * inner + begin + lane, inner
        steps = self._steps(memory, lane, first, stride, extent)
        return memory.kernel(For(task, steps, "parallel"))

    def _steps(
        self, memory: Memory, lane: Expr, first: Expr, stride: Expr, extent: Expr
    ) -> tuple[Stmt, ...]:
        """The steps along the axis, each in lanes; what is so far is read back from the output."""
        word, step = type(self).word, fresh(extent - 1)

        def place(k: Expr) -> Expr:
            return first + (extent - 1 - k if self.reverse else k) * stride

        start, here, following = place(const(0)), place(step), place(step + 1)
        kind = memory.params[0].dtype
        begin = identity(word, kind) if self.exclusive else memory.read(1, start)
        more = memory.read(1, here if self.exclusive else following)
        total = binary(word, memory.read(0, here), more)
        return (
            For(fresh(minimum(extent, 1)), (For(lane, (Store(0, start, begin),), "vector"),)),
            For(step, (For(lane, (Store(0, following, total),), "vector"),)),
        )


class CumSum(Cumulative):
    """The running sum along the axis."""

    since = 11
    ufunc = np.add
    word = "add"


class CumProd(Cumulative):
    """The running product along the axis."""

    since = 26
    ufunc = np.multiply
    word = "mul"
