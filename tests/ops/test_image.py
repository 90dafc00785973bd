"""ImageDecoder: what Pillow reads, what it may not read, and what is no image."""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from sardonyx.core.errors import LimitExceeded, RuntimeException, UnsupportedOperator
from sardonyx.core.limits import Limits
from sardonyx.ops.resample.image import ImageDecoder

Image = pytest.importorskip("PIL.Image")


def encoded(pixels: Any, kind: str) -> Any:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind)
    return np.frombuffer(held.getvalue(), np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_pixels_come_back_in_the_order_asked_for(kind: str, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (5, 7, 3), np.uint8)
    data = encoded(pixels, kind)
    assert np.array_equal(ImageDecoder().reference(data), pixels)
    assert np.array_equal(ImageDecoder("BGR").reference(data), pixels[:, :, ::-1])
    gray = ImageDecoder("Grayscale").reference(data)
    assert gray.shape == (5, 7, 1)
    assert np.array_equal(gray[:, :, 0], np.asarray(Image.fromarray(pixels).convert("L")))


def test_images_of_other_kinds_have_three_channels() -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = ImageDecoder().reference(encoded(gray, "PNG"))
    assert np.array_equal(found, np.repeat(gray[:, :, None], 3, axis=2))


@pytest.mark.parametrize("data", [b"", b"no image", b"GIF89a\1\0\1\0\0\0\0", b"%PDF-1.4\n"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(RuntimeException, match="no image that can be decoded") as caught:
        ImageDecoder().reference(np.frombuffer(data, np.uint8))
    assert caught.value.code == "E0404"


def test_an_image_cut_short_is_refused(rng: np.random.Generator) -> None:
    data = encoded(rng.integers(0, 256, (50, 70, 3), np.uint8), "PNG")
    with pytest.raises(RuntimeException):
        ImageDecoder().reference(data[: len(data) // 2])


def test_an_image_that_claims_too_much_is_refused_before_it_is_decoded() -> None:
    def chunk(kind: bytes, held: bytes) -> bytes:
        told = zlib.crc32(kind + held)
        return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", told)

    size = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with Limits(memory_bytes=1 << 20).ruling(), pytest.raises(LimitExceeded):
        ImageDecoder().reference(np.frombuffer(data, np.uint8))


def test_without_pillow_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedOperator, match="Pillow") as caught:
        ImageDecoder().reference(np.zeros(3, np.uint8))
    assert "sardonyx[image]" in str(caught.value.hint)
