"""Programs: any shape, any number of threads, host steps, outputs that are nobody else's."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graph.sources import parse
from sardonyx.core import knobs
from sardonyx.core.errors import LimitExceeded, ShapeMismatch, Terminated
from sardonyx.core.expr import evaluate
from sardonyx.core.limits import Limits
from sardonyx.engine.program.program import Program
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from sardonyx.passes.pipeline import prepare

NET = """
const w: float32[3, 4] = {1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12}
const b: float32[4] = {0.5, 0, -0.5, 1}
input x: float32[N, S, 3]
m = MatMul(x, w)
a = Add(m, b)
r = Relu(a)
y = Softmax(r)
output y
output r
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[None]:
    with knobs.override(cache_dir=tmp_path):
        yield


def agrees(graph: Graph, program: Program, *feeds: Any) -> None:
    wanted = run(graph, {v.name: x for v, x in zip(graph.inputs, feeds, strict=True)})
    for v, found in zip(graph.outputs, program.run(list(feeds)), strict=True):
        np.testing.assert_allclose(found, wanted[v.name], 1e-5, 1e-6)


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_one_compile_serves_every_shape(threads: int) -> None:
    graph = parse(NET)
    program = Program(prepare(graph), threads)
    for shape in [(1, 1), (2, 5), (7, 3), (40, 50), (1, 1), (0, 4)]:
        agrees(graph, program, normal(*shape, 3))


def test_the_quick_way_gives_the_same_and_only_for_known_shapes() -> None:
    program = Program(prepare(parse(NET)))
    x, y = normal(2, 5, 3), normal(3, 5, 3)
    assert program.quick([x]) is None
    wanted = program.run([x])
    found = program.quick([x])
    assert found is not None
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.shares_memory(a, b)
    assert program.quick([y]) is None
    assert program.quick([x.astype(np.float64)]) is None
    assert program.quick([x[:, ::-1]]) is None
    program.run([normal(50, 50, 3)])
    again = program.quick([x]) or program.run([x])
    np.testing.assert_array_equal(again[0], wanted[0])


def test_outputs_that_are_inputs_constants_or_twice_are_copies() -> None:
    body = "const c: float32[2] = {1, 2}\ninput x: float32[N]\ny = Neg(x)\noutput y\n"
    program = Program(prepare(parse(body + "output x\noutput c\noutput y")))
    x = normal(4)
    first, second = program.run([x]), program.run([x])
    assert not np.shares_memory(first[1], x)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.shares_memory(a, b)


def test_host_steps_keep_their_place() -> None:
    body = (
        "input x: float32[N]\na = Neg(x)\ni = NonZero(a)\nj = Cast<to=1>(i)\n"
        "y = Mul(j, j)\nz = Abs(a)\noutput y\noutput z"
    )
    graph = parse(body)
    program = Program(prepare(graph), 2)
    assert [n.op.op_type for n in program.gaps] == ["Cut"]
    for x in ([0, 1, 0, 2], [0, 0], [3, 4, 5], []):
        agrees(graph, program, np.array(x, np.float32))


def test_a_shared_symbol_fed_two_values_is_refused() -> None:
    body = "input a: float32[N]\ninput b: float32[N]\ny = Add(a, b)\noutput y"
    program = Program(prepare(parse(body)))
    with pytest.raises(ShapeMismatch, match=r"`N` is 2 in `a`, 3 in `b`") as caught:
        program.run([normal(2), normal(3)])
    assert caught.value.code == "E0206"


def test_memory_is_refused_before_it_is_taken() -> None:
    body = "input x: float32[N]\na = Erf(x)\nb = Exp(a)\nc = Softmax(b)\nd = Softmax(c)\noutput d"
    program = Program(prepare(parse(body)), limits=Limits(memory_bytes=1000))
    with pytest.raises(LimitExceeded):
        program.run([normal(10_000)])


def test_an_abort_ends_the_run() -> None:
    program = Program(prepare(parse(NET)))
    with pytest.raises(Terminated):
        program.run([normal(1, 1, 3)], lambda: True)


def test_runs_from_several_threads_do_not_mix() -> None:
    program = Program(prepare(parse(NET)), 2)
    inputs = [normal(n, 9, 3) for n in range(1, 6)]
    wanted = [program.run([x]) for x in inputs]
    wrong: list[int] = []

    def work(n: int) -> None:
        for _ in range(40):
            found = program.quick([inputs[n]]) or program.run([inputs[n]])
            if not all(map(np.array_equal, found, wanted[n])):
                wrong.append(n)

    crew = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for t in crew:
        t.start()
    for t in crew:
        t.join()
    assert not wrong


def test_the_peak_is_an_expression_of_the_dims() -> None:
    program = Program(prepare(parse(NET)))
    symbols = {str(s): s for s in program.peak.free}
    assert set(symbols) <= {"N", "S"}
    small, large = (dict.fromkeys(symbols.values(), n) for n in (2, 20))
    assert evaluate(program.peak, small) <= evaluate(program.peak, large)


def test_a_second_program_is_recalled_and_gives_the_same() -> None:
    graph = parse(NET)
    first = Program(prepare(graph))
    second = Program(prepare(parse(NET)))
    assert all(getattr(s, "kernel", None) is None for s in second.steps)
    x = normal(3, 4, 3)
    for a, b in zip(first.run([x]), second.run([x]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "other",
    [
        NET.replace("Relu", "Neg"),
        NET.replace("[N, S, 3]", "[N, 7, 3]"),
        NET.replace("output r", "output a"),
        NET.replace("Softmax(r)", "Softmax<axis=1>(r)"),
    ],
)
def test_a_different_graph_is_not_recalled(other: str) -> None:
    Program(prepare(parse(NET)))
    program = Program(prepare(parse(other)))
    assert any(getattr(s, "kernel", None) is not None for s in program.steps)


def test_constants_that_code_depends_on_are_in_the_key() -> None:
    body = "input x: float32[N, 6]\nconst s: int64[2] = {%s}\ny = Reshape(x, s)\noutput y"
    x = normal(2, 6)
    for text, shape in (("-1, 3", (4, 3)), ("-1, 2", (6, 2))):
        (found,) = Program(prepare(parse(body % text))).run([x])
        np.testing.assert_array_equal(found, x.reshape(shape))


def test_a_lost_object_means_compiling_again(tmp_path: Path) -> None:
    Program(prepare(parse(NET)))
    for kept in (tmp_path / "code").iterdir():
        kept.unlink()
    program = Program(prepare(parse(NET)))
    assert any(getattr(s, "kernel", None) is not None for s in program.steps)
