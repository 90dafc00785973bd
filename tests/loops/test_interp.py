"""The interpreter on small programs whose results are known otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from sardonyx.core import scalar as element
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import EngineError
from sardonyx.core.expr import Expr, binary, cast, const, unary
from sardonyx.core.operations import OPERATIONS
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import Buffer, Kernel, Store
from sardonyx.loops.text import from_text

F32, I8, I32 = DType.FLOAT32, DType.INT8, DType.INT32


def program(body: str, *kinds: str, scratch: str = "") -> Kernel:
    """A kernel of one symbol `n` over buffers of 64 elements, the last of which is written."""
    lines = ["kernel", "symbol n >= 1"]
    for number, kind in enumerate(kinds):
        role = "out" if number == len(kinds) - 1 else "in"
        lines.append(f"{role} b{number}: {kind}[64]")
    body_lines = body.strip("\n").splitlines()
    inset = len(body_lines[0]) - len(body_lines[0].lstrip())
    lines += [scratch] * bool(scratch)
    lines += ["work 1", *(line[inset:] for line in body_lines)]
    return from_text("\n".join(lines))


def run(kernel: Kernel, *arrays: Array, n: int = 6, threads: int = 1) -> Array:
    out = np.zeros(64, kernel.params[-1].dtype.numpy)
    padded = [np.resize(a, 64) for a in arrays]
    interpret(kernel, [*padded, out], [n], threads)
    return out


SOFTMAX = """
    parallel for i < 4:
      top: float32 = fold max vector:
        over k < n
        of b0[((n * i) + k)]
      total: float32 = fold add serial:
        over k < n
        of exp((b0[((n * i) + k)] - top))
      vector for j < n:
        b1[((n * i) + j)] = (exp((b0[((n * i) + j)] - top)) / total)
"""


@pytest.mark.parametrize("threads", [1, 3, 7])
def test_softmax(threads: int, rng: np.random.Generator) -> None:
    kernel = program(SOFTMAX, "float32", "float32")
    x = rng.standard_normal((4, 6)).astype(np.float32)
    e = np.exp(x - x.max(1, keepdims=True))
    wanted = e / e.sum(1, keepdims=True)
    got = run(kernel, x, threads=threads)
    np.testing.assert_allclose(got[:24], wanted.ravel(), rtol=1e-6)
    assert not got[24:].any()


CONTRACT = """
    acc: {acc} = contract:
      batch p < 2
      m i < 3
      n j < 4
      k k < n
      left b0[((18 * p) + (6 * i) + k)]
      right b1[((4 * k) + j)]
      do:
        b2[((12 * p) + (4 * i) + j)] = (acc * 2{colon}{acc})
"""


def test_contract_in_float32(rng: np.random.Generator) -> None:
    text = CONTRACT.format(acc="float32", colon=".0:")
    kernel = program(text, "float32", "float32", "float32")
    a = rng.standard_normal((2, 3, 6)).astype(np.float32)
    b = rng.standard_normal((6, 4)).astype(np.float32)
    got = run(kernel, a, b)[:24].reshape(2, 3, 4)
    np.testing.assert_allclose(got, 2 * a @ b, rtol=1e-5, atol=1e-6)


def test_contract_of_bytes_in_int32() -> None:
    text = CONTRACT.format(acc="int32", colon=":")
    kernel = program(text, "uint8", "int8", "int32")
    a, b = np.full(36, 255, np.uint8), np.full(24, -128, np.int8)
    got = run(kernel, a, b)[:24]
    assert set(got.tolist()) == {255 * -128 * 6 * 2}


TILE = """
    acc: {acc} = tile 3 x 4:
      depth {depth}
      a b0 at 1 stride {stride}
      b b1 at 0 stride {width}
      row r < 3 valid min(n, 2)
      col c < 4 valid 3
      {start}do:
        b2[((4 * r) + c)] = acc
