"""Gradients of convolutions and pools: each window's gradient goes back to what it looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.expr import number
from sardonyx.gradient.moves import scattered
from sardonyx.gradient.step import Grads, NoGradient, Step, dims, rule
from sardonyx.graph.ir import Value


@dataclass(frozen=True)
class _Windows:
    """The windows of a node: extents of kernel, strides, dilations, pads before and after."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def rank(self) -> int:
        """The number of axes that they slide along."""
        return len(self.kernel)


def _windows(s: Step, kernel: tuple[int, ...] | None) -> _Windows:
    op = s.op
    if kernel is None:
        raise NoGradient("the extents of its kernel are not known")
    rank = len(kernel)
    strides = tuple(op.strides or (1,) * rank)
    dilations = tuple(getattr(op, "dilations", None) or (1,) * rank)
    pads = tuple(op.pads or (0,) * (2 * rank))
    made = _Windows(kernel, strides, dilations, pads[:rank], pads[rank:])
    auto = op.auto_pad
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return _same(s, made, upper=auto == "SAME_UPPER")
    if auto == "VALID":
        zeros = (0,) * rank
        return _Windows(kernel, strides, dilations, zeros, zeros)
    return made


def _same(s: Step, w: _Windows, upper: bool) -> _Windows:
    before, after = [], []
    for n in range(w.rank):
        extent = number(dims(s.input(0))[2 + n])
        if extent is None:
            raise NoGradient("with `auto_pad` the extents must be known")
        reach = (w.kernel[n] - 1) * w.dilations[n] + 1
        count = -(-extent // w.strides[n])
        whole = max(0, (count - 1) * w.strides[n] + reach - extent)
        small, large = whole // 2, whole - whole // 2
        before.append(small if upper else large)
        after.append(large if upper else small)
    return _Windows(w.kernel, w.strides, w.dilations, tuple(before), tuple(after))


def _kernel_of(weight: Value) -> tuple[int, ...] | None:
    found = [number(d) for d in dims(weight)[2:]]
    return None if None in found else tuple(n for n in found if n is not None)


def _back(s: Step, w: _Windows, dy: Value, weight: Value, like: Value, group: int) -> Value:
    """The transposed convolution of dy, in the spatial extents of `like`."""
    wide = s(
        "ConvTranspose", dy, weight, strides=w.strides, dilations=w.dilations, group=group,
        output_padding=tuple(n - 1 for n in w.strides),
    )  # fmt: skip
    if not any(w.before) and dims(wide)[2:] == dims(like)[2:]:
        return wide
    start = s.ints(*w.before)
    axes = range(2, 2 + w.rank)
    extents = s("Slice", s.shape(like), s.ints(2), s.ints(2 + w.rank))
    return s("Slice", wide, start, s("Add", start, extents), s.ints(*axes))


def _weight(s: Step, w: _Windows, x: Value, dy: Value, group: int) -> Value:
    """The gradient of the weights [M, C/group, ...]: x convolved with dy over the batch."""
    spatial = range(2, 2 + w.rank)
    channels = number(dims(x)[1])
    if channels is None:
        raise NoGradient("the number of channels is not known")
    each = channels // group
    if group == 1:
        rows = s.transpose(x, 1, 0, *spatial)
    else:
        batch, extents = s.extent(x, 0), s("Slice", s.shape(x), s.ints(2), s.ints(2 + w.rank))
        apart = s("Concat", batch, s.ints(group, each), extents, axis=0)
        split = s("Reshape", x, apart, allowzero=1)
        turned = s.transpose(split, 2, 1, 0, *range(3, 3 + w.rank))
        joined = s("Concat", s.ints(each), s("Mul", batch, s.ints(group)), extents, axis=0)
        rows = s("Reshape", turned, joined, allowzero=1)
    made = s(
        "Conv", rows, s.transpose(dy, 1, 0, *spatial), strides=w.dilations, dilations=w.strides,
        pads=(*w.before, *w.after), group=group,
    )  # fmt: skip
    cut = s("Slice", made, s.ints(*[0] * w.rank), s.ints(*w.kernel), s.ints(*spatial))
    return s.transpose(cut, 1, 0, *spatial)


@rule("Conv")
def _conv(s: Step) -> Grads:
    """Of the input a transposed convolution of dy, of the weights x convolved with dy."""
    x, weight, dy = s.input(0), s.input(1), s.dy.value
    w = _windows(s, _kernel_of(weight))
    found: list[Value | None] = [None] * len(s.node.inputs)
    if s.wanted[0]:
        found[0] = _back(s, w, dy, weight, x, s.op.group)
    if s.wanted[1]:
        found[1] = _weight(s, w, x, dy, s.op.group)
    if len(found) > 2 and s.wanted[2]:
        found[2] = s.total(dy, [0, *range(2, 2 + w.rank)])
    return found


@rule("ConvTranspose")
def _conv_transpose(s: Step) -> Grads:
    """Of the input a convolution of dy, of the weights dy convolved with x."""
    x, weight, dy = s.input(0), s.input(1), s.dy.value
    if s.op.auto_pad not in ("NOTSET", "VALID") or s.op.output_shape:
        raise NoGradient("its pads are not given")
    w = _windows(s, _kernel_of(weight))
    found: list[Value | None] = [None] * len(s.node.inputs)
    if s.wanted[0]:
        found[0] = s(
            "Conv", dy, weight, strides=w.strides, dilations=w.dilations, group=s.op.group,
            pads=(*w.before, *w.after),
        )  # fmt: skip
    if s.wanted[1]:
        found[1] = _weight(s, w, dy, x, s.op.group)
    if len(found) > 2 and s.wanted[2]:
        found[2] = s.total(dy, [0, *range(2, 2 + w.rank)])
    return found


@rule("MaxPool")
def _max_pool(s: Step) -> Grads:
    """dy added where the largest elements stood."""
    s.only_first()
    given: Any = s.op.attributes()
    given["storage_order"] = 0
    _, places = s.all("MaxPool", s.input(0), outputs=2, **given)
    return s.first(scattered(s, places))


@rule("AveragePool")
def _average_pool(s: Step) -> Grads:
    """Shares of dy added to all that a window counted."""
    x = s.input(0)
    w = _windows(s, s.op.kernel_shape)
    share = s.dy / _counts(s, w)
    flat = s("Concat", s.ints(-1, 1), _extents(s, share.value, w), axis=0)
    alone = s("Reshape", share.value, flat, allowzero=0)
    dtype = s.node.output.type.dtype
    assert dtype is not None
    weight = s.constant(np.ones((1, 1, *w.kernel), dtype.numpy))
    return s.first(s.reshaped(_back(s, w, alone, weight, x, 1), x))


def _extents(s: Step, x: Value, w: _Windows) -> Value:
    return s("Slice", s.shape(x), s.ints(2), s.ints(2 + w.rank))


def _counts(s: Step, w: _Windows) -> Value | float:
    """How many elements each window counted."""
    include = bool(s.op.count_include_pad)
    whole = float(math.prod(w.kernel))
    if not s.op.ceil_mode and (include or not any((*w.before, *w.after))):
        return whole
    one = s.number(1.0, s.node.output)
    shape = s("Concat", s.ints(1, 1), _extents(s, s.input(0), w), axis=0)
    ones = s("Expand", one, shape)
    pads = (*w.before, *w.after)
    if include:
        ones = s("Pad", ones, s.ints(0, 0, *w.before, 0, 0, *w.after), one)
        pads = (0,) * len(pads)
    return s(
        "LpPool", ones, p=1, kernel_shape=w.kernel, strides=w.strides, dilations=w.dilations,
        pads=pads, ceil_mode=s.op.ceil_mode,
    )  # fmt: skip
