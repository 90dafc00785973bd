import os
from pathlib import Path

import pytest

from sardonyx.core import cores, knobs


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group of this process, inside another."""
    own = tmp_path / "outer" / "own"
    own.mkdir(parents=True)
    monkeypatch.setattr(cores, "_ROOT", tmp_path)
    monkeypatch.setattr(cores, "_own_group", lambda: own)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    return own


def test_without_a_quota_the_set_of_cores_counts(group: Path) -> None:
    assert cores.usable_cores() == 16
    (group / "cpu.max").write_text("max 100000\n")
    assert cores.usable_cores() == 16


@pytest.mark.parametrize(("quota", "wanted"), [(400_000, 4), (150_000, 1), (10_000, 1)])
def test_a_quota_counts(group: Path, quota: int, wanted: int) -> None:
    (group / "cpu.max").write_text(f"{quota} 100000\n")
    assert cores.usable_cores() == wanted


def test_the_quota_of_a_group_around_counts(group: Path) -> None:
    (group / "cpu.max").write_text("800000 100000\n")
    (group.parent / "cpu.max").write_text("300000 100000\n")
    assert cores.usable_cores() == 3


def test_an_old_style_quota_counts(group: Path) -> None:
    old = group.parent.parent / "cpu"
    old.mkdir()
    (old / "cpu.cfs_quota_us").write_text("200000\n")
    (old / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.usable_cores() == 2
    (old / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores.usable_cores() == 16


def test_rubbish_is_no_quota(group: Path) -> None:
    for text in ("", "many", "100000 0", "1 2 3"):
        (group / "cpu.max").write_text(text)
        assert cores.usable_cores() == 16


def test_sessions_use_as_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SARDONYX_THREADS", raising=False)
    assert knobs.THREADS.get() == cores.usable_cores()
