"""Proofs that accesses are inside: sound on every point, and strong enough for what is common."""

import itertools
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    Expr,
    const,
    evaluate,
    load,
    maximum,
    minimum,
    number,
    scalar,
    substitute,
    symbol,
    unary,
    var,
    where,
)
from sardonyx.loops.bounds import Access, accesses, loads, outside, proof
from sardonyx.loops.ir import Buffer, For, If, Kernel, Let, Store

N, M, H = symbol("N"), symbol("M"), symbol("H")


def points(access: Access, dims: Mapping[Expr, int]) -> Iterator[int]:
    """The subscripts that an access really makes."""
    known = {s: const(n) for s, n in dims.items()}
    extents = [number(substitute(v.args[0], known)) or 0 for v in access.loops]
    for point in itertools.product(*map(range, extents)):
        env = {**dims, **dict(zip(access.loops, point, strict=True))}
        if all(evaluate(g, env) for g in access.guards):
            yield evaluate(access.index, env)


def is_inside(access: Access, dims: Mapping[Expr, int]) -> bool:
    extent = evaluate(access.extent, dims)
    return all(0 <= at < extent for at in points(access, dims))


P, Q = var("i", N), var("j", M)
PADDED = (const(0) <= P - 2, P - 2 < H)


@pytest.mark.parametrize(
    "access",
    [
        Access(P, N, (P,)),
        Access(P * M + Q, N * M, (P, Q)),
        Access(N - 1 - P, N, (P,)),
        Access(P - 2, H, (P,), PADDED),
        Access((P - 2) * M + Q, H * M, (P, Q), PADDED),
        Access(P // 2, (N + 1) // 2, (P,)),
        Access(where(P < 3, P, P - 3), N, (P,)),
        Access(maximum(minimum(load(0, [P], DType.INT64), H - 1), 0), H, (P,)),
        Access(where(P < 3, P, P - 3) + 3, const(6), (P,), (unary("not", const(3) <= P),)),
        Access((P - Q) // 2, H, (P, Q), (const(0) <= P - Q, (P - Q) // 2 < H)),
    ],
)
def test_what_is_always_inside_is_proved(access: Access) -> None:
    assert proof(access) == ()


@pytest.mark.parametrize(
    ("access", "least"),
    [
        (Access(P, M, (P,)), M - N),
        (Access(P * H + Q, N * M, (P, Q)), None),
        (Access(const(2), M), M - 3),
        (Access(P + Q, H, (P, Q)), H - N - M + 1),
    ],
)
def test_what_depends_on_sizes_says_on_which(access: Access, least: Expr | None) -> None:
    found = proof(access)
    assert found
    if least is not None:
        assert found == (least,)


def test_what_comes_from_data_is_not_proved() -> None:
    access = Access(load(0, [P], DType.INT64), N, (P,))
    assert proof(access) is None
    assert access.is_of_data


dims = st.fixed_dictionaries({N: st.integers(1, 7), M: st.integers(1, 7), H: st.integers(1, 7)})
NUMBERS = [N, M, H, const(0), const(1), const(2), const(5)]


def bigger(e: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    pair = st.tuples(e, e)
    return st.one_of(
        pair.map(lambda p: p[0] + p[1]),
        pair.map(lambda p: p[0] - p[1]),
        pair.map(lambda p: p[0] * p[1]),
        pair.map(lambda p: minimum(*p)),
        pair.map(lambda p: maximum(*p)),
        st.tuples(e, st.integers(1, 4)).map(lambda p: p[0] // p[1]),
        st.tuples(e, st.integers(1, 4)).map(lambda p: p[0] % p[1]),
        st.tuples(e, e, e, e).map(lambda p: where(p[0] < p[1], p[2], p[3])),
    )


subscripts = st.recursive(st.sampled_from([P, Q, *NUMBERS]), bigger, max_leaves=6)
extents = st.recursive(st.sampled_from(NUMBERS), bigger, max_leaves=3)
conditions = st.tuples(subscripts, subscripts).map(lambda p: p[0] < p[1])
some = st.builds(
    lambda index, extent, guards: Access(index, extent, (P, Q), tuple(guards)),
    subscripts,
    extents,
    st.lists(conditions, max_size=2),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(some, dims)
def test_proofs_are_sound(access: Access, sizes: dict[Expr, int]) -> None:
    enough = proof(access)
    if enough is not None and all(evaluate(e, sizes) >= 0 for e in enough):
        assert is_inside(access, sizes)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(some, dims)
def test_numbers_tell_for_sure(access: Access, sizes: dict[Expr, int]) -> None:
    bad = outside(access, sizes)
    assert (bad is None) == is_inside(access, sizes)
    if bad is not None:
        assert bad in set(points(access, sizes))


def test_loops_whose_trips_depend_on_other_loops() -> None:
    block = var("block", (N + 3) // 4)
    row = var("row", minimum(N - block * 4, const(4)))
    access = Access(block * 4 + row, N, (block, row))
    for n in (1, 4, 5, 11):
        assert outside(access, {N: n}) is None
    assert outside(Access(block * 4 + row, N - 1, (block, row)), {N: 5}) == 4


def test_too_many_points_are_refused_rather_than_guessed() -> None:
    far = Access((P * Q) % (P + 1), H, (P, Q))
    with pytest.raises(OverflowError, match="subscripts"):
        outside(far, {N: 1 << 14, M: 1 << 14, H: 5})


def test_loads_stand_under_the_conditions_of_their_side() -> None:
    x, y = load(1, [P], DType.FLOAT32), load(1, [Q], DType.FLOAT32)
    found = {e: guards for e, _, guards in loads(where(P < 3, x + 1.0, y))}
    assert found == {x: (P < 3,), y: (unary("not", P < 3),)}


def test_a_kernel_is_walked_with_its_names_and_branches() -> None:
    t = symbol("t", 0)
    body = (
        Let(t, P + 1),
        If(
            P < 2,
            (Store(0, t, load(1, [t], DType.FLOAT32)),),
            (Store(0, P, const(0.0, DType.FLOAT32)),),
        ),
    )
    params = (Buffer(0, DType.FLOAT32, N, "out"), Buffer(1, DType.FLOAT32, M))
    kernel = Kernel(params, (N, M), (For(P, body),), N)
    found = [(buffer, access.index, access.guards) for buffer, access in accesses(kernel)]
    holds, fails = (P < 2,), (unary("not", P < 2),)
    assert found == [(1, P + 1, holds), (0, P + 1, holds), (0, P, fails)]


def test_what_is_read_to_be_named_is_looked_at_once() -> None:
    named, place = scalar("n", DType.INT64), load(0, [N - 1 - P], DType.INT64)
    let = Let(named, maximum(minimum(place, M - 1), 0))
    store = Store(1, named, load(0, [P], DType.INT64))
    params = (Buffer(0, DType.INT64, N), Buffer(1, DType.INT64, M, "out"))
    found = list(accesses(Kernel(params, (N, M), (For(P, (let, store)),), N)))
    assert [buffer for buffer, _ in found] == [0, 0, 1]
    assert [proof(access) for _, access in found] == [(), (), ()]
