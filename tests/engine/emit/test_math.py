"""Elementary functions in machine code against numpy's longer types, in ulp."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.machine import Native, levels
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, const, load, symbol, unary, var
from sardonyx.loops.ir import Buffer, For, Kernel, Store

F32, F64 = DType.FLOAT32, DType.FLOAT64
N, COUNT = symbol("n", 0), 1 << 18

# Function, its reference, where to look closely, and the bound in ulp.
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Any) -> Any:
    shrunk = np.exp(-np.abs(x))
    return np.where(x < 0, shrunk, 1) / (1 + shrunk)


Case = tuple[Callable[[Any], Any], tuple[float, float], float]
SINGLE: dict[str, Case] = {
    "exp": (np.exp, (-105, 90), 1.0),
    "log": (np.log, (0, 4), 1.0),
    "erf": (_erf, (-5, 5), 1.0),
    "tanh": (np.tanh, (-10, 10), 2.0),
    "sigmoid": (_sigmoid, (-110, 20), 2.5),
    "sin": (np.sin, (-100, 100), 2.0),
    "cos": (np.cos, (-100, 100), 2.0),
    "tan": (np.tan, (-100, 100), 1.0),
    "asin": (np.arcsin, (-1, 1), 1.0),
    "acos": (np.arccos, (-1, 1), 1.0),
    "atan": (np.arctan, (-10, 10), 1.0),
    "sinh": (np.sinh, (-90, 90), 1.0),
    "cosh": (np.cosh, (-90, 90), 1.0),
    "asinh": (np.arcsinh, (-100, 100), 1.0),
    "acosh": (np.arccosh, (1, 10), 1.0),
    "atanh": (np.arctanh, (-1, 1), 1.0),
    "sqrt": (np.sqrt, (0, 100), 0.5),
    "rsqrt": (lambda x: 1 / np.sqrt(x), (0, 100), 1.5),
}
DOUBLE = {name: max(2.1, case[2]) for name, case in SINGLE.items()}

SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    1e-45,
    -1e-45,
    1.1754943508222875e-38,
    3.4028234663852886e38,
    -3.4028234663852886e38,
    math.pi,
    math.pi / 2,
    88.72283,
    88.72284,
    -87.33655,
    -103.97208,
    -103.97209,
    1e-30,
    -1e-30,
]


def samples(rng: np.random.Generator, low: float, high: float) -> Array:
    """Every exponent, the interesting range, small numbers, and the special values."""
    bits = rng.integers(0, 1 << 32, COUNT // 2, dtype=np.uint64).astype(np.uint32)
    near = rng.uniform(low, high, COUNT // 4)
    small = rng.standard_normal(COUNT // 4) * 10.0 ** rng.uniform(-8, 2, COUNT // 4)
    halves = np.arange(-2000, 2000) * (math.pi / 2)
    parts = [bits.view(np.float32), near, small, halves, SPECIAL]
    with np.errstate(all="ignore"):
        return np.concatenate([np.asarray(p).astype(np.float32) for p in parts])


def ulps(got: Array, want: Array) -> Array:
    """Distance in units of the last place of `want` rounded to the type of `got`."""
    kind = got.dtype.type
    with np.errstate(all="ignore"):
        near = want.astype(kind)
        finite = np.minimum(np.abs(near), np.finfo(kind).max)
        unit = np.spacing(finite).astype(np.longdouble)
        distance = np.abs(got.astype(np.longdouble) - want.astype(np.longdouble)) / unit
    same = (got == near) | (np.isnan(got) & np.isnan(near))
    distance[same & ~np.isfinite(distance)] = 0
    distance[np.isnan(got) != np.isnan(near)] = np.inf
    return np.asarray(distance)


def computed(level: str, dtype: DType, operation: Callable[..., Expr], *args: Array) -> Array:
    """What machine code gives for an elementwise operation."""
    i, count = var("i", N), len(args)
    e = operation(*(load(k, [i], dtype) for k in range(count)))
    params = [Buffer(k, dtype, N) for k in range(count)] + [Buffer(count, dtype, N, "out")]
    body = (For(i, (Store(count, i, e),), "vector"),)
    out = np.zeros(args[0].size, dtype.numpy)
    Native(Kernel(tuple(params), (N,), body, N), level)([*args, out], [out.size])
    return out


def by_scalars(level: str, operation: Callable[..., Expr], *args: Array) -> Array:
    """The same, one element at a time."""
    i, count = var("i", N), len(args)
    e = operation(*(load(k, [i], F32) for k in range(count)))
    params = [Buffer(k, F32, N) for k in range(count)] + [Buffer(count, F32, N, "out")]
    out = np.zeros(args[0].size, np.float32)
    kernel = Kernel(tuple(params), (N,), (For(i, (Store(count, i, e),)),), N)
    Native(kernel, level)([*args, out], [out.size])
    return out


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("name", list(SINGLE))
def test_float32(name: str, level: str, rng: np.random.Generator) -> None:
    reference, (low, high), bound = SINGLE[name]
    x = samples(rng, low, high)
    got = computed(level, F32, lambda a: unary(name, a), x)
    with np.errstate(all="ignore"):
        want = reference(x.astype(np.float64))
    far = ulps(got, want)
    worst = int(np.argmax(far))
    assert far[worst] <= bound + 1e-3, (x[worst], got[worst], want[worst], far[worst])
    zero = x == 0
    if name not in ("exp", "cos", "cosh", "acos", "log", "acosh", "sigmoid"):
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(x[zero]))
    few = np.concatenate([x[:64], x[-len(SPECIAL) :]])
    again = by_scalars(level, lambda a: unary(name, a), few)
    same = np.concatenate([got[:64], got[-len(SPECIAL) :]])
    np.testing.assert_array_equal(again, same)


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("name", [n for n in SINGLE if n != "erf"])
def test_float64(name: str, level: str, rng: np.random.Generator) -> None:
    reference, (low, high), _ = SINGLE[name]
    wide = {"exp": (-745, 709), "sinh": (-700, 700), "cosh": (-700, 700)}
    low, high = wide.get(name, (low, high))
    count = COUNT // 8
    x = np.concatenate(
        [
            rng.uniform(low, high, count),
            rng.standard_normal(count) * 10.0 ** rng.uniform(-12, 3, count),
            rng.standard_normal(1000) * 2.0 ** rng.uniform(-900, 900, 1000),
            np.arange(-500, 500) * (math.pi / 2),
            SPECIAL,
        ]
    )
    got = computed(level, F64, lambda a: unary(name, a), x)
    with np.errstate(all="ignore"):
        want = reference(x.astype(np.longdouble))
    far = ulps(got, want)
    worst = int(np.argmax(far))
    assert far[worst] <= DOUBLE[name], (x[worst], got[worst], want[worst], far[worst])


@pytest.mark.parametrize("level", levels())
def test_erf_of_float64(level: str, rng: np.random.Generator) -> None:
    x = np.concatenate([rng.uniform(-6, 6, 5000), SPECIAL])
    np.testing.assert_array_equal(computed(level, F64, lambda a: unary("erf", a), x), _erf(x))


@pytest.mark.parametrize("level", levels())
def test_powers(level: str, rng: np.random.Generator) -> None:
    x = np.concatenate([rng.uniform(0, 10, COUNT), rng.uniform(-4, 4, COUNT // 2)])
    y = np.concatenate([rng.uniform(-20, 20, COUNT), rng.integers(-9, 9, COUNT // 2)])
    grid = np.array([0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, np.inf, -np.inf, np.nan, 1e30, 1e-30])
    a, b = (g.reshape(-1) for g in np.meshgrid(grid, grid))
    x, y = (np.concatenate(p).astype(np.float32) for p in ((x, a), (y, b)))
    got = computed(level, F32, lambda p, q: binary("pow", p, q), x, y)
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64))
    far = ulps(got, want)
    worst = int(np.argmax(far))
    assert far[worst] <= 1.0, (x[worst], y[worst], got[worst], want[worst])
    zeros = np.abs(want) < 1e-46
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(want[zeros]))
    double = computed(
        level, F64, lambda p, q: binary("pow", p, q), *(v[:4000].astype(np.float64) for v in (x, y))
    )
    np.testing.assert_allclose(double, want[:4000], rtol=5e-16)


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0, 3.0, -1.0, 2.5])
def test_powers_by_a_literal(level: str, exponent: float, rng: np.random.Generator) -> None:
    x = np.concatenate([rng.standard_normal(1000), SPECIAL]).astype(np.float32)
    got = computed(level, F32, lambda a: binary("pow", a, const(exponent, F32)), x)
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), np.full(x.size, exponent))
    assert np.max(ulps(got, want)) <= 1.5


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("op", ["fmod", "mod"])
def test_remainders(level: str, op: str, rng: np.random.Generator) -> None:
    values = [0.0, -0.0, 1.5, -1.5, 7.0, -7.0, 3.0, -3.0, np.inf, -np.inf, np.nan, 1e30]
    a, b = (g.reshape(-1).astype(np.float32) for g in np.meshgrid(values, values))
    got = computed(level, F32, lambda p, q: binary(op, p, q), a, b)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, np.fmod(a, b) if op == "fmod" else np.mod(a, b))
