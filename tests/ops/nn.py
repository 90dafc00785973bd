"""One operator four ways: its reference, what is wanted, its elements, and its contraction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ops.lanes import Given, contracted, element_by_element, symbolic
from sardonyx.core.dtype import Array
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op, as_arrays

Arrays = Sequence[Array | None]


def normal(seed: int, *shape: int, dtype: Any = np.float32) -> Array:
    """Normal numbers; each shape and seed has its own."""
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape).astype(dtype)


def whole(seed: int, low: int, high: int, *shape: int, dtype: Any = np.int8) -> Array:
    """Integers in [low, high)."""
    rng = np.random.default_rng([seed, *shape])
    return rng.integers(low, high, shape).astype(dtype)


def close(found: Any, wanted: Any, tolerance: float = 1e-5) -> None:
    """Fails unless the arrays are equal within a relative and absolute tolerance."""
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    wide = np.complex128 if found.dtype.kind == "c" else np.float64
    a, b = (np.asarray(x, wide) for x in (found, wanted))
    np.testing.assert_allclose(a, b, tolerance, tolerance)


def agrees(
    op: Op,
    arrays: Arrays,
    free: Sequence[Sequence[int]] = (),
    wanted: Any = None,
    tolerance: float = 1e-5,
) -> tuple[Array, ...]:
    """Compares everything an op says with its reference, and that with `wanted`.

    The axes `free[i]` of input i are tried as numbers and as symbols.
    """
    made = as_arrays(op.reference(*arrays))
    if wanted is not None:
        close(made[0], np.asarray(wanted, made[0].dtype), tolerance)
    for axes in ((), free):
        types, env = symbolic(arrays, axes)
        check_types(op, types, made, env)
        if op.has("at") or op.has("at_output"):
            for n in range(len(made)):
                got = element_by_element(op, types, arrays, env, n)
                close(got, made[n], tolerance)
        if contracts(op, types):
            close(contracted(op, types, arrays, env), made[0], tolerance)
    return made


def check_types(op: Op, types: Sequence[Type | None], made: Sequence[Array], env: Any) -> None:
    """Whether the inferred types are those of the arrays."""
    from sardonyx.core.expr import evaluate

    found = op.infer(*types)
    for t, a in zip(found if isinstance(found, tuple) else (found,), made, strict=False):
        assert t.dtype.numpy == a.dtype
        assert tuple(evaluate(d, env) for d in t.dims) == a.shape


def contracts(op: Op, types: Sequence[Type | None]) -> bool:
    """Whether an op is a contraction for operands of these types."""
    if not op.has("contract"):
        return False
    found = op.infer(*types)
    out = found[0] if isinstance(found, tuple) else found
    operands = [None if t is None else Given(i, t) for i, t in enumerate(types)]
    return op.contract(out, *operands) is not None


def run_peer(name: str, arrays: Sequence[Any], opset: int, made: Any, **attributes: Any) -> Any:
    """The first output of one node run by ONNX Runtime."""
    from onnx import helper

    import peers

    kinds = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in arrays]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(made))
    inputs = [f"i{n}" for n in range(len(arrays))]
    node = helper.make_node(name, inputs, ["y"], **attributes)
    given = [
        helper.make_tensor_value_info(i, k, list(a.shape))
        for i, k, a in zip(inputs, kinds, arrays, strict=True)
    ]
    out = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([node], "peer", given, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = peers.session(model.SerializeToString())
    return session.run(None, dict(zip(inputs, arrays, strict=True)))[0]
