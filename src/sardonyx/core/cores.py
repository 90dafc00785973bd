"""How many cores this process may keep busy: its CPU set and the quota of its control group."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Threads that this process can keep busy; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _quota()
    return max(1, count if quota is None else min(count, int(quota)))


def _quota() -> float | None:
    """The CPUs that the control groups of this process grant; None where unlimited."""
    own = _own_group()
    folders = [f for f in (own, *own.parents) if f.is_relative_to(_ROOT)]
    limits = [_ratio(folder / "cpu.max") for folder in folders]
    limits.append(_legacy_ratio(_ROOT / "cpu"))
    known = [x for x in limits if x is not None]
    return min(known) if known else None


def _own_group() -> Path:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return _ROOT
    own = [line[3:].lstrip("/") for line in lines if line.startswith("0::/")]
    return _ROOT / own[0] if own and ".." not in own[0] else _ROOT


def _ratio(path: Path) -> float | None:
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _legacy_ratio(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
