"""Small inputs that ask for too much are refused, and deep or long models run, within bounds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from session.bombs import BOMBS

ROOT = Path(__file__).parent.parent.parent
GIB = 1 << 30
GUARD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
from session.bombs import main
main(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_within_bounds(name: str, tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    env = {**os.environ, "PYTHONPATH": paths, "SARDONYX_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", GUARD, name],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    codes = BOMBS[name].codes
    assert found["code"] in codes if codes else found["code"] is None
    assert found["peak"] < 2 * GIB
    assert found["seconds"] < 60
