"""Every fact of ONNX Runtime's Python API is one of ours."""

from pathlib import Path

import pytest

import sardonyx as sx
from dropin.facts import FACTS, SQUARE, X, told

ort = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.filterwarnings("ignore")
def test_both_say_the_same(name: str, tmp_path: Path) -> None:
    theirs, ours = (told(FACTS[name], lib, tmp_path) for lib in (ort, sx))
    assert ours == theirs


def test_errors_are_of_kinds_that_callers_catch() -> None:
    session = sx.InferenceSession(SQUARE)
    with pytest.raises(ValueError, match="missing"):
        session.run(None, {})
    with pytest.raises(RuntimeError):
        sx.SessionOptions().get_session_config_entry("nothing")
    with pytest.raises(sx.capi.onnxruntime_pybind11_state.InvalidArgument):
        session.run(None, {"X": X[0]})


def test_settings_nobody_has_are_told() -> None:
    with pytest.warns(UserWarning, match="session_options"):
        sx.InferenceSession(SQUARE, session_options=sx.SessionOptions())


def test_sizes_of_what_dims_stand_for_are_fixed() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto.FromString(SQUARE)
    model.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    for lib in (ort, sx):
        options = lib.SessionOptions()
        options.add_free_dimension_override_by_denotation("DATA_BATCH", 3)
        session = lib.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        assert session.get_inputs()[0].shape == [3, 2]
        assert session.run(None, {"X": X})[0].shape == (3, 2)
