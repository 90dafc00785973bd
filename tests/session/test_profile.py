"""A profile is a Chrome trace of the steps that a run took."""

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from session.models import AFFINE, encoded

X = np.ones((2, 3), np.float32)
HOSTED = """
graph hosted {
  opset "" 21
  input x: float32[N, 3]
  a = Relu(x)
  n = NonZero(a)
  c = Cast<to=1>(n)
  y = Mul(c, c)
  output y
}
"""


def _events(path: str) -> list[dict[str, Any]]:
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    assert isinstance(found, list)
    for event in found:
        assert event["ph"] == "X"
        assert event["dur"] >= 0
        assert event["ts"] >= 0
    return found


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "reference"])
def test_every_step_is_an_event(provider: str, tmp_path: Path) -> None:
    options = sx.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "p")
    model = sx.from_text(HOSTED)
    session = sx.InferenceSession(model, options, [provider])
    plain = sx.InferenceSession(model).run(None, {"x": X})[0]
    for _ in range(2):
        np.testing.assert_array_equal(session.run(None, {"x": X})[0], plain)
    assert session.get_profiling_start_time_ns() > 0
    events = _events(session.end_profiling())
    names = [e["name"] for e in events]
    assert names.count("model_run") == 2
    assert names.count("session_initialization") == 1
    steps = [e for e in events if e["cat"] == "Node"]
    assert {e["args"]["provider"] for e in steps} == set(session.get_providers())
    if provider == "reference":
        assert len(steps) == 2
    else:
        told = "+".join(e["args"]["op_name"] for e in steps[: len(steps) // 2])
        assert {"Relu", "FoundPlaces", "Cut", "Mul"} <= set(told.split("+"))
    (first, last) = [e for e in events if e["name"] == "model_run"]
    assert all(first["ts"] <= e["ts"] <= last["ts"] + last["dur"] for e in steps)
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], plain)
    assert session.end_profiling() == ""


def test_a_profile_nobody_ends_is_written_when_its_session_goes(tmp_path: Path) -> None:
    options = sx.SessionOptions(enable_profiling=True, profile_file_prefix=str(tmp_path / "p"))
    session = sx.InferenceSession(encoded(AFFINE), options)
    session.run(None, {"x": X})
    del session
    gc.collect()
    (path,) = tmp_path.iterdir()
    assert any(e["cat"] == "Node" for e in _events(str(path)))
