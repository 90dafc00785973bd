"""ImageDecoder: pixels of encoded images, read by Pillow where it is installed."""

from __future__ import annotations

import importlib.util
import io
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import RuntimeException, UnsupportedOperator
from sardonyx.core.expr import const
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.shapes import check_size, need_rank, refuse, unknown_dim

_CHANNELS = {"RGB": 3, "BGR": 3, "Grayscale": 1}
# What the standard names, PNM in Pillow's word.
_FORMATS = ("BMP", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


class ImageDecoder(Op):
    """The pixels [height, width, channels] of an encoded image."""

    since = 20
    tolerance = "exact"
    pixel_format: str = "RGB"

    def infer(self, stream: Type) -> Type:
        need_rank(stream, 1, 1)
        if self.pixel_format not in _CHANNELS:
            given, wanted = self.pixel_format, ", ".join(_CHANNELS)
            raise refuse("E0341", "`pixel_format` is unknown", given, wanted)
        size = (unknown_dim("height"), unknown_dim("width"))
        return Type(DType.UINT8, (*size, const(_CHANNELS[self.pixel_format])))

    def reference(self, stream: Array) -> Array:
        if not importlib.util.find_spec("PIL"):
            raise UnsupportedOperator(
                "E0401",
                "ImageDecoder needs the package Pillow",
                op="ImageDecoder",
                hint="pip install 'sardonyx[image]'",
            )
        pixels = self._pixels(stream.tobytes())
        return pixels[:, :, ::-1] if self.pixel_format == "BGR" else pixels

    def _pixels(self, data: bytes) -> Array:
        import PIL.Image

        gray = self.pixel_format == "Grayscale"
        try:
            image: Any = PIL.Image.open(io.BytesIO(data), formats=_FORMATS)
            check_size(DType.UINT8, (image.height, image.width, 4))
            image = image.convert("L" if gray else "RGB")
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as problem:
            said = f"the bytes are no image that can be decoded: {problem}"
            raise RuntimeException("E0404", said, wanted=", ".join(_FORMATS)) from None
        found = np.asarray(image)
        return found[:, :, None] if gray else found
