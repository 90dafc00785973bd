"""The same cases at every stage between the graph and machine code: what fails names the stage.

reference   against ONNX Runtime          passes     the reference after each pass
loops       raw kernels, interpreted      schedule   scheduled kernels, interpreted
lanes       the same in a target's vectors      code       machine code
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest

import peers
from engine.objects import MACHINES, unlinked
from engine.objects import machine as built
from fuzz.grow import feeds
from fuzz.oracle import Wanted, wanted
from kernels.agree import machine
from sardonyx.core import knobs
from sardonyx.formats import to_bytes
from sardonyx.graph.ir import Graph
from sardonyx.kernels import winograd
from sardonyx.loops.target import make
from stages import run
from stages.cases import CASES, Case
from texts import load

LEVELS = ("generic", "avx2", "avx512")
each = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


@pytest.fixture(scope="module", autouse=True)
def small_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Winograd's method for images small enough to interpret, and a cache that knows it so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "_FEWEST_CHANNELS", 4)
        patch.setattr(winograd, "_FEWEST_OUTPUTS", 4)
        with knobs.override(cache_dir=tmp_path_factory.mktemp("cache")):
            yield


def given(case: Case) -> tuple[Graph, dict[str, Any], list[Wanted]]:
    """The graph of a case, inputs for it, and what must come out."""
    graph = load(case.text)
    fed = feeds(graph, case.sizes, 5)
    if "ids" in fed:
        fed["ids"] = fed["ids"] % 2
    return graph, fed, wanted(graph, fed)


def agree(found: list[Any], expected: list[Wanted]) -> None:
    """Each output is within what rounding may do; spans of subscripts may follow."""
    for array, want in zip(found[: len(expected)], expected, strict=True):
        assert want.complaint(np.asarray(array)) == ""


@each
def test_reference(case: Case) -> None:
    graph, fed, expected = given(case)
    try:
        theirs = peers.session(to_bytes(graph))
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        pytest.skip("ONNX Runtime has no kernel for a type")
    agree(theirs.run(None, fed), expected)


@each
def test_passes(case: Case) -> None:
    graph, fed, expected = given(case)
    for name, found in run.after_passes(graph, fed):
        for array, want in zip(found[: len(expected)], expected, strict=True):
            assert (name, want.complaint(np.asarray(array))) == (name, "")


@each
def test_loops(case: Case) -> None:
    graph, fed, expected = given(case)
    agree(run.in_loops(run.ready(graph), fed), expected)


@pytest.mark.parametrize("level", LEVELS)
@each
def test_schedule(case: Case, level: str) -> None:
    graph, fed, expected = given(case)
    prepared, target = run.ready(graph), make(level)
    if level != "generic":
        assert set(case.strategies) <= run.strategies(prepared, target)
    agree(run.in_schedule(prepared, fed, target), expected)


@pytest.mark.parametrize("level", LEVELS)
@each
def test_lanes(case: Case, level: str) -> None:
    graph, fed, expected = given(case)
    agree(run.in_lanes(run.ready(graph), fed, make(level)), expected)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", LEVELS)
@each
def test_code(case: Case, level: str, threads: int) -> None:
    target = machine(level)
    if target is None:
        pytest.skip(f"this machine has no {level}")
    graph, fed, expected = given(case)
    agree(run.in_code(run.ready(graph), fed, target, threads), expected)


@pytest.mark.parametrize("name", MACHINES)
@each
def test_code_calls_only_what_is_linked(case: Case, name: str) -> None:
    target = built(name)
    for kernel in run.scheduled(run.ready(load(case.text)), target):
        assert unlinked(kernel, target) == set()
