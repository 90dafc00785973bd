"""Index arithmetic against plain evaluation of what was written, on random assignments."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    INDEX,
    Expr,
    binary,
    bound,
    cast,
    const,
    divide,
    eq,
    evaluate,
    floordiv,
    maximum,
    minimum,
    mod,
    nonnegative,
    scalar,
    symbol,
    transform,
    var,
    where,
    within,
)

Env = dict[Expr, int]
Meaning = Callable[[Env], int]


@dataclass(frozen=True)
class Made:
    """An expression and what was written to get it."""

    expr: Expr
    meaning: Meaning
    text: str

    def __repr__(self) -> str:
        return self.text


N, M, K = symbol("n"), symbol("m", 2), symbol("k", 0)
X = scalar("x", INDEX)
R, J = var("i", N), var("j", 6)
P, Q = var("p", N * M), var("q", M + 3)
SYMBOLS, LOOPS = (N, M, K), (R, J, P, Q)


@st.composite
def assignments(draw: st.DrawFn) -> Env:
    """Values that respect the facts: symbols at least their bound, loops below their extent."""
    small = st.integers(0, 9)
    env = {s: s.arg[1] + draw(small) for s in SYMBOLS}
    env[X] = draw(st.integers(-20, 20))
    for v in LOOPS:
        env[v] = draw(st.integers(0, evaluate(v.args[0], env) - 1))
    return env


def leaf(e: Expr) -> Made:
    return Made(e, lambda env: env[e], repr(e))


def literal(value: int) -> Made:
    return Made(const(value), lambda _: value, str(value))


LEAVES = st.one_of(
    st.sampled_from((*SYMBOLS, *LOOPS, X)).map(leaf), st.integers(-9, 16).map(literal)
)
DIVIDE = st.sampled_from(["//", "%"])
NEGATIVE = st.integers(-5, -1).map(literal)
POSITIVE = st.one_of(st.integers(1, 9).map(literal), st.sampled_from((N, M)).map(leaf))


BINARY: dict[str, tuple[Callable[..., Expr], Callable[..., int]]] = {
    "+": (operator.add, operator.add),
    "-": (operator.sub, operator.sub),
    "*": (operator.mul, operator.mul),
    "//": (floordiv, operator.floordiv),
    "%": (mod, operator.mod),
    "min": (minimum, min),
    "max": (maximum, max),
}


def join(sign: str, a: Made, b: Made) -> Made:
    build, python = BINARY[sign]
    return Made(
        build(a.expr, b.expr),
        lambda env: python(a.meaning(env), b.meaning(env)),
        f"({a.text} {sign} {b.text})",
    )


def choice(a: Made, b: Made, yes: Made, no: Made) -> Made:
    return Made(
        where(a.expr < b.expr, yes.expr, no.expr),
        lambda env: yes.meaning(env) if a.meaning(env) < b.meaning(env) else no.meaning(env),
        f"({yes.text} if {a.text} < {b.text} else {no.text})",
    )


def grow(parts: st.SearchStrategy[Made]) -> st.SearchStrategy[Made]:
    divisors = st.one_of(POSITIVE, st.builds(join, st.just("*"), POSITIVE, POSITIVE))
    return st.one_of(
        st.builds(join, st.sampled_from(["+", "-", "*", "+", "*"]), parts, parts),
        st.builds(join, DIVIDE, parts, divisors),
        st.builds(join, DIVIDE, parts, NEGATIVE),
        st.builds(join, st.sampled_from(["min", "max"]), parts, parts),
        st.builds(choice, parts, parts, parts, parts),
    )


EXPRESSIONS = st.recursive(LEAVES, grow, max_leaves=10)
COMMON = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@COMMON
@given(EXPRESSIONS, st.lists(assignments(), min_size=3, max_size=3))
def test_what_is_built_means_what_was_written(made: Made, envs: list[Env]) -> None:
    for env in envs:
        assert evaluate(made.expr, env) == made.meaning(env)


@COMMON
@given(EXPRESSIONS)
def test_normal_form_is_stable(made: Made) -> None:
    assert transform(made.expr, lambda _: None) is made.expr


@COMMON
@given(EXPRESSIONS, st.lists(assignments(), min_size=3, max_size=3))
def test_bounds_hold(made: Made, envs: list[Env]) -> None:
    low, high = bound(made.expr, upper=False), bound(made.expr, upper=True)
    for env in envs:
        value = made.meaning(env)
        assert evaluate(low, env) <= value <= evaluate(high, env)
        assert value >= 0 or not nonnegative(made.expr)


@COMMON
@given(EXPRESSIONS, EXPRESSIONS, st.lists(assignments(), min_size=3, max_size=3))
def test_relations_hold(a: Made, b: Made, envs: list[Env]) -> None:
    relations = [
        (a.expr < b.expr, operator.lt),
        (a.expr <= b.expr, operator.le),
        (a.expr > b.expr, operator.gt),
        (eq(a.expr, b.expr), operator.eq),
        (binary("ne", a.expr, b.expr), operator.ne),
    ]
    inside = within(a.expr, b.expr)
    for env in envs:
        x, y = a.meaning(env), b.meaning(env)
        for built, python in relations:
            assert bool(evaluate(built, env)) == python(x, y)
        assert 0 <= x < y or not inside


@COMMON
@given(EXPRESSIONS, EXPRESSIONS, assignments())
def test_division_leaves_a_remainder(a: Made, b: Made, env: Env) -> None:
    if b.expr is const(0):
        return
    quotient, rest = (evaluate(e, env) for e in divide(a.expr, b.expr))
    assert quotient * b.meaning(env) + rest == a.meaning(env)


W = symbol("w")
B, S = symbol("batch"), symbol("seq")


@pytest.mark.parametrize("width", [const(7), W, W * 3, W + 2])
def test_rows_and_columns_come_apart(width: Expr) -> None:
    i, j = var("i", 100), var("j", width)
    flat = i * width + j
    assert flat // width is i
    assert flat % width is j
    x = scalar("x", INDEX)
    assert (x // width) * width + x % width is x
    assert 5 * ((x // width) * width) + 5 * (x % width) + i is 5 * x + i
    rows = x // width
    parts = [S * width * (rows % 12), S * (x % width), 12 * S * width * (rows // 12)]
    for a, b, c in itertools.permutations(parts):
        assert a + b + c is S * x


def test_shape_arithmetic_comes_out_even() -> None:
    assert ((B * S) * 8) // (B * 2) is S * 4
    assert (B * S * 64) % (S * 16) is const(0)
    assert (B * S + S) // S is B + 1
    assert (S + 3 - 3) // 1 is S
    assert (B * 12 + 5) // 4 is B * 3 + 1
    assert ((S // 4) // 8) is S // 32
    assert (B * 2 - B - B) is const(0)


def test_facts_decide_comparisons() -> None:
    i, j = var("i", S), var("j", 8)
    inside = i * 8 + j
    few = minimum(S, 14)
    assert bool(i < S)
    assert bool(inside < S * 8)
    assert bool(S > 0)
    assert not bool(S < 1)
    assert not bool(eq(i, S))
    assert minimum(i, S) is i
    assert minimum(j, 7) is j
    assert maximum(i - 1, -1) is i - 1
    assert (i < S - 1).op == "lt"
    assert few.op == "min"
    assert bool(few <= 14)
    assert bool(few <= S)
    assert bool(maximum(S, 14) >= S)


def test_unknown_signs_are_not_assumed() -> None:
    i, x = var("i", S), scalar("x", INDEX)
    assert (i * x <= (S - 1) * x).op == "le"
    assert not nonnegative(i * x)
    assert bound(i * x, upper=True) is i * x
    assert (x // S).op == "floordiv"
    assert (x % S).op == "mod"


LITERALS = """
    300 int64 int8 44
    -1 int64 uint16 65535
    0.1 float64 float16 0.0999755859375
    1 bool float32 1.0
    16777217 int64 float32 16777216.0
    -2 int64 bool 1
"""


@pytest.mark.parametrize("row", LITERALS.strip().splitlines())
def test_literals_are_converted_as_data_would_be(row: str) -> None:
    value, source, to, wanted = row.split()
    literal = const(float(value), DType.parse(source))
    made = cast(literal, DType.parse(to))
    assert made.is_const
    assert made.arg == float(wanted)


def test_values_are_found_without_what_they_do_not_need() -> None:
    i = var("i", N)
    assert evaluate(i + 1, {i: 3}) == 4
    guarded = where(i < 2, i * 5, symbol("unknown"))
    assert evaluate(guarded, {i: 1}) == 5
    with pytest.raises(KeyError, match="unknown"):
        evaluate(guarded, {i: 2})


def test_deep_expressions_are_built_shown_and_evaluated() -> None:
    e = X
    for _ in range(5000):
        e = minimum(e + 1, e * 2 + M)
    assert len(repr(e)) < 5000
    assert evaluate(e, {X: 0, M: 2}) > 0


def test_equal_expressions_made_by_many_threads_are_one() -> None:
    def build(_: int) -> list[Expr]:
        return [symbol(f"t{n}") * 3 + n for n in range(500)]

    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(build, range(16))
    assert all(a is b for other in others for a, b in zip(first, other, strict=True))
