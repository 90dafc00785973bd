"""Object detection: NonMaxSuppression."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import const
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Op
from sardonyx.ops.base.element import quiet
from sardonyx.ops.base.found import Cut
from sardonyx.ops.base.given import only, single, whole
from sardonyx.ops.base.shapes import fit_into, need_rank, same_dim, unknown_dim
from sardonyx.ops.detect.suppress import Suppressed, selected


class NonMaxSuppression(Op):
    """The best boxes of every class, each dropping the boxes that overlap it too much.

    Rows of the output are (batch, class, box), the best box of a class first.
    """

    since = 10
    tolerance = "exact"
    center_point_box: int = 0

    def infer(self, boxes: Type, scores: Type, *extras: Type | None) -> Type:
        for extra in extras:
            fit_into(extra, (const(1),), "a limit")
        need_rank(boxes, 3, 3, "the boxes")
        need_rank(scores, 3, 3, "the scores")
        if boxes.shape is not None and scores.shape is not None:
            same_dim(boxes.shape[0], scores.shape[0])
            same_dim(boxes.shape[1], scores.shape[2])
            same_dim(boxes.shape[2], const(4))
        return Type(DType.INT64, (unknown_dim("selected"), const(3)))

    @quiet
    def reference(
        self,
        boxes: Array,
        scores: Array,
        most: Array | None = None,
        overlap: Array | None = None,
        least: Array | None = None,
    ) -> Array:
        count = 0 if most is None else whole(most, "the most boxes")
        limit = 0.0 if overlap is None else float(single(overlap, "the overlap"))
        lowest = None if least is None else only(least, "the least score")
        return selected(boxes, scores, count, limit, lowest, bool(self.center_point_box))

    def expand(
        self, graph: Graph, boxes: Value, scores: Value, *limits: Value | None
    ) -> Value | None:
        most, overlap, least = (*limits, None, None, None)[:3]
        reals = [v for v in (boxes, scores, overlap, least) if v is not None]
        known = all(v.dtype is DType.FLOAT32 and v.type.rank is not None for v in reals)
        if not known or (most is not None and most.dtype is not DType.INT64):
            return None
        body = Body(graph, "suppressed")
        given = [
            most or body.constant(np.zeros(1, np.int64)),
            overlap or body.constant(np.zeros(1, np.float32)),
        ]
        given += [] if least is None else [least]
        rows, count, *_ = body.all(
            Suppressed(center_point_box=self.center_point_box, outputs=5), boxes, scores, *given
        )
        return body(Cut(axis=0), rows, count)
