"""Kept programs are read as if a stranger had written them: what is damaged is made again."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graph.sources import parse
from sardonyx.core import knobs
from sardonyx.engine.code import cache
from sardonyx.engine.program import kept
from sardonyx.engine.program.program import Program
from sardonyx.passes.pipeline import prepare

NET = """
input x: float32[N, S, 3]
const w: float32[3, 4] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
a = MatMul(x, w)
r = Relu(a)
s = Softmax(r)
t = Transpose<perm=[0, 2, 1]>(s)
output t
output r
"""
X = np.random.default_rng(0).standard_normal((4, 5, 3), np.float32)
HOSTILE: list[Any] = [None, -1, 10**6, 2**70, 1.5, "", "x", [], {}, True, [[]], [0] * 3]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[cache.Cache]:
    with knobs.override(cache_dir=tmp_path, cache=True):
        found = cache.default("programs")
        assert found is not None
        yield found


def _places(held: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(held, dict | list):
        items = held.items() if isinstance(held, dict) else enumerate(held)
        for key, value in items:
            yield from _places(value, (*path, key))


def _changed(held: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(held) if isinstance(held, dict) else list(held)
    copy[path[0]] = _changed(held[path[0]], path[1:], value)
    return copy


def test_what_is_kept_comes_back(store: cache.Cache) -> None:
    first = Program(prepare(parse(NET)))
    second = Program(prepare(parse(NET)))
    assert all(getattr(s, "kernel", None) is None for s in second.steps)
    for a, b in zip(first.run([X]), second.run([X]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert store.entries()


def test_nonsense_is_no_program(store: cache.Cache) -> None:
    """Whatever stands in any place, reading refuses it in one of the ways that are caught."""
    wanted = Program(prepare(parse(NET))).run([X])
    ((key, _, _),) = store.entries()
    content = store.get(key)
    assert content is not None
    held, graph = json.loads(content), prepare(parse(NET))
    refused = 0
    for path in _places(held):
        for value in HOSTILE:
            damaged = json.dumps(_changed(held, path, value)).encode()
            try:
                kept.read(damaged, graph)
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
                refused += 1
    assert refused > 500
    rng = random.Random(0)
    for content in (b"", b"{}", b"[" * 10**5, b"null", rng.randbytes(100)):
        store.put(key, content)
        for a, b in zip(Program(prepare(parse(NET))).run([X]), wanted, strict=True):
            np.testing.assert_array_equal(a, b)
        assert store.get(key) != content


def test_a_step_may_not_read_what_nobody_made(store: cache.Cache) -> None:
    Program(prepare(parse(NET)))
    ((key, _, _),) = store.entries()
    held, graph = json.loads(store.get(key) or b""), prepare(parse(NET))
    if len(held["steps"]) > 1:
        held["steps"].reverse()
        with pytest.raises(ValueError, match="before it is made"):
            kept.read(json.dumps(held).encode(), graph)
