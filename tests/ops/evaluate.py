"""The meaning of an expression, one element at a time, in numpy scalars of its own dtypes.

Only the chosen side of a `where` is evaluated, and a load outside its buffer fails.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from conformance import node_cases
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, const, evaluate, load, symbol
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op, Operand, as_arrays, loop_index
from sardonyx.graph.type import elements
from sardonyx.ops.base.shapes import assumptions

Function = Callable[..., Any]
Env = dict[Expr, int]

SAMPLE = 24

UNARY: dict[str, Function] = {
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "erf": lambda a: a.dtype.type(math.erf(a)),
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "sign": np.sign,
    "not": np.logical_not,
    "bitnot": np.invert,
    "isnan": np.isnan,
    "isinf": np.isinf,
}


def _truncdiv(a: Any, b: Any) -> Any:
    if b == 0:
        return a.dtype.type(0)
    quotient = abs(int(a)) // abs(int(b))
    return np.array(quotient if (a < 0) == (b < 0) else -quotient).astype(a.dtype)


BINARY: dict[str, Function] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "floordiv": np.floor_divide,
    "mod": np.mod,
    "truncdiv": _truncdiv,
    "fmod": np.fmod,
    "pow": np.power,
    "min": np.minimum,
    "max": np.maximum,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "bitand": np.bitwise_and,
    "bitor": np.bitwise_or,
    "bitxor": np.bitwise_xor,
    "shl": np.left_shift,
    "shr": np.right_shift,
}

IDENTITY: dict[str, Function] = {
    "add": lambda dtype: 0,
    "mul": lambda dtype: 1,
    "and": lambda dtype: True,
    "or": lambda dtype: False,
    "min": lambda dtype: np.inf if dtype.is_float else np.iinfo(dtype.numpy).max,
    "max": lambda dtype: -np.inf if dtype.is_float else np.iinfo(dtype.numpy).min,
}


class Loaded(Operand):
    """An operand whose elements are loads of buffer `number`."""

    def __init__(self, number: int, kind: Type) -> None:
        self.number = number
        self.type = kind

    def __getitem__(self, idx: Expr | int | Sequence[Expr | int]) -> Expr:
        subscripts = tuple(idx) if isinstance(idx, tuple | list) else (idx,)
        assert len(subscripts) == self.rank, f"{subscripts} of {self.shape}"
        return load(self.number, subscripts, self.dtype)


class Frame:
    """The values known under one binding of the loop variables."""

    def __init__(
        self, values: Mapping[Expr, Any], arrays: Sequence[Array], outer: Frame | None = None
    ) -> None:
        self.values = dict(values)
        self.arrays = arrays
        self.bound = frozenset(values)
        self.outer = outer

    def value(self, e: Expr) -> Any:
        """The value of an expression."""
        if e in self.values:
            return self.values[e]
        if self.outer is not None and not e.free & self.bound:
            return self.outer.value(e)
        found = self.compute(e)
        self.values[e] = found
        return found

    def compute(self, e: Expr) -> Any:
        """The value from those of the operands."""
        if e.op == "const":
            return scalar(e.arg, e.dtype)
        if e.op == "where":
            return self.value(e.args[1] if self.value(e.args[0]) else e.args[2])
        if e.op == "load":
            return self.load(e)
        if e.op == "reduce":
            return self.reduce(e)
        args = [self.value(a) for a in e.args]
        if e.op == "cast":
            return np.asarray(args[0]).astype(e.dtype.numpy)[()]
        if e.op == "bitcast":
            return np.asarray(args[0]).view(e.dtype.numpy)[()]
        if e.op in UNARY:
            return UNARY[e.op](args[0])
        out = args[0]
        for a in args[1:]:
            out = BINARY[e.op](out, a)
        return out

    def load(self, e: Expr) -> Any:
        """The element of a buffer; fails outside it."""
        array = self.arrays[e.arg]
        at = tuple(int(self.value(a)) for a in e.args)
        assert all(0 <= i < d for i, d in zip(at, array.shape, strict=True)), (at, array.shape)
        return array[at]

    def reduce(self, e: Expr) -> Any:
        """The fold of the body over the bound variable."""
        variable, body = e.args
        out = scalar(IDENTITY[e.arg](e.dtype), e.dtype)
        for k in range(int(self.value(variable.args[0]))):
            inner = Frame({variable: np.int64(k)}, self.arrays, self)
            out = BINARY[e.arg](out, inner.value(body))
        return out


def scalar(value: Any, dtype: DType) -> Any:
    """A number as a numpy scalar of a dtype."""
    return np.array(value).astype(dtype.numpy)[()]


def typed(arrays: Sequence[Any], symbols: bool) -> tuple[list[Type | None], Env]:
    """The inputs' types, small integers known; dims as symbols where asked for."""
    env: Env = {}
    types: list[Type | None] = []
    for n, array in enumerate(arrays):
        if array is None:
            types.append(None)
            continue
        dtype = DType.from_numpy(array.dtype)
        value = elements(array, dtype)
        dims = [const(extent) for extent in array.shape]
        if symbols and (value is None or array.ndim > 1):
            value = None
            # The last dim of a list of subscripts says how many there are, so it is a number.
            free = array.shape[:-1] if n and dtype.is_int else array.shape
            for axis, extent in enumerate(free):
                dims[axis] = symbol(f"n{n}a{axis}") if extent > 1 else const(extent)
            env.update(zip(dims, array.shape, strict=True))
        types.append(Type(dtype, tuple(dims), value))
    return types, {d: extent for d, extent in env.items() if not d.is_const}


def check(op: Op, arrays: Sequence[Any], symbols: bool) -> int:
    """Compares the elements of every output; the number of elements compared."""
    types, env = typed(arrays, symbols)
    with assumptions() as pairs:
        made = op.infer(*types)
    made = made if isinstance(made, tuple) else (made,)
    with np.errstate(all="ignore"):
        wanted = as_arrays(op.reference(*arrays))
    for a, b in pairs:
        assert evaluate(a, env) == evaluate(b, env), f"{a} is not {b}"
    compared = 0
    for which, (out, array) in enumerate(zip(made, wanted, strict=False)):
        compared += compare(op, which, out, types, arrays, env, array)
    return compared


def compare(
    op: Op,
    which: int,
    out: Type,
    types: Sequence[Type | None],
    arrays: Sequence[Any],
    env: Env,
    wanted: Any,
) -> int:
    """Compares a sample of one output's elements."""
    assert out.shape is not None
    operands = [None if t is None else Loaded(n, t) for n, t in enumerate(types)]
    idx = loop_index(out.shape)
    try:
        e = op.at_output(which, idx, *operands)
    except NotImplementedError:
        return 0
    assert e.dtype is out.dtype
    dims = tuple(evaluate(d, env) for d in out.shape)
    assert dims == wanted.shape
    buffers = [np.asarray(a) for a in arrays]
    rng = np.random.default_rng(zlib.crc32(repr(op).encode()))
    count = min(int(wanted.size), SAMPLE)
    places = rng.permutation(int(wanted.size))[:count]
    found = np.empty(count, wanted.dtype)
    with np.errstate(all="ignore"):
        for n, place in enumerate(places):
            at = np.unravel_index(int(place), dims) if dims else ()
            binding: dict[Expr, Any] = {v: np.int64(i) for v, i in env.items()}
            binding.update(zip(idx, map(np.int64, at), strict=True))
            found[n] = Frame(binding, buffers).value(e)
    node_cases.check(found, wanted.reshape(-1)[places], op.tolerance)
    return count
