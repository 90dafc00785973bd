"""Work is a sum over kernels none of which does less than nothing, whatever the sizes."""

from __future__ import annotations

import pytest

from conformance import node_cases
from sardonyx import formats
from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import Expr, evaluate, number, show, symbol
from sardonyx.engine.fuse.fuse import fuse
from sardonyx.engine.fuse.launches import Launch, launches
from sardonyx.graph.ir import Graph
from sardonyx.loops.target import host
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import optimize, prepare

SHARE = 18


def freed(graph: Graph) -> dict[Expr, int]:
    """Makes the dims of the inputs symbols; what each of them was."""
    sizes: dict[Expr, int] = {}
    for v in graph.inputs:
        if v.type.kind == "tensor" and v.shape is not None:
            dims = list(v.shape)
            for n, d in enumerate(dims):
                size = number(d)
                if size is not None and size > 1:
                    dims[n] = symbol(f"{v.name}{n}")
                    sizes[dims[n]] = size
            v.type = v.type.with_shape(dims)
    return sizes


def below_zero(name: str, free: bool) -> list[str]:
    """The work of a case's kernels that is below 0 for sizes that suit it."""
    graph = formats.load(bytes(node_cases.cases()[name].model.SerializeToString()))
    sizes = freed(graph) if free else {}
    try:
        infer(graph)
        steps = launches(fuse(prepare(optimize(graph).graph)), host())
    except SardonyxError:
        return []  # a case whose operator does not take symbols there
    works = [s.work for s in steps if isinstance(s, Launch)]
    wrong = []
    for given in ({s: n * factor for s, n in sizes.items()} for factor in (1, 2, 5)):
        if all(_holds(a, b, given) for a, b in graph.assumed):
            known = [e for e in works if set(e.free) <= given.keys()]
            wrong += [f"{name}: {show(e)}" for e in known if evaluate(e, given) < 0]
    return wrong


def _holds(a: Expr, b: Expr, given: dict[Expr, int]) -> bool:
    known = {*a.free, *b.free} <= given.keys()
    return known and evaluate(a, given) == evaluate(b, given)


@pytest.mark.parametrize("free", [False, True])
def test_no_kernel_does_less_than_nothing(free: bool) -> None:
    names = sorted(node_cases.cases())[::SHARE]
    assert [w for name in names for w in below_zero(name, free)] == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("free", [False, True])
def test_no_kernel_of_any_case_does_less_than_nothing(free: bool) -> None:
    assert [w for name in node_cases.cases() for w in below_zero(name, free)] == []


def test_blocks_of_rows_read_as_blocks_of_rows() -> None:
    from graph.sources import parse
    from sardonyx.session.figures import examine

    graph = parse(
        "input x: float32[6, N, 8]\n input w: float32[1, 64, 8]\n input r: float32[1, 64, 16]\n"
        " y, h, c = LSTM<hidden_size=16>(x, w, r)\n output y", 22
    )  # fmt: skip
    work = examine(graph, {}).work
    assert work is not None
    said = show(work.operations)
    assert "max" not in said
    assert "((N + 3) // 4) * min(N, 4)" in said
