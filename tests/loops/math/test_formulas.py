"""Formulas run by the interpreter: against mathematics, the meaning of rows, and machine code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.machine import Native, levels, machine
from sardonyx.core import scalar
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, cast, const, load, unary, var
from sardonyx.core.operations import OPERATIONS, limits
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import Buffer, For, Kernel, Store
from sardonyx.loops.math.formulas import Abilities
from sardonyx.loops.math.lower import abilities, lowered, template
from sardonyx.loops.target import make

F32, F64 = DType.FLOAT32, DType.FLOAT64
MACHINES = {
    "bare": abilities(make("generic", ()), 4),
    "fused": abilities(make("avx2"), 8),
    "wide": abilities(make("avx512"), 16),
    "scalar": abilities(make("avx512"), None),
}


def elements(e: Callable[..., Expr], dtypes: Sequence[DType], count: int) -> Kernel:
    """A kernel of one loop that stores an expression of its inputs."""
    i = var("i", count)
    value = e(*(load(k, [i], dtype) for k, dtype in enumerate(dtypes)))
    size = const(count)
    params = [Buffer(k, dtype, size) for k, dtype in enumerate(dtypes)]
    params.append(Buffer(len(dtypes), value.dtype, size, "out"))
    body = For(i, (Store(len(dtypes), i, value),), "vector")
    return Kernel(tuple(params), (), (body,), size)


def interpreted(e: Callable[..., Expr], able: Abilities, *args: Array) -> Array:
    """What the formula of an expression gives on a machine with these abilities."""
    dtypes = [DType.from_numpy(a.dtype) for a in args]
    kernel = elements(lambda *loads: lowered(e(*loads), able), dtypes, args[0].size)
    out = np.zeros(args[0].size, kernel.params[-1].dtype.numpy)
    interpret(kernel, [*args, out])
    return out


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


# Function, where to look, and the bound in ulp for float32 and float64.
FUNCTIONS: dict[str, tuple[Any, tuple[float, float], float, float]] = {
    "exp": (mpmath.exp, (-103, 88), 1.0, 1.0),
    "log": (mpmath.log, (0, 4), 1.0, 1.0),
    "erf": (mpmath.erf, (-5, 5), 1.0, 1.0),
    "tanh": (mpmath.tanh, (-10, 10), 2.0, 1.5),
    "sigmoid": (_sigmoid, (-100, 20), 2.5, 2.1),
    "sin": (mpmath.sin, (-100, 100), 2.0, 2.0),
    "cos": (mpmath.cos, (-100, 100), 2.0, 2.0),
    "tan": (mpmath.tan, (-100, 100), 1.0, 1.0),
    "asin": (mpmath.asin, (-1, 1), 1.0, 2.0),
    "acos": (mpmath.acos, (-1, 1), 1.0, 1.5),
    "atan": (mpmath.atan, (-10, 10), 1.0, 1.5),
    "sinh": (mpmath.sinh, (-80, 80), 1.0, 2.1),
    "cosh": (mpmath.cosh, (-80, 80), 1.0, 1.5),
    "asinh": (mpmath.asinh, (-100, 100), 1.0, 2.0),
    "acosh": (mpmath.acosh, (1, 10), 1.0, 2.0),
    "atanh": (mpmath.atanh, (-1, 1), 1.0, 2.0),
    "rsqrt": (lambda x: 1 / mpmath.sqrt(x), (0.01, 100), 1.5, 1.5),
}


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_keep_their_bound(name: str, dtype: DType, rng: np.random.Generator) -> None:
    exact, (low, high), *bounds = FUNCTIONS[name]
    x = rng.uniform(low, high, 60).astype(dtype.numpy)
    want = [exact(mpmath.mpf(float(v))) for v in x]
    for able in MACHINES.values():
        got = interpreted(lambda a: unary(name, a), able, x)
        unit = np.spacing(np.abs(np.array([float(w) for w in want]).astype(dtype.numpy)))
        far = [
            abs(mpmath.mpf(float(g)) - w) / float(u)
            for g, w, u in zip(got, want, unit, strict=True)
        ]
        worst = int(np.argmax(far))
        assert far[worst] <= bounds[dtype is F64], (x[worst], got[worst], far[worst])


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-42, 3e38, -3e38, 1e7, 88.7, -103.9]
BY_LIBRARY = {"tan": (F64,), "pow": (F64,), "erf": (F64,)}


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_machine_code_is_the_formula_bit_for_bit(
    level: str, dtype: DType, rng: np.random.Generator
) -> None:
    target = machine(level)
    x = np.concatenate([rng.standard_normal(50) * 10.0 ** rng.uniform(-6, 6, 50), SPECIAL])
    x = x.astype(dtype.numpy)
    able = abilities(target, target.lanes(dtype))
    for name in [*FUNCTIONS, "floor", "ceil", "round", "trunc", "sign", "sqrt"]:
        if dtype in BY_LIBRARY.get(name, ()):
            continue
        kernel = elements(lambda a, name=name: unary(name, a), [dtype], x.size)
        native = np.zeros_like(x)
        Native(kernel, level)([x, native])
        formula = interpreted(lambda a, name=name: unary(name, a), able, x)
        np.testing.assert_array_equal(native, formula, err_msg=name)
        some = ~np.isnan(native)
        np.testing.assert_array_equal(np.signbit(native[some]), np.signbit(formula[some]), name)


INTEGERS = [d for d in DType if d.is_int and d.bits in (8, 16, 32, 64)]
EXACT_REAL = ["min", "max", "floor", "ceil", "round", "trunc", "sign", "isnan", "isinf", "mod"]
_WHOLE = """add sub mul div truncdiv floordiv mod fmod min max neg abs sign bitnot shl shr bitand
isnan floor lt le eq ne"""
EXACT_WHOLE = _WHOLE.split()


def applied(name: str) -> Callable[..., Expr]:
    """The operation of that name."""
    return lambda *args: unary(name, args[0]) if len(args) == 1 else binary(name, *args)


def agrees(name: str, dtype: DType, values: Sequence[Any]) -> None:
    """Every machine's formula gives what the row means."""
    args = [np.array([v]).astype(dtype.numpy) for v in values[: OPERATIONS[name].arity]]
    plain = [scalar.of(a[0], dtype) for a in args]
    with np.errstate(all="ignore"):
        want = scalar.apply(name, plain, dtype)
        for able in MACHINES.values():
            got = interpreted(applied(name), able, *args)[0]
            np.testing.assert_array_equal(got, np.array(want).astype(got.dtype), f"{name} {args}")
            if dtype.is_float and got == 0 and name not in ("isnan", "isinf", "mod"):
                assert np.signbit(got) == np.signbit(want) or name in ("min", "max")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whole_numbers(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(INTEGERS))
    low, high = limits(dtype)
    near = [v for v in (low, low + 1, -1, 0, 1, 2, high) if v >= low]
    each = st.one_of(st.sampled_from(near), st.integers(low, high))
    values = [np.array(data.draw(each)).astype(dtype.numpy) for _ in range(2)]
    agrees(data.draw(st.sampled_from(EXACT_WHOLE)), dtype, values)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_real_numbers(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([F32, F64, DType.FLOAT16]))
    each = st.floats(width=dtype.bits)  # type: ignore[arg-type]
    name = data.draw(st.sampled_from(EXACT_REAL))
    agrees(name, dtype, [data.draw(each), data.draw(each)])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_conversions(data: st.DataObject) -> None:
    kinds = [*INTEGERS, F32, F64, DType.FLOAT16, DType.BFLOAT16, DType.BOOL]
    source, to = data.draw(st.sampled_from(kinds)), data.draw(st.sampled_from(kinds))
    low, high = limits(source)
    given_ = st.floats() if source.is_float else st.integers(int(low), int(high))
    with np.errstate(all="ignore"):
        x = np.array([data.draw(given_)]).astype(source.numpy)
        want = scalar.cast(scalar.of(x[0], source), source, to)
        for able in MACHINES.values():
            got = interpreted(lambda a: cast(a, to), able, x)[0]
            both = np.array([got, want]).astype(np.float64 if to.is_float else to.numpy)
            np.testing.assert_array_equal(both[0], both[1], f"{x} from {source} to {to}")


@pytest.mark.parametrize("divisor", [1, 3, 7, 8, 10, 640, 4096])
def test_subscripts_divided_by_a_literal(divisor: int, rng: np.random.Generator) -> None:
    near = np.array([k * divisor + d for k in (1, 2, 9, 1 << 30) for d in (-1, 0, 1)])
    x = np.concatenate([near, rng.integers(0, 1 << 50, 30)])
    for op, exact in (("floordiv", np.floor_divide), ("mod", np.mod)):
        for able in MACHINES.values():
            made = template(f"index.{op}", (DType.INT64,) * 2, DType.INT64, able, divisor)
            assert made is not None
            got = interpreted(lambda a, made=made: made((a, const(divisor))), able, x)
            np.testing.assert_array_equal(got, exact(x, divisor))


def test_what_is_lowered_has_no_formula_left() -> None:
    i = var("i", 4)
    for able in MACHINES.values():
        once = lowered(unary("tanh", load(0, [i], F32)), able)
        assert lowered(once, able) is once
