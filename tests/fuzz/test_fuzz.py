"""Random graphs give what the reference gives: optimised or not, on any threads and instructions.

Seeds run in processes of their own, since a fault in generated code ends the process. A seed that
fails here is reduced by `python -m fuzz.reduce SEED` and its text kept in `kept/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.grow import feeds
from fuzz.hunt import failing
from fuzz.reduce import safely
from fuzz.ways import Way, complaints, levels
from fuzz.worker import SIZES
from sardonyx.core import knobs
from texts import load

KEPT = sorted(Path(__file__).with_name("kept").glob("*.txt"))
CHUNK = 24


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[None]:
    with knobs.override(cache_dir=tmp_path):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 3 * CHUNK, CHUNK))
def test_seeds(first: int) -> None:
    assert not dict(failing(first, first + CHUNK))


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(100, 4100, 200))
def test_many_seeds(first: int) -> None:
    assert not dict(failing(first, first + 200))


@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.stem)
def test_what_failed_once(path: Path) -> None:
    graph = load(path.read_text(encoding="utf-8"))
    how = [Way(), Way(threads=2), Way(False), Way(kept=True), *(Way(cpu=name) for name in levels())]
    fed = [feeds(graph, {"N": n, "S": s}, 0) for n, s in SIZES]
    found = list(complaints(graph, fed, how)) if not safely(lambda: _runs(path)) else ["it dies"]
    assert found == []


def _runs(path: Path) -> bool:
    """False once the graph has run, so that a yes means that the process died."""
    graph = load(path.read_text(encoding="utf-8"))
    for way in (Way(), Way(False)):
        list(complaints(graph, [feeds(graph, {"N": 3, "S": 5}, 0)], [way]))
    return False
