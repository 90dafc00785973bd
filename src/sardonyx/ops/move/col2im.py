"""Col2Im: overlapping blocks of pixels added up to an image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, cast, const, eq, number, product, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.element import lift, settle, widen
from sardonyx.ops.base.given import wholes
from sardonyx.ops.base.nest import both, total
from sardonyx.ops.base.shapes import (
    check_size,
    clamp,
    known,
    known_ints,
    length_of,
    need_rank,
    ravel,
    refuse,
    same_dim,
    text,
    unknown_dim,
    unknown_dims,
)


def _behind(places: Sequence[Any]) -> tuple[Any, ...]:
    """Subscripts of the axes behind the batch and the channels."""
    return (slice(None), slice(None), *places)


class Col2Im(Op):
    """The image whose blocks (a column of the input each) overlap and are added.

    The input is [N, C * elements of a block, blocks], the output [N, C, *image_shape].
    """

    since = 18
    tolerance = "reduction"
    dilations: tuple[int, ...] | None = None
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def _window(self, rank: int) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Dilations, pads and strides; E0325 when they do not fit the rank of the image."""
        ones = (1,) * rank
        dilations, strides = self.dilations or ones, self.strides or ones
        pads = self.pads or (0,) * (2 * rank)
        if rank < 1 or (len(dilations), len(strides), len(pads)) != (rank, rank, 2 * rank):
            raise refuse("E0325", "dilations, strides or pads do not fit the image", rank)
        if min((*dilations, *strides)) < 1:
            raise refuse("E0325", "dilations and strides must be positive", 0, "1 or more")
        return dilations, pads, strides

    def _steps(self, image: Sequence[Expr], block: Sequence[Expr]) -> list[Expr]:
        """The number of blocks along every axis of the image."""
        rank = len(image)
        dilations, pads, strides = self._window(rank)
        return [
            (image[n] + pads[n] + pads[rank + n] - (block[n] - 1) * dilations[n] - 1) // strides[n]
            + 1
            for n in range(rank)
        ]

    def infer(self, x: Type, image_shape: Type, block_shape: Type) -> Type:
        need_rank(x, 3, 3)
        rank = length_of(image_shape)
        if x.shape is None or rank is None:
            return Type(x.dtype)
        image = known(image_shape) or unknown_dims("image", rank)
        block = known(block_shape)
        length = length_of(block_shape)
        if length is not None and length != rank:
            raise refuse("E0325", "a block has not as many dims as the image", length, rank)
        self._window(rank)
        channels = unknown_dim("channels")
        if block is not None:
            channels = self._channels(x.shape[1], block)
            same_dim(product(self._steps(image, block)), x.shape[2])
        return x.with_shape((x.shape[0], channels, *image))

    def _channels(self, rows: Expr, block: Sequence[Expr]) -> Expr:
        size, whole = number(product(block)), number(rows)
        if size is not None and whole is not None and (size < 1 or whole % size):
            raise refuse("E0325", "the rows are no multiple of a block", whole, text(block))
        return rows // product(block)

    def reference(self, x: Array, image_shape: Array, block_shape: Array) -> Array:
        rank = image_shape.size
        image = wholes(image_shape, rank, "the dims of the image")
        block = wholes(block_shape, rank, "the dims of a block", least=1)
        dilations, pads, strides = self._window(rank)
        counts = self._steps([const(d) for d in image], [const(d) for d in block])
        steps = [number(d) or 0 for d in counts]
        if min(steps) < 0 or int(np.prod(steps)) != x.shape[2] or x.shape[1] % int(np.prod(block)):
            wanted = [int(np.prod(block)), int(np.prod(steps))]
            raise InvalidArgument("E0211", "the blocks do not fit", given=x.shape, wanted=wanted)
        channels = x.shape[1] // int(np.prod(block))
        framed = [d + pads[n] + pads[rank + n] for n, d in enumerate(image)]
        check_size(DType.from_numpy(x.dtype), [x.shape[0], channels, *framed])
        cells = widen(x).reshape(x.shape[0], channels, *block, *steps)
        out = np.zeros((x.shape[0], channels, *framed), cells.dtype)
        for at in itertools.product(*map(range, block)):
            places = [
                slice(k * d, k * d + s * c, s)
                for k, d, s, c in zip(at, dilations, strides, steps, strict=True)
            ]
            out[_behind(places)] += cells[_behind(at)]
        inner = [slice(pads[n], pads[n] + d) for n, d in enumerate(image)]
        return settle(out[_behind(inner)], x.dtype)

    def at(self, idx: Index, x: Operand, image_shape: Operand, block_shape: Operand) -> Expr:
        del image_shape
        sizes = known_ints(block_shape.type)
        if sizes is None:
            raise NotImplementedError("the block is not known before running")
        block = [const(d) for d in sizes]
        dilations, pads, strides = self._window(len(block))
        steps = self._steps(idx.shape[2:], block)

        def cell(k: Sequence[Expr]) -> Expr:
            legal, places = [], []
            for n, i in enumerate(idx[2:]):
                moved = i + pads[n] - k[n] * dilations[n]
                place = moved // strides[n]
                legal += [eq(place * strides[n], moved), const(0) <= place, place < steps[n]]
                places.append(clamp(place, 0, steps[n] - 1))
            row = idx[1] * product(block) + ravel(k, block)
            e = lift(x[idx[0], row, ravel(places, steps)])
            return where(both(legal), e, e.like(0))

        return cast(total("add", block, cell), x.dtype)
