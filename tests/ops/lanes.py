"""Evaluates what ops say of their elements, all elements at once, with numpy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, evaluate, fresh, load, symbol, walk
from sardonyx.graph.ir import Type, tensor_type
from sardonyx.graph.op import Index, Op, Operand

Env = dict[Expr, Any]


class Given(Operand):
    """An input array: element reads are loads of buffer `number`."""

    def __init__(self, number: int, kind: Type) -> None:
        self.number = number
        self.type = kind

    def __getitem__(self, idx: Expr | int | Sequence[Expr | int]) -> Expr:
        subscripts = tuple(idx) if isinstance(idx, tuple | list) else (idx,)
        assert len(subscripts) == self.rank, (subscripts, self.shape)
        return load(self.number, subscripts, self.dtype)


def _load(e: Expr, args: list[Any], arrays: Sequence[Array]) -> Any:
    array = arrays[e.arg]
    if not e.args:
        return array[()]
    clipped = [np.clip(i, 0, d - 1) for i, d in zip(args, array.shape, strict=True)]
    return array[tuple(clipped)] if array.size else array.dtype.type(0)


_erf = np.frompyfunc(__import__("math").erf, 1, 1)

_UNARY: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "sigmoid": lambda a: np.where(a < 0, np.exp(a), 1) / (1 + np.exp(-np.abs(a))),
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
    "isnan": np.isnan,
    "isinf": np.isinf,
    "bitnot": np.invert,
    "erf": lambda a: np.asarray(_erf(a), np.asarray(a).dtype),
}

_BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "floordiv": np.floor_divide,
    "mod": np.mod,
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
    "fmod": np.fmod,
    "bitand": np.bitwise_and,
    "bitor": np.bitwise_or,
    "shl": np.left_shift,
    "shr": np.right_shift,
    "bitxor": np.bitwise_xor,
    "truncdiv": lambda a, b: np.trunc(np.divide(a, b)).astype(np.int64),
}


def lanes(e: Expr, env: Env, arrays: Sequence[Array]) -> Any:
    """The value of `e` in every lane; `env` gives variables as arrays that broadcast."""
    memo: Env = dict(env)
    bound = {x.args[0] for x in walk(e) if x.op == "reduce"}
    for x in walk(e):
        if x in memo or x.free & (bound - set(env)) or x in bound:
            continue
        memo[x] = _value(x, memo, env, arrays)
    return memo[e]


def _value(x: Expr, memo: Env, env: Env, arrays: Sequence[Array]) -> Any:
    if x.op == "const":
        return np.asarray(x.arg).astype(x.dtype.numpy)
    if x.op == "reduce":
        return _reduced(x, env, arrays)
    args = [memo[a] for a in x.args]
    if x.op == "load":
        return _load(x, args, arrays)
    if x.op == "where":
        return np.where(*args)
    if x.op == "cast":
        return np.asarray(args[0]).astype(x.dtype.numpy)
    if len(args) == 1:
        return _UNARY[x.op](args[0])
    out = args[0]
    for a in args[1:]:
        out = _BINARY[x.op](out, a)
    return out


_START = {"add": 0, "mul": 1, "and": True, "or": False}


def _reduced(x: Expr, env: Env, arrays: Sequence[Array]) -> Any:
    var, body = x.args
    extent = lanes(var.args[0], env, arrays)
    out: Any = None
    for k in range(int(extent)):
        value = lanes(body, {**env, var: np.int64(k)}, arrays)
        out = value if out is None else _BINARY[x.arg](out, value)
    if out is not None:
        return out
    if x.arg in _START:
        return x.dtype.numpy.type(_START[x.arg])
    return x.dtype.numpy.type(np.inf if x.arg == "min" else -np.inf)


def symbolic(
    arrays: Sequence[Array | None], free: Sequence[Sequence[int]]
) -> tuple[list[Any], dict[Expr, int]]:
    """Types of arrays in which the axes `free[i]` of input i are symbols, named by their length."""
    types: list[Any] = []
    env: dict[Expr, int] = {}
    for array, axes in itertools.zip_longest(arrays, free, fillvalue=()):
        if not isinstance(array, np.ndarray | np.generic):
            types.append(None)
            continue
        dims: list[Expr | int] = list(array.shape)
        for axis in axes or ():
            s = symbol(f"d{array.shape[axis]}")
            env[s] = array.shape[axis]
            dims[axis] = s
        types.append(tensor_type(DType.from_numpy(array.dtype), dims))
    return types, env


def grids(dims: Sequence[int], variables: Sequence[Expr]) -> Env:
    """One open grid of subscripts for each variable."""
    found = np.ix_(*(np.arange(d) for d in dims))
    return dict(zip(variables, found, strict=True))


def element_by_element(
    op: Op,
    types: Sequence[Type | None],
    arrays: Sequence[Array | None],
    env: Mapping[Expr, int] = {},
    which: int = 0,
) -> Array:
    """Output `which` of an op as its `at` says it."""
    out = _outputs(op, types)[which]
    operands = [None if t is None else Given(i, t) for i, t in enumerate(types)]
    idx = Index([fresh(d) for d in out.dims], out.dims)
    e = op.at_output(which, idx, *operands)
    assert out.dtype is e.dtype, (out.dtype, e.dtype)
    dims = [evaluate(d, env) for d in out.dims]
    held = [np.asarray(a) if a is not None else np.zeros(0) for a in arrays]
    with np.errstate(all="ignore"):
        found = lanes(e, {**env, **grids(dims, list(idx))}, held)
    return np.broadcast_to(np.asarray(found), dims).astype(out.dtype.numpy)


def _outputs(op: Op, types: Sequence[Type | None]) -> tuple[Type, ...]:
    found = op.infer(*types)
    return found if isinstance(found, tuple) else (found,)


def contracted(
    op: Op,
    types: Sequence[Type | None],
    arrays: Sequence[Array | None],
    env: Mapping[Expr, int] = {},
) -> Array:
    """The first output of an op as its `contract` says it."""
    out = _outputs(op, types)[0]
    operands = [None if t is None else Given(i, t) for i, t in enumerate(types)]
    c = op.contract(out, *operands)
    assert c is not None
    b, m, n, k = (tuple(fresh(d) for d in dims) for dims in (c.batch, c.m, c.n, c.k))
    left, right = c.left(b, m, k), c.right(b, k, n)
    assert left.dtype is right.dtype is c.acc, (left.dtype, right.dtype, c.acc)
    assert not left.free & set(n)
    assert not right.free & set(m)
    held = [np.asarray(a) if a is not None else np.zeros(0) for a in arrays]
    sizes = [[evaluate(d, env) for d in dims] for dims in (c.batch, c.m, c.n, c.k)]
    every = grids([d for s in sizes for d in s], [*b, *m, *n, *k])
    space: Env = {**env, **every}
    full = tuple(d for s in sizes for d in s)
    terms = np.broadcast_to(lanes(left, space, held) * lanes(right, space, held), full)
    depth = tuple(range(len(full) - len(k), len(full)))
    acc = terms.sum(axis=depth).astype(c.acc.numpy)
    outer: Env = {**env, **grids(full[: len(full) - len(k)], [*b, *m, *n])}
    dims = [evaluate(d, env) for d in out.dims]
    at = c.place(b, m, n)
    spots = [np.broadcast_to(lanes(i, outer, held), acc.shape) for i in at]
    hole = load("acc", (), c.acc)
    value = lanes(c.finish(hole, Index(at, out.dims)), {**outer, hole: acc}, held)
    assert out.dtype is not None
    y = np.zeros(dims, out.dtype.numpy)
    seen = np.zeros(dims, np.int64)
    np.add.at(seen, tuple(spots), 1)
    assert (seen == 1).all(), "every element is placed exactly once"
    y[tuple(spots)] = np.broadcast_to(value, acc.shape)
    return y
