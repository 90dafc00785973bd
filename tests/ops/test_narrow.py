"""All 65,536 patterns of float16 and bfloat16 through every function of one tensor.

The reference must be within one unit in the last place of the float64 result, and the element
expression within one of the reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - makes the operators known
from ops.lanes import Given, lanes
from sardonyx.core.dtype import DType
from sardonyx.core.expr import fresh
from sardonyx.graph.ir import tensor_type
from sardonyx.graph.op import Index, Op, registered
from sardonyx.ops.base.element import Unary

COUNT = 1 << 16
NARROW = [DType.FLOAT16, DType.BFLOAT16]
BOOLEAN = {"Not", "BitwiseNot"}
TINY = 2.0**-20


def functions() -> list[Op]:
    """One op of the newest version of every elementwise function of floats."""
    found: list[Op] = []
    for (domain, name), versions in sorted(registered().items()):
        kind = versions[max(versions)]
        if not domain and issubclass(kind, Unary) and name not in BOOLEAN:
            found.append(kind())
    return found


def order(x: Any) -> Any:
    """The patterns as integers in the order of the numbers."""
    bits = x.view(np.uint16).astype(np.int64)
    return np.where(bits < 0x8000, bits, 0x8000 - bits)


def assert_close(found: Any, wanted: Any, tiny: float = 0.0) -> None:
    """Fails unless both are within a unit of each other, or within `tiny`."""
    assert found.dtype == wanted.dtype
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    near = (np.abs(order(found) - order(wanted)) <= 1) | np.isnan(b) | (a == b)
    with np.errstate(all="ignore"):
        near |= np.abs(a - b) <= tiny
    assert near.all(), (np.nonzero(~near)[0][:4], a[~near][:4], b[~near][:4])


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("op", functions(), ids=lambda op: op.op_type)
def test_reference_is_within_a_unit_of_float64(op: Op, dtype: DType) -> None:
    x = np.arange(COUNT, dtype=np.uint16).view(dtype.numpy)
    with np.errstate(all="ignore"):
        exact = op.reference(x.astype(np.float64)).astype(dtype.numpy)
    assert_close(op.reference(x), exact)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("op", functions(), ids=lambda op: op.op_type)
def test_element_is_within_a_unit_of_the_reference(op: Op, dtype: DType) -> None:
    x = np.arange(COUNT, dtype=np.uint16).view(dtype.numpy)
    kind = tensor_type(dtype, (COUNT,))
    idx = Index([fresh(COUNT)], (COUNT,))
    e = op.at(idx, Given(0, kind))
    with np.errstate(all="ignore"):
        found = lanes(e, {idx[0]: np.arange(COUNT)}, [x])
    assert_close(np.asarray(found), op.reference(x), TINY)
