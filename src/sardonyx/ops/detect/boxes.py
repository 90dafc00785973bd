"""Object detection: NonMaxSuppression."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import const
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.element import quiet
from sardonyx.ops.base.shapes import need_rank, same_dim, unknown_dim


class NonMaxSuppression(Op):
    """The best boxes of every class, each dropping the boxes that overlap it too much.

    Rows of the output are (batch, class, box), the best box of a class first.
    """

    since = 10
    tolerance = "exact"
    center_point_box: int = 0

    def infer(self, boxes: Type, scores: Type, *extras: Type | None) -> Type:
        del extras
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
        count = 0 if most is None else int(most.reshape(-1)[0])
        limit = 0.0 if overlap is None else float(overlap.reshape(-1)[0])
        rows = []
        for b in range(len(boxes)):
            corners = self._corners(boxes[b])
            for c in range(scores.shape[1]):
                row = scores[b, c]
                order = np.argsort(-row, kind="stable")
                if least is not None:
                    order = order[row[order] > least.reshape(-1)[0]]
                rows += [(b, c, n) for n in _suppressed(corners, order, count, limit)]
        return np.array(rows, np.int64).reshape(-1, 3)

    def _corners(self, boxes: Array) -> Array:
        """[boxes, (low, low, high, high)]."""
        a, b = boxes[:, :2], boxes[:, 2:]
        if self.center_point_box:
            return np.concatenate([a - b / 2, a + b / 2], axis=1)
        return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=1)


def _suppressed(corners: Array, order: Array, count: int, limit: float) -> list[int]:
    kept: list[int] = []
    while order.size and len(kept) < count:
        best = int(order[0])
        kept.append(best)
        rest = order[1:]
        order = rest[~(_overlap(corners[best], corners[rest]) > limit)]
    return kept


def _overlap(one: Array, many: Array) -> Array:
    """Intersection over union; zero where either box is empty."""
    low, high = (np.maximum(one[:2], many[:, :2]), np.minimum(one[2:], many[:, 2:]))
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    area, areas = (np.prod(one[2:] - one[:2]), np.prod(many[:, 2:] - many[:, :2], axis=1))
    union = area + areas - shared
    empty = (area <= 0) | (areas <= 0) | (union <= 0)
    return np.where(empty, 0, shared / np.where(union <= 0, 1, union))
