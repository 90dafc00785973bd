"""The kernels of every small network, by hash: what is no change of code changes none of them.

`pytest --update-golden` writes tests/golden/kernels anew; the difference says which networks' code
a change touches.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Golden
from sardonyx.engine.fuse.fuse import Host, fuse
from sardonyx.engine.fuse.launches import launches
from sardonyx.loops.target import make
from sardonyx.loops.text import digest
from sardonyx.passes.pipeline import optimize, prepare
from texts import load

TEXTS = Path(__file__).with_name("texts")
NAMES = sorted(path.stem for path in TEXTS.glob("*.txt"))
LEVELS = ("avx2", "avx512")


def kernels(name: str, level: str) -> str:
    """A line for each different kernel of a network: hash, strategy, how many launches."""
    text = (TEXTS / f"{name}.txt").read_text(encoding="utf-8")
    caches = {"l1": 48 << 10, "l2": 2 << 20, "l3": 32 << 20, "cores": 2}
    target = replace(make(level), **caches)  # type: ignore[arg-type]
    found: Counter[str] = Counter()
    for step in launches(fuse(prepare(optimize(load(text)).graph)), target):
        if isinstance(step, Host):
            found[f"host {step.node.op.op_type}"] += 1
            continue
        assert step.kernel is not None
        found[f"{digest(step.kernel)} {step.strategy}"] += 1
    return "".join(f"{line} {count}\n" for line, count in sorted(found.items()))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_kernels(name: str, level: str, golden: Golden) -> None:
    found = kernels(name, level)
    assert "host" not in found
    golden(f"kernels/{name}-{level}.txt", found)


@pytest.mark.parametrize("seed", ["0", "1", "4321"])
def test_hash_seeds_change_nothing(seed: str) -> None:
    paths = os.pathsep.join(p for p in sys.path if p)
    code = (
        f"import runpy; own = runpy.run_path({__file__!r});"
        "print(end=own['kernels']('bert', 'avx2'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == kernels("bert", "avx2")
