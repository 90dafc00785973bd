"""Programs that import onnxruntime say the same, unchanged, on Sardonyx.

`make programs` installs them into the environment's folder `programs`; without it nothing runs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
INSTALLED = Path(sys.prefix) / "programs"
EXEC = ["-m", "sardonyx.dropin", "--json"]

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.skipif(not INSTALLED.is_dir(), reason="`make programs` installs them")


def _said(*words: object) -> Any:
    env = {**os.environ, "PYTHONPATH": str(INSTALLED), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _same(ours: Any, theirs: Any, place: str = "") -> None:
    """Words, whole numbers and structure are equal; other numbers to a thousandth."""
    assert type(ours) is type(theirs), place
    if isinstance(ours, list):
        assert len(ours) == len(theirs), place
        for n, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            _same(a, b, f"{place}[{n}]")
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), place
        for name in ours:
            _same(ours[name], theirs[name], f"{place}.{name}")
    elif isinstance(ours, float):
        assert abs(ours - theirs) <= 1e-3 * max(1.0, abs(theirs)), (place, ours, theirs)
    else:
        assert ours == theirs, place


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(p.stem for p in (HERE / "run").glob("*.py")))
def test_a_program_says_the_same(name: str, tmp_path: Path) -> None:
    program = HERE / "run" / f"{name}.py"
    ours = _said(*EXEC, tmp_path / "report.json", program)
    _same(ours, _said(program))
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["missing"] == {}
    assert [s for s in report["sessions"] if s["errors"] or not s["provider"]] == []
    assert any(s["runs"] for s in report["sessions"])