"""
START = "start float32(((10 * r) + c))\n      "


@pytest.mark.parametrize("start", ["", START])
def test_tile_in_float32(start: str, rng: np.random.Generator) -> None:
    text = TILE.format(acc="float32", depth=5, stride=7, width=4, start=start)
    kernel = program(text, "float32", "float32", "float32")
    a = rng.standard_normal(64).astype(np.float32)
    b = rng.standard_normal((5, 4)).astype(np.float32)
    wanted = np.zeros((3, 4), np.float32)
    wanted[:2, :3] = (a[1:15].reshape(2, 7)[:, :5] @ b)[:, :3]
    if start:
        wanted[:2, :3] += [[0, 1, 2], [10, 11, 12]]
    got = run(kernel, a, b)
    np.testing.assert_allclose(got[:12], wanted.ravel(), rtol=1e-5, atol=1e-6)
    assert not got[12:].any()


@pytest.mark.parametrize(("a", "b"), [("uint8", "int8"), ("int16", "int16")])
def test_tile_of_narrow_integers_takes_groups_of_k(
    a: str, b: str, rng: np.random.Generator
) -> None:
    group = 32 // DType.parse(a).bits
    text = TILE.format(acc="int32", depth=3, stride=3 * group, width=4 * group, start="")
    x = rng.integers(0, 100, 64).astype(a)
    y = rng.integers(-100, 100, (3, 4, group)).astype(b)
    got = run(program(text, a, b, "int32"), x, y)
    rows = x[1 : 1 + 6 * group].reshape(2, 3 * group)
    columns = y.transpose(0, 2, 1).reshape(3 * group, 4)
    wanted = np.zeros((3, 4), np.int32)
    wanted[:2, :3] = (rows.astype(int) @ columns.astype(int))[:, :3]
    np.testing.assert_array_equal(got[:12], wanted.ravel())


def test_only_the_chosen_side_is_read() -> None:
    text = """
        for i < 64:
          b1[i] = where((i < 60), b0[(i + 4)], 7.0:float32)
    """
    out = run(program(text, "float32", "float32"), np.arange(64, dtype=np.float32))
    assert out.tolist() == [*range(4, 64), 7, 7, 7, 7]


OUTSIDE = {
    "element 64 of b0": """
        for i < 65:
          b1[0] = b0[i]
    """,
    "element -1 of b1": "b1[(n + -7)] = 0.0:float32",
    "element 65 of b1": "b1[(n + 59)] = 0.0:float32",
}


@pytest.mark.parametrize("said", OUTSIDE)
def test_elements_outside_are_found(said: str) -> None:
    kernel = program(OUTSIDE[said], "float32", "float32")
    with pytest.raises(EngineError, match=said) as caught:
        run(kernel, np.zeros(64, np.float32))
    assert caught.value.code == "E0806"


def test_tiles_must_be_readable_as_a_whole() -> None:
    text = TILE.format(acc="float32", depth=5, stride=30, width=4, start="")
    kernel = program(text, "float32", "float32", "float32")
    with pytest.raises(EngineError, match="of b0 is touched"):
        run(kernel, np.zeros(64, np.float32), np.zeros(64, np.float32), n=1)


def test_scratch_starts_as_rubbish_and_is_private() -> None:
    text = """
        b0[0] = (b0[0] + where((b1[0] == 5.0:float32), 1.0:float32, 0.0:float32))
        b1[0] = 5.0:float32
    """
    kernel = program(text, "float32", scratch="thread b1: float32[4]")
    assert run(kernel, threads=3)[0] == 0


def test_branches() -> None:
    text = """
        unroll for i < n:
          if ((i % 2) == 0):
            b0[i] = 1:int32
          else:
            b0[i] = neg(int32(i))
    """
    assert run(program(text, "int32"))[:6].tolist() == [1, -1, 1, -3, 1, -5]


@pytest.mark.parametrize("op", ["add", "mul", "min", "max"])
@pytest.mark.parametrize("kind", ["float32", "int8", "bfloat16"])
def test_reductions_and_their_identities(op: str, kind: str) -> None:
    dtype = DType.parse(kind)
    x = np.array([3, 1, -2, 5, 2]).astype(dtype.numpy)
    high = math.inf if dtype.is_float else 127
    low = -math.inf if dtype.is_float else -128
    some = {"add": 9, "mul": -60, "min": -2, "max": 5}
    none = {"add": 0, "mul": 1, "min": high, "max": low}
    for count, wanted in ((5, some), (0, none)):
        text = f"""
            t: {kind} = fold {op} vector:
              over k < {count}
              of b0[k]
            b1[0] = t
        """
        got = run(program(text, kind, kind), x)[0]
        assert float(got) == wanted[op]


def value(e: Expr) -> Any:
    out = Buffer(0, e.dtype, const(1), "out")
    kernel = Kernel((out,), (), (Store(0, const(0), e),), const(1))
    array = np.zeros(1, e.dtype.numpy)
    interpret(kernel, [array])
    return array[0]


FLOATS = (0.0, -0.0, 1.5, -2.5, 1e30, -1e-42, math.inf, -math.inf, math.nan)
NUMPY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "min": np.minimum,
    "max": np.maximum,
    "fmod": np.fmod,
    "mod": np.mod,
}


@pytest.mark.parametrize("op", NUMPY)
@pytest.mark.parametrize("a", FLOATS)
def test_float32_operations_are_numpys(op: str, a: float) -> None:
    rounding = 1e-7 if op == "pow" else 0
    for b in FLOATS:
        got = value(binary(op, const(a, F32), const(b, F32)))
        with np.errstate(all="ignore"):
            wanted = NUMPY[op](np.float32(a), np.float32(b))
        np.testing.assert_allclose(got, wanted, rtol=rounding)


def test_narrow_floats_round_after_each_operation() -> None:
    one = const(1.0, DType.BFLOAT16)
    assert value(one + 2.0**-9 + 2.0**-9) == 1.0
    wide = cast(one, F32) + 2.0**-8 + 2.0**-8
    assert value(cast(wide, DType.BFLOAT16)) == 1.0078125


INTEGERS = """
    div -7 2 -3
    floordiv -7 2 -4
    mod -7 2 1
    fmod -7 2 -1
    mod 7 -2 -1
    div 5 0 0
    mod 5 0 0
    floordiv -128 -1 -128
    add 127 1 -128
    mul 64 4 0
    shl 1 7 -128
    shl 1 8 0
    shr -128 7 -1
    shr -128 99 -1
    pow 2 7 -128
    pow -1 -3 -1
    pow 2 -1 0
    pow 0 -1 0
    min -1 1 -1
    bitxor 5 -1 -6
