"""ModelCompiler writes an optimised model that runs in either runtime."""

from pathlib import Path

import numpy as np
import pytest

import sardonyx as sx
from session.models import AFFINE, encoded, graph

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def _run(model: object) -> np.ndarray:
    return np.asarray(sx.InferenceSession(model).run(None, {"x": X})[0])


def test_files_bytes_and_streams(tmp_path: Path) -> None:
    sx.save(graph(AFFINE), tmp_path / "net.onnx")
    made = sx.ModelCompiler(sx.SessionOptions(), tmp_path / "net.onnx")
    made.compile_to_file()
    wanted = _run(encoded(AFFINE))
    np.testing.assert_allclose(_run(tmp_path / "net_ctx.onnx"), wanted, rtol=1e-6)
    pieces: list[bytes] = []
    made.compile_to_stream(pieces.append)
    assert b"".join(pieces) == made.compile_to_bytes()
    level = sx.GraphOptimizationLevel.ORT_ENABLE_ALL
    better = sx.ModelCompiler(sx.SessionOptions(), encoded(AFFINE), graph_optimization_level=level)
    np.testing.assert_allclose(_run(better.compile_to_bytes()), wanted, rtol=1e-6)


def test_weights_beside_the_model(tmp_path: Path) -> None:
    sx.save(graph(AFFINE), tmp_path / "net.onnx")
    target = tmp_path / "out.onnx"
    made = sx.ModelCompiler(
        sx.SessionOptions(), str(tmp_path / "net.onnx"), False, f"{target}.data", 4
    )
    made.compile_to_file(target)
    assert (tmp_path / "out.onnx.data").stat().st_size > 0
    np.testing.assert_allclose(_run(target), _run(encoded(AFFINE)), rtol=1e-6)


def test_flags_refuse(tmp_path: Path) -> None:
    flags = sx.OrtCompileApiFlags
    exists = sx.ModelCompiler(
        sx.SessionOptions(), encoded(AFFINE), flags=flags.ERROR_IF_OUTPUT_FILE_EXISTS
    )
    exists.compile_to_file(tmp_path / "a.onnx")
    with pytest.raises(sx.NoSuchFile):
        exists.compile_to_file(tmp_path / "a.onnx")
    none = sx.ModelCompiler(
        sx.SessionOptions(), encoded(AFFINE), flags=flags.ERROR_IF_NO_NODES_COMPILED
    )
    with pytest.raises(sx.Fail):
        none.compile_to_bytes()
    with pytest.raises(sx.InvalidArgument):
        sx.ModelCompiler(sx.SessionOptions(), b"")
    with pytest.raises(sx.InvalidArgument):
        sx.ModelCompiler(
            sx.SessionOptions(), encoded(AFFINE), get_initializer_location_func=lambda *_: None
        )
    with pytest.raises(sx.InvalidArgument):
        sx.ModelCompiler(sx.SessionOptions(), encoded(AFFINE)).compile_to_file()
