"""Resize in all its modes, and its predecessor Upsample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, const, number
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Index, Operand
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import axes_of, axis_of, known, need_rank, refuse
from sardonyx.ops.resample.resampling import Resampling, Scaling, by_scales, floats

# The first opset with coordinates called half_pixel_symmetric.
_SYMMETRIC = 19


class ResizeV10(Resampling):
    """Resize of opset 10: scales only."""

    redefined = (11,)
    mode: str = "nearest"

    def express(self, write: Body, opset: int, x: Value, scales: Value) -> Value | None:
        kind = ResizeV11(
            mode=self.mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )
        none = write.constant(np.zeros(0, np.float32))
        return (
            write(Upsample(mode=self.mode), x, scales)
            if opset < 10
            else write(kind, x, none, scales)
        )

    def plan(self, x: Type, *extras: Type | None) -> Scaling | None:
        scales = floats(extras[0])
        return None if scales is None else by_scales(x, scales, range(len(x.dims)))

    def infer(self, x: Type, scales: Type) -> Type:
        return self.typed(x, scales)

    def reference(self, x: Array, scales: Array) -> Array:
        return self.computed(x, scales)

    def at(self, idx: Index, x: Operand, scales: Operand) -> Expr:
        return self.element(idx, x, self.plan(x.type, scales.type))


class ResizeV11(Resampling):
    """Resize of opsets 11 to 17: to scales or to sizes, with a choice of coordinates."""

    keep_aspect_ratio_policy = "stretch"
    coordinate_transformation_mode: str = "half_pixel"
    cubic_coeff_a: float = -0.75
    exclude_outside: int = 0
    extrapolation_value: float = 0.0
    mode: str = "nearest"
    nearest_mode: str = "round_prefer_floor"

    def needs(self, *inputs: Any) -> int:
        if self.coordinate_transformation_mode == "half_pixel_symmetric":
            return _SYMMETRIC
        return 13 if None in filled(inputs[1:], 3)[:2] else 1

    def express(self, write: Body, opset: int, x: Value, *extras: Value | None) -> Any:
        roi, scales, sizes = filled(extras, 3)
        axes = getattr(self, "axes", None)
        if self.coordinate_transformation_mode == "half_pixel_symmetric" and opset < _SYMMETRIC:
            return f"half_pixel_symmetric came with opset {_SYMMETRIC}"
        if axes is not None:
            return self._of_all(write, x, axes, scales, sizes)
        if opset >= ResizeV11.since:
            if roi is not None and scales is not None:
                return None
            none = write.constant(np.zeros(0, np.float32))
            return write(self, x, roi or none, scales or none, *filter(None, (sizes,)))
        way = self.coordinate_transformation_mode
        plain = self.mode == "linear" or (self.mode == "nearest" and self.nearest_mode == "floor")
        if way != "asymmetric" or not plain or scales is None or not scales.type.shape:
            return "before opset 11 coordinates are asymmetric, and rounded down to the nearest"
        return write(
            (ResizeV10 if opset >= ResizeV10.since else Upsample)(mode=self.mode), x, scales
        )

    def _of_all(
        self,
        write: Body,
        x: Value,
        axes: tuple[int, ...],
        scales: Value | None,
        sizes: Value | None,
    ) -> Any:
        """The same with scales or sizes of all axes."""
        rank = x.type.rank
        policy = self.keep_aspect_ratio_policy != "stretch"
        if rank is None or policy or self.coordinate_transformation_mode == "tf_crop_and_resize":
            return "its axes cannot be written out"
        chosen = [axis_of(a, rank) for a in axes]
        places = write.ints(
            *(chosen.index(n) if n in chosen else len(axes) + n for n in range(rank))
        )

        def whole(part: Value | None, rest: Value) -> Value | None:
            return part and write("Gather", write("Concat", part, rest, axis=0), places, axis=0)

        ones = write.constant(np.ones(rank, np.float32))
        given = {k: v for k, v in self.attributes().items() if k != "axes"}
        every = whole(scales, ones), whole(sizes, write("Shape", x))
        return write(type(self)(**given), x, None, *every)

    def _axes(self, rank: int) -> tuple[int, ...]:
        axes = getattr(self, "axes", None)
        return tuple(range(rank)) if axes is None else axes_of(axes, rank)

    def plan(self, x: Type, *extras: Type | None) -> Scaling | None:
        roi, scales, sizes = filled(extras, 3)
        axes = self._axes(len(x.dims))
        factors = floats(scales)
        found = None if factors is None else by_scales(x, factors, axes)
        if found is None and sizes is not None:
            lengths = known(sizes)
            found = None if not lengths else self._by_sizes(x, lengths, axes)
        if found is None or self.coordinate_transformation_mode != "tf_crop_and_resize":
            return found
        return self._cropping(x, roi, axes, found)

    def _by_sizes(self, x: Type, sizes: Sequence[Expr], axes: Sequence[int]) -> Scaling | None:
        if len(sizes) != len(axes):
            raise refuse("E0341", "sizes do not fit the axes", len(sizes), f"{len(axes)} sizes")
        given = dict(zip(axes, sizes, strict=True))
        policy = self.keep_aspect_ratio_policy
        if policy != "stretch":
            return self._by_aspect(x, given, policy == "not_larger")
        lengths = tuple(given.get(i, d) for i, d in enumerate(x.dims))
        resized = tuple(i for i in sorted(given) if given[i] is not x.dims[i])
        scales = tuple(None if i in given else 1.0 for i in range(len(lengths)))
        return Scaling(lengths, scales, resized)

    def _by_aspect(self, x: Type, given: dict[int, Expr], least: bool) -> Scaling | None:
        pairs = [(number(s), number(x.dims[i])) for i, s in given.items()]
        ratios = [s / d for s, d in pairs if s is not None and d]
        if len(ratios) != len(pairs):
            return None
        scale = min(ratios) if least else max(ratios)
        lengths = [
            const(int(scale * (number(d) or 0) + 0.5)) if i in given else d
            for i, d in enumerate(x.dims)
        ]
        factors = tuple(scale if i in given else 1.0 for i in range(len(lengths)))
        return Scaling(tuple(lengths), factors, tuple(sorted(given)))

    def _cropping(self, x: Type, roi: Type | None, axes: Sequence[int], found: Scaling) -> Scaling:
        if roi is None or not roi.value or len(roi.value) != 2 * len(axes):
            raise NotImplementedError("cropping needs a roi known before running")
        starts, ends = roi.value[: len(axes)], roi.value[len(axes) :]
        zero, one = const(0.0, DType.FLOAT32), const(1.0, DType.FLOAT32)
        parts = [(zero, one)] * len(x.dims)
        for axis, start, end in zip(axes, starts, ends, strict=True):
            parts[axis] = (start, end)
        whole = {(0.0, 1.0)}
        cut = [
            i
            for i in axes
            if i in found.resized or tuple(float(e.arg) for e in parts[i]) not in whole
        ]
        return Scaling(found.lengths, found.scales, tuple(sorted(cut)), tuple(parts))

    def expand(self, graph: Graph, x: Value, *extras: Value | None) -> Value | None:
        """Axis by axis, as the reference goes: n taps along each of k axes instead of n to the k.

        What makes fewest elements comes first.
        """
        crops = self.coordinate_transformation_mode == "tf_crop_and_resize"
        real = x.dtype in (DType.FLOAT32, DType.FLOAT64)
        if self.way == "nearest" or crops or self.keep_aspect_ratio_policy != "stretch" or not real:
            return None
        plan = self.plan(x.type, *(None if v is None else v.type for v in extras))
        if plan is None or len(plan.resized) < 2:
            return None
        body, axes = Body(graph, "resize"), self._axes(len(x.type.dims))
        steps = sorted(plan.resized, key=lambda i: (_growth(x.type.dims[i], plan.lengths[i]), -i))
        for axis in steps:
            scale, dims = plan.scales[axis], list(x.type.dims)
            dims[axis] = plan.lengths[axis]
            sizes = [number(dims[i]) for i in axes]
            if scale is not None:
                factors = np.array([scale if i == axis else 1 for i in axes], np.float32)
                x = body(self, x, None, body.constant(factors))
            elif None not in sizes:
                x = body(self, x, None, None, body.constant(np.array(sizes, np.int64)))
            else:
                return None
        return x

    def infer(self, x: Type, *extras: Type | None) -> Type:
        need_rank(x, 0)
        if not any(filled(extras, 3)[1:]):
            raise refuse("E0341", "neither scales nor sizes are given", "none", "one of them")
        return self.typed(x, *extras)

    def reference(self, x: Array, *extras: Array | None) -> Array:
        return self.computed(x, *extras)

    def at(self, idx: Index, x: Operand, *extras: Operand | None) -> Expr:
        types = (None if e is None else e.type for e in extras)
        return self.element(idx, x, self.plan(x.type, *types))


def _growth(dim: Expr, length: Expr) -> float:
    """How much longer an axis becomes; 1 where that is not known."""
    before, after = number(dim), number(length)
    return after / before if before and after is not None else 1.0


class Resize(ResizeV11):
    """Resize of chosen axes, which may be antialiased and keep the aspect ratio."""

    since = 18
    antialias: int = 0
    axes: tuple[int, ...] | None = None
    keep_aspect_ratio_policy: str = "stretch"


class Upsample(ResizeV10):
    """Resize to larger scales; replaced by Resize in opset 10."""

    since = 9
    ended = 10

    def express(self, write: Body, opset: int, x: Value, scales: Value) -> Value | None:
        if opset < ResizeV10.since:
            return None
        return write(ResizeV10(mode=self.mode), x, scales)


class UpsampleV7(Resampling, kw_only=True):
    """Upsample of opsets 7 and 8, whose scales are an attribute."""

    ended = 10
    made_inputs = (9, ("scales",))
    scales: tuple[float, ...]
    mode: str = "nearest"

    def express(self, write: Body, opset: int, x: Value) -> Value | None:
        if opset < ResizeV10.since:
            return None
        return write(
            ResizeV10(mode=self.mode), x, write.constant(np.array(self.scales, np.float32))
        )

    def plan(self, x: Type, *extras: Type | None) -> Scaling | None:
        del extras
        return by_scales(x, self.scales, range(len(x.dims)))

    def infer(self, x: Type) -> Type:
        return self.typed(x)

    def reference(self, x: Array) -> Array:
        return self.computed(x)

    def at(self, idx: Index, x: Operand) -> Expr:
        return self.element(idx, x, self.plan(x.type))


class UpsampleV1(Resampling, kw_only=True):
    """Upsample of opsets 1 to 6: height and width of images."""

    ended = 10
    height_scale: float
    width_scale: float
    mode: str = "nearest"

    def plan(self, x: Type, *extras: Type | None) -> Scaling | None:
        del extras
        need_rank(x, 4, 4)
        return by_scales(x, (1, 1, self.height_scale, self.width_scale), range(4))

    def infer(self, x: Type) -> Type:
        return self.typed(x)

    def reference(self, x: Array) -> Array:
        return self.computed(x)

    def at(self, idx: Index, x: Operand) -> Expr:
        return self.element(idx, x, self.plan(x.type))
