"""Every op that says its elements as expressions, against its numpy reference.

The rows are the ONNX node cases of one node. Each is tried with dims as numbers and with dims as
symbols; the elements are evaluated one at a time, and a read out of bounds fails.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - registers the operators
from conformance import node_cases
from ops.evaluate import Frame, Loaded
from sardonyx import formats
from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, evaluate, symbol
from sardonyx.graph.ir import Graph, Type
from sardonyx.graph.op import Index, Op, as_arrays, loop_index
from sardonyx.graph.run import elements
from sardonyx.ops.shapes import assumptions

SAMPLE = 24
NARROW = ("FLOAT8", "INT4", "FLOAT4", "INT2", "e4m3fn", "e5m2", "float4e2m1")
# Cases whose op has `at`, but not for their inputs.
DECLINED = (
    "test_training_dropout*",
    "test_resize_*_antialias",
    "test_resize_*_not_*er",
)
Env = dict[Expr, int]


def single_nodes() -> list[str]:
    """The cases of one node of the standard domain whose op has `at`."""
    found = []
    for name, case in node_cases.cases().items():
        if len(case.model.graph.node) == 1 and not case.model.graph.initializer:
            op = graph_of(name).nodes[0].op
            if (op.has("at") or op.has("at_output")) and not op.random:
                found.append(name)
    return found


def graph_of(name: str) -> Graph:
    return formats.load(bytes(node_cases.cases()[name].model.SerializeToString()))


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
                dims[axis] = (
                    symbol(f"n{n}a{axis}") if extent > 1 else const(extent)
                )
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


def is_plain(arrays: Sequence[Any]) -> bool:
    """Whether there are tensors only, of types that have expressions."""
    known = [a for a in arrays if a is not None]
    if not all(isinstance(a, np.ndarray) for a in known):
        return False
    dtypes = [DType.from_numpy(a.dtype) for a in known]
    return not any(d.is_string or d.is_complex for d in dtypes)


def declines(name: str) -> bool:
    """Whether the op may say that it has no expression for this case."""
    narrow = any(word in name for word in NARROW)
    return narrow or any(fnmatchcase(name, pattern) for pattern in DECLINED)


@pytest.mark.parametrize("symbols", [False, True], ids=["numbers", "symbols"])
@pytest.mark.parametrize("name", single_nodes())
def test_elements_of_node_cases(name: str, symbols: bool) -> None:
    node = graph_of(name).nodes[0]
    for inputs, outputs in node_cases.cases()[name].data_sets:
        given = iter(inputs)
        arrays = [
            None if v is None else node_cases.plain(next(given))
            for v in node.inputs
        ]
        if is_plain(arrays):
            compared = check(node.op, arrays, symbols)
            empty = any(0 in np.shape(out) for out in outputs)
            assert compared or empty or declines(name)


def test_constant_subscripts_give_constant_elements() -> None:
    from sardonyx.ops.gather import Gather
    from sardonyx.passes.values import Known

    n = symbol("N")
    shape = Type(DType.INT64, (const(3),), (n, const(8), n * 2))
    index = Type(DType.INT64, (), (const(-1),))
    e = Gather().at(Index([], ()), Known(shape), Known(index))
    assert e is n * 2
