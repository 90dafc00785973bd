"""Shape rules against numpy's, over random shapes, with dims as numbers and as symbols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.evaluate import check
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidGraph
from sardonyx.core.expr import Expr, const, evaluate, number, symbol
from sardonyx.graph.ir import Type, tensor_type
from sardonyx.ops.base import shapes
from sardonyx.ops.elementwise.binary import Add
from sardonyx.ops.move.concat import Split
from sardonyx.ops.move.constant import Range
from sardonyx.ops.move.expand import Expand
from sardonyx.ops.move.pad import Pad
from sardonyx.ops.move.query import Shape
from sardonyx.ops.move.reshape import Reshape
from sardonyx.ops.move.slice import Slice
from sardonyx.ops.move.squeeze import Squeeze
from texts import dims_of

N, M = symbol("N"), symbol("M")
EXTENTS = st.integers(0, 4)
few = settings(max_examples=60, deadline=None)


def arange(dims: tuple[int, ...]) -> Any:
    return np.arange(int(np.prod(dims)), dtype=np.float32).reshape(dims)


def dims(*values: int | str | Expr) -> tuple[Expr, ...]:
    return dims_of(values)


@given(st.lists(EXTENTS, max_size=4), st.lists(EXTENTS, max_size=4))
@few
def test_broadcast_is_numpys(a: list[int], b: list[int]) -> None:
    try:
        wanted = np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        with pytest.raises(InvalidGraph):
            shapes.broadcast(dims(*a), dims(*b))
        return
    assert shapes.broadcast(dims(*a), dims(*b)) == dims(*wanted)


@given(st.integers(1, 3), st.integers(1, 3))
def test_a_symbolic_broadcast_is_assumed_to_be_legal(n: int, m: int) -> None:
    with shapes.assumptions() as pairs:
        found = shapes.broadcast((N,), (M,))
    assert found is not None
    env = {N: n, M: m}
    legal = all(evaluate(a, env) == evaluate(b, env) for a, b in pairs)
    assert legal == (n == m or 1 in (n, m))
    if legal:
        assert evaluate(found[0], env) == np.broadcast_shapes((n,), (m,))[0]


@given(st.integers(1, 6))
def test_a_number_and_a_symbol_may_meet_in_two_ways(n: int) -> None:
    with shapes.assumptions() as pairs:
        assert shapes.broadcast((N,), dims(4)) == dims(4)
    assert all(evaluate(a, {N: n}) == evaluate(b, {N: n}) for a, b in pairs) == (n in (1, 4))


def test_assumptions_belong_to_the_innermost_collector() -> None:
    with shapes.assumptions() as outer:
        with shapes.assumptions() as inner:
            shapes.assume(N, M)
        shapes.assume(N, const(2))
        shapes.assume(N, N)
    assert inner == [(N, M)]
    assert outer == [(N, const(2))]


def test_unknown_dims_are_all_different() -> None:
    assert shapes.unknown_dim("x") is not shapes.unknown_dim("x")


@pytest.mark.parametrize(
    ("given_shape", "wanted", "literal", "found"),
    [
        ((N, 12, 64), (0, -1), 0, (N, 768)),
        ((N, M, 768), (N, M, 12, -1), 0, (N, M, 12, 64)),
        ((N * M, 8), (M, -1), 0, (M, N * 8)),
        ((N, 0, 3), (3, 0, -2 + 2), 1, None),
        ((2, 0), (0, 2), 1, (0, 2)),
        ((N,), (-1,), 0, (N,)),
        ((1, 1), (), 0, ()),
    ],
)
def test_reshape(given_shape: Any, wanted: Any, literal: int, found: Any) -> None:
    shape = Type(DType.INT64, (const(len(wanted)),), dims(*wanted))
    x = tensor_type(DType.FLOAT32, dims(*given_shape))
    made = Reshape(allowzero=literal).infer(x, shape).shape
    if found is not None:
        assert made == dims(*found)
    else:
        assert made == dims(3, 0, 0)


BOUND = st.one_of(st.integers(-7, 7), st.sampled_from([2**63 - 1, -(2**63), 2**31 - 1]))


@given(
    EXTENTS,
    EXTENTS,
    st.lists(st.tuples(BOUND, BOUND, st.sampled_from([-3, -1, 1, 2])), min_size=1, max_size=2),
    st.booleans(),
)
@few
def test_slice_is_numpys(rows: int, columns: int, cuts: list[Any], symbols: bool) -> None:
    x = arange((rows, columns))
    starts, ends, steps = (np.array(part) for part in zip(*cuts, strict=True))
    arrays = [x, starts, ends, np.arange(len(cuts)), steps]
    wanted = x[tuple(slice(*c) for c in cuts)]
    np.testing.assert_array_equal(Slice().reference(*arrays), wanted)
    check(Slice(), arrays, symbols)


@given(EXTENTS, EXTENTS, st.lists(st.integers(0, 4), min_size=4, max_size=4), st.booleans())
@few
def test_pad_is_numpys(rows: int, columns: int, pads: list[int], symbols: bool) -> None:
    x = arange((rows, columns))
    widths = [(pads[0], pads[2]), (pads[1], pads[3])]
    arrays = [x, np.array(pads), np.array(9, np.float32)]
    wanted = np.pad(x, widths, constant_values=9)
    np.testing.assert_array_equal(Pad().reference(*arrays), wanted)
    check(Pad(), arrays, symbols)
    for mode in ("edge", "reflect", "wrap") if x.size else ():
        found = Pad(mode=mode).reference(*arrays[:2])
        np.testing.assert_array_equal(found, np.pad(x, widths, mode))
        check(Pad(mode=mode), arrays[:2], symbols)


@given(st.integers(-5, 5), st.integers(-5, 5), st.sampled_from([-3, -1, 1, 2, 4]))
@few
def test_range_is_pythons(start: int, limit: int, delta: int) -> None:
    arrays = [np.array(n, np.int64) for n in (start, limit, delta)]
    assert Range().reference(*arrays).tolist() == list(range(start, limit, delta))
    check(Range(), arrays, symbols=False)


def test_range_to_a_symbol_has_its_length() -> None:
    def known(e: Expr) -> Type:
        return Type(DType.INT64, (), (e,))

    assert Range().infer(known(const(0)), known(N), known(const(1))).shape == (N,)
    made = Range().infer(known(N), known(const(0)), known(const(-2))).dims
    assert evaluate(made[0], {N: 5}) == 3


@pytest.mark.parametrize("symbols", [False, True])
@pytest.mark.parametrize(
    ("a", "b"), [((2, 1, 3), (4, 1)), ((1,), (2, 2)), ((), (3,)), ((3, 1), (1, 4))]
)
def test_elements_of_a_broadcast(a: Any, b: Any, symbols: bool) -> None:
    assert check(Add(), [arange(a), arange(b)], symbols)
    wanted = np.broadcast_shapes(a, b)
    assert check(Expand(), [arange(a), np.array(wanted)], symbols)


def test_a_dim_that_is_1_when_running_is_stretched() -> None:
    from ops.evaluate import Frame, Loaded
    from sardonyx.graph.op import loop_index

    types = [tensor_type(DType.FLOAT32, (N, 3)), tensor_type(DType.FLOAT32, (M, 3))]
    out = Add().infer(*types)
    idx = loop_index(out.dims)
    e = Add().at(idx, *(Loaded(n, t) for n, t in enumerate(types)))
    arrays = [arange((1, 3)), arange((4, 3))]
    env: dict[Expr, Any] = {N: np.int64(1), M: np.int64(4), idx[0]: np.int64(2)}
    assert Frame({**env, idx[1]: np.int64(1)}, arrays).value(e) == 1 + 7


def test_split_of_a_symbol() -> None:
    x = tensor_type(DType.FLOAT32, (N * 3, 2))
    parts = Split(num_outputs=3, outputs=3).infer(x)
    assert [p.shape for p in parts] == [(N, const(2))] * 3
    uneven = Split(num_outputs=2, outputs=2).infer(tensor_type(DType.FLOAT32, (N,)))
    assert [evaluate(p.dims[0], {N: 7}) for p in uneven] == [4, 3]
    known = Split(num_outputs=4, outputs=4).infer(tensor_type(DType.FLOAT32, (6,)))
    assert [number(p.dims[0]) for p in known] == [2, 2, 2, 0]


def test_shape_and_squeeze_of_symbols() -> None:
    x = tensor_type(DType.FLOAT32, (N, 1, M, 8))
    assert Shape(start=-3, end=-1).infer(x).value == (const(1), M)
    axes = Type(DType.INT64, (const(1),), (const(1),))
    assert Squeeze().infer(x, axes).shape == (N, M, const(8))
    assert Squeeze().infer(x).shape is None
    fixed = tensor_type(DType.FLOAT32, (2, 1, 3))
    assert Squeeze().infer(fixed).shape == dims(2, 3)
