"""Whether the standard's checker and ours refuse a model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx

import sardonyx as sx
from sardonyx.core.errors import SardonyxError


def refused_by_onnx(source: Any) -> str:
    """Why the standard's checker, all of it, refuses a model; empty where it does not."""
    try:
        onnx.checker.check_model(source, full_check=True)
    except Exception as error:  # noqa: BLE001 - it refuses in many ways
        return str(error) or type(error).__name__
    return ""


def refused_by_us(source: Any) -> str:
    """Codes and reasons of ours; empty where there is no error."""
    try:
        found = [f for f in sx.check(source) if f.is_error]
    except SardonyxError as error:
        return f"{error.code} {error.message}"
    return "; ".join(f"{f.code} {f.message}" for f in found)


def verdicts(model: Any) -> tuple[str, str]:
    """Why the standard's checker refuses a model, and why ours; data elsewhere need a folder."""
    data = model.SerializeToString()
    if not any(t.data_location for t in model.graph.initializer):
        return refused_by_onnx(data), refused_by_us(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spoilt.onnx")
        path.write_bytes(data)
        return refused_by_onnx(str(path)), refused_by_us(path)
