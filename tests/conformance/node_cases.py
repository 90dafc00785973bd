"""The ONNX backend node cases, made once, and how an output is compared with the expected one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.graph.ir import Graph, subgraphs
from sardonyx.graph.op import Op

LEVELS = ("exact", "rounding", "reduction")
# Cases whose outputs were copied from a print of four digits.
PRINTED = (
    "test_averagepool_2d_ceil_last_window_starts_on_pad",
    "test_gridsample_bicubic",
    "test_roialign_*",
)


@functools.cache
def cases() -> dict[str, Any]:
    """Every case by name."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = np.random.get_state()  # noqa: NPY002 - the cases draw from numpy's global state
        np.random.seed(0)  # noqa: NPY002
        made: list[Any] = collect_testcases(None)
        np.random.set_state(state)  # noqa: NPY002
    return {case.name: case for case in made}


def gaps(path: Path) -> dict[str, str]:
    """Pattern -> reason, from lines `pattern  reason`."""
    rows = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.split(None, 1) for line in rows if line and not line.startswith("#"))
    return {pair[0]: pair[1] for pair in pairs}


def gap_of(name: str, known: dict[str, str]) -> str | None:
    """The reason why a case is expected to fail."""
    return next((why for pattern, why in known.items() if fnmatchcase(name, pattern)), None)


def plain(value: Any) -> Any:
    """A case's input or output as an array, a list of arrays, or None."""
    import onnx
    from onnx import numpy_helper

    if value is None or isinstance(value, list):
        return value if value is None else [plain(v) for v in value]
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    array = np.asarray(value)
    if array.dtype.kind not in "USTO":
        return array
    words = np.empty(array.size, object)
    words[:] = [w.decode() if isinstance(w, bytes) else str(w) for w in array.reshape(-1)]
    return words.reshape(array.shape)


def ops_of(graph: Graph) -> Iterator[Op]:
    """Every op of a graph, its functions and subgraphs included."""
    for node in graph:
        yield node.op
        for body in subgraphs(node.op):
            yield from ops_of(body)
    for function in graph.functions.values():
        yield from ops_of(function.body)


def bounds(level: str, dtype: DType) -> tuple[float, float]:
    """The relative and absolute error allowed of an element."""
    if level == "printed":
        return 1e-3, 1e-4
    if level == "exact" or not (dtype.is_float or dtype.is_complex):
        return 0.0, 0.0
    if dtype.bits <= 8:
        return 0.13, 0.0
    base = DType.FLOAT32 if dtype.is_complex else dtype
    eps = float(ml_dtypes.finfo(base.numpy).eps)  # type: ignore[no-untyped-call]
    eps = max(eps, float(np.finfo(np.float32).eps))
    return (16 * eps, 1e-6) if level == "rounding" else (128 * eps, 1e-5)


def printed(name: str) -> bool:
    """Whether the case's outputs have four digits only."""
    return any(fnmatchcase(name, pattern) for pattern in PRINTED)


def check(found: Any, wanted: Any, level: str) -> None:
    """Fails unless `found` is `wanted` within the bounds of a tolerance level."""
    if isinstance(wanted, list) or wanted is None:
        assert type(found) is type(wanted)
        for one, other in zip(found or [], wanted or [], strict=True):
            check(one, other, level)
        return
    assert isinstance(found, np.ndarray)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    dtype = DType.from_numpy(wanted.dtype)
    if dtype.is_string:
        assert found.tolist() == wanted.tolist()
        return
    if dtype.bits <= 16 and not dtype.is_bool:
        found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    relative, absolute = bounds(level, dtype)
    np.testing.assert_allclose(found, wanted, relative, absolute)
