"""Operators given what no model should give them: an answer or an error of ours, in bounds.

In CI one trial in so many; `-m exhaustive` tries all. Each run is a process of its own with an
address space of 6 GiB, started again behind the trial that ended it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def _faults(
    provider: str, first: int, step: int, share: int, folder: Path
) -> tuple[int, list[str]]:
    """How many trials were made, and what those did that may not be."""
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    env = {**os.environ, "PYTHONPATH": paths, "SARDONYX_CACHE_DIR": str(folder)}
    tried, found, skip = 0, list[str](), 0
    while True:
        command = [sys.executable, "-m", "ops.hostile", provider]
        command += map(str, (first, step, share, skip))
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        found += [f"{row['trial']}: {row['fault']}" for row in lines if "fault" in row]
        starts = [row for row in lines if "fault" not in row]
        tried += len(starts)
        if not done.returncode or not starts:
            assert done.returncode == 0, done.stderr[-2000:]
            return tried, found
        last = starts[-1]
        found.append(f"{last['trial']}: ended with {done.returncode} {done.stderr[-300:]}")
        first, skip = last["at"], last["number"] + 1


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "share"), [("reference", 60), ("native", 240)])
def test_a_share_of_hostile_values(provider: str, share: int, tmp_path: Path) -> None:
    tried, found = _faults(provider, 0, 1, share, tmp_path)
    assert tried > 50
    assert not found, "\n".join(found)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(8))
@pytest.mark.parametrize("provider", ["reference", "native"])
def test_every_hostile_value(provider: str, first: int, tmp_path: Path) -> None:
    tried, found = _faults(provider, first, 8, 1, tmp_path)
    assert tried > 500
    assert not found, "\n".join(found)