"""


@pytest.mark.parametrize("row", INTEGERS.strip().splitlines())
def test_integers_wrap_and_never_trap(row: str) -> None:
    op, *numbers = row.split()
    a, b, wanted = map(int, numbers)
    assert value(binary(op, const(a, I8), const(b, I8))) == wanted


CASTS = """
    3.9 float32 int8 3
    -3.9 float32 int8 -3
    300.0 float32 int8 44
    -1.0 float32 uint8 255
    nan float32 int32 -2147483648
    inf float32 int32 -2147483648
    inf float32 int16 0
    -1e10 float64 int32 -2147483648
    -2147483648.5 float64 int32 -2147483648
    3e9 float32 uint32 3000000000
    3e9 float32 uint64 3000000000
    nan float32 uint32 2147483648
    inf float32 uint64 0
    1e19 float64 uint64 10000000000000000000
    -1.0 float64 uint64 18446744073709551615
    nan float32 bool 1
    0.0 float32 bool 0
    65520.0 float32 float16 inf
    2.9802e-08 float32 float16 0
"""


@pytest.mark.parametrize("row", CASTS.strip().splitlines())
def test_casts(row: str) -> None:
    given, source, to, wanted = row.split()
    kernel = program(f"b1[0] = {to}(b0[0])", source, to)
    got = run(kernel, np.array([float(given)], source))[0]
    assert got == float(wanted)


def test_integers_become_floats_in_one_rounding() -> None:
    big = (1 << 62) + (1 << 38) + 1
    assert element.cast(big, DType.INT64, F32) == np.int64(big).astype(np.float32)
    assert element.cast((1 << 64) - 1, DType.UINT64, F32) == 2.0**64
    assert element.cast(300, I32, DType.BFLOAT16).dtype == ml_dtypes.bfloat16


KINDS = {"real": F32, "signed": I32, "unsigned": DType.UINT8, "truth": DType.BOOL}
TURNED = {F32: I32, I32: I32, DType.UINT8: DType.INT8, DType.BOOL: DType.BOOL}


@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_every_operation_means_something_where_it_is_spelled(op: str) -> None:
    row, met = OPERATIONS[op], 0
    for kind, dtype in KINDS.items():
        try:
            row.meaning(dtype)
        except ValueError:
            assert not getattr(row.llvm, kind)
            continue
        met += 1
        args = [element.of(1, d) for d in (row.first or dtype, dtype, dtype)][: row.arity or 3]
        to = {"bool": DType.BOOL, "given": TURNED[dtype], "same": dtype}[row.result]
        with np.errstate(divide="ignore"):
            found = element.apply(op, args, dtype, to)
        assert type(found) is type(element.of(0, to))
    assert met


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


WIDE: dict[str, Callable[[Any], Any]] = {
    "sigmoid": _sigmoid,
    "round": np.rint,
    "sign": np.sign,
    "erf": math.erf,
    "log": np.log,
    "tanh": np.tanh,
}


@pytest.mark.parametrize("x", [*FLOATS, 0.5, 3.0])
@pytest.mark.parametrize("op", WIDE)
def test_unary_functions(op: str, x: float) -> None:
    with np.errstate(all="ignore"):
        wanted = WIDE[op](np.float64(x))
    np.testing.assert_array_equal(value(unary(op, const(x, DType.FLOAT64))), wanted)
