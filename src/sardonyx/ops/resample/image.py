"""ImageDecoder: known to the checker and to shape inference, but nothing here decodes images."""

from __future__ import annotations

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import UnsupportedOperator
from sardonyx.core.expr import const
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.shapes import need_rank, refuse, unknown_dim

_CHANNELS = {"RGB": 3, "BGR": 3, "Grayscale": 1}


class ImageDecoder(Op):
    """The pixels [height, width, channels] of an encoded image."""

    since = 20
    pixel_format: str = "RGB"

    def infer(self, stream: Type) -> Type:
        need_rank(stream, 1, 1)
        if self.pixel_format not in _CHANNELS:
            given, wanted = self.pixel_format, ", ".join(_CHANNELS)
            raise refuse("E0341", "`pixel_format` is unknown", given, wanted)
        size = (unknown_dim("height"), unknown_dim("width"))
        return Type(DType.UINT8, (*size, const(_CHANNELS[self.pixel_format])))

    def reference(self, stream: Array) -> Array:
        del stream
        raise UnsupportedOperator(
            "E0401",
            "nothing here decodes images",
            op="ImageDecoder",
            hint="decode the image before, and feed its pixels",
        )
