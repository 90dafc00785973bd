"""What cannot be is refused with a code, before running where that is possible, and in bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - makes the operators known
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument, InvalidGraph, LimitExceeded
from sardonyx.core.expr import const
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Type, tensor_type
from sardonyx.graph.op import Op, find

F32, I64 = DType.FLOAT32, DType.INT64
HUGE = 1 << 62


def made(name: str, opset: int = 25, **attributes: Any) -> Op:
    kind = find("", name, opset)
    assert kind is not None
    return kind(**attributes)


def of(*dims: int | str, dtype: DType = F32) -> Type:
    from texts import dims_of

    return tensor_type(dtype, dims_of(dims))


def ints(*values: int) -> Type:
    return Type(I64, (const(len(values)),), tuple(const(v) for v in values))


BEFORE: list[tuple[str, Op, list[Type]]] = [
    ("E0322", made("Add"), [of(2, 3), of(2, 4)]),
    ("E0323", made("Mul"), [of(2), of(2, dtype=I64)]),
    ("E0320", made("Add", 6), [of(2, 3), of(3)]),
    ("E0321", made("Add", 6, axis=2, broadcast=1), [of(2, 3), of(2, 3)]),
    ("E0325", made("Mod"), [of(2), of(2)]),
    ("E0325", made("BitShift", direction="UP"), [of(2, dtype=I64), of(2, dtype=I64)]),
    ("E0321", made("Softmax", axis=2), [of(2, 3)]),
    ("E0321", made("Softmax", 11, axis=4), [of(2, 3)]),
    ("E0321", made("ReduceSum", 25), [of(2, 3), ints(2)]),
    ("E0325", made("ReduceMax", 25), [of(2, 3), ints(0, -2)]),
    ("E0321", made("ArgMax", axis=-3), [of(2, 3)]),
    ("E0320", made("PRelu"), [of(3), of(2, 3)]),
    ("E0325", made("Gelu", approximate="cubic"), [of(3)]),
    ("E0326", made("Reshape"), [of(2, 3), ints(4)]),
    ("E0326", made("Reshape"), [of(2, 3), ints(4, -1)]),
    ("E0325", made("Reshape"), [of(2, 3), ints(-1, -1)]),
    ("E0325", made("Reshape"), [of(2, 3), ints(-2, 3)]),
    ("E0325", made("Reshape"), [of(2, 3), ints(2, 3, 0)]),
    ("E0326", made("Reshape", allowzero=1), [of(2, 0), ints(0, -1)]),
    ("E0325", made("Squeeze"), [of(2, 3), ints(0)]),
    ("E0325", made("Unsqueeze"), [of(2, 3), ints(0, 0)]),
    ("E0321", made("Unsqueeze"), [of(2, 3), ints(4)]),
    ("E0325", made("Transpose", perm=(0, 0)), [of(2, 3)]),
    ("E0325", made("Transpose", perm=(0, 1)), [of(2, 3, 4)]),
    ("E0321", made("Flatten", axis=4), [of(2, 3)]),
    ("E0322", made("Expand"), [of(2, 3), ints(4, 3)]),
    ("E0320", made("Tile"), [of(2, 3), ints(4)]),
    ("E0320", made("Concat", axis=0), [of(2, 3), of(3)]),
    ("E0322", made("Concat", axis=0), [of(2, 3), of(2, 4)]),
    ("E0325", made("Split", 13, outputs=2), [of(3)]),
    ("E0322", made("Split", 13, outputs=2), [of(3), ints(1, 1)]),
    ("E0325", made("Split", 13, outputs=2), [of(3), ints(4, -1)]),
    ("E0325", made("Split", 13, outputs=3), [of(3), ints(1, 2)]),
    ("E0325", made("Split", num_outputs=4, outputs=4), [of(5)]),
    ("E0325", made("Slice"), [of(3), ints(0), ints(2), ints(0), ints(0)]),
    ("E0325", made("Slice"), [of(3), ints(0), ints(2, 3)]),
    ("E0321", made("Slice"), [of(3), ints(0), ints(2), ints(1)]),
    ("E0325", made("Pad"), [of(3), ints(1)]),
    ("E0325", made("Pad"), [of(3), ints(-2, -2)]),
    ("E0325", made("Pad", mode="mirror"), [of(3), ints(1, 1)]),
    ("E0320", made("Gather"), [of(), of(2, dtype=I64)]),
    ("E0321", made("Gather", axis=1), [of(3), of(2, dtype=I64)]),
    ("E0320", made("GatherElements"), [of(3), of(2, 2, dtype=I64)]),
    ("E0320", made("GatherND"), [of(3), of(2, 2, dtype=I64)]),
    ("E0322", made("GatherND", batch_dims=1), [of(3, 4), of(2, 1, dtype=I64)]),
    ("E0325", made("ScatterND", reduction="sub"), [of(3), of(2, 1, dtype=I64), of(2)]),
    ("E0320", made("ScatterElements"), [of(3), of(2, 2, dtype=I64), of(2, 2)]),
    ("E0322", made("Where"), [of(2, dtype=DType.BOOL), of(3), of(3)]),
    ("E0320", made("Trilu"), [of(3)]),
    ("E0321", made("OneHot", axis=3), [of(3, dtype=I64), ints(4), of(2)]),
    ("E0325", made("TopK", axis=0), [of(3), ints(4)]),
    ("E0325", made("DepthToSpace", blocksize=2), [of(1, 6, 2, 2)]),
    ("E0325", made("SpaceToDepth", blocksize=0), [of(1, 4, 2, 2)]),
    ("E0325", made("ReverseSequence", batch_axis=2), [of(2, 3), of(3, dtype=I64)]),
    ("E0324", made("BitCast", 26, to=7), [of(3)]),
    ("E0325", made("Range"), [ints(0), ints(2), ints(0)]),
    ("E0325", made("Constant"), []),
]


@pytest.mark.parametrize("row", BEFORE, ids=lambda row: f"{row[1].op_type}-{row[0]}")
def test_refused_before_running(row: tuple[str, Op, list[Type]]) -> None:
    code, op, types = row
    with pytest.raises(InvalidGraph) as caught:
        op.infer(*types)
    assert caught.value.code == code


X = np.arange(6, dtype=np.float32).reshape(2, 3)
WHILE: list[tuple[str, Op, list[Any]]] = [
    ("E0211", made("OneHot"), [np.array([0]), np.array(np.nan), X[0, :2]]),
    ("E0211", made("OneHot"), [np.array([0]), np.array([], np.int64), X[0, :2]]),
    ("E0325", made("Range"), [np.array(0.0), np.array(np.inf), np.array(1.0)]),
    ("E0211", made("CumSum"), [X, np.array([], np.int64)]),
    ("E0211", made("TopK"), [X, np.array([], np.int64)]),
    ("E0211", made("CenterCropPad"), [X, np.array([2])]),
    ("E0211", made("Col2Im"), [X[None], np.array([2, 2]), np.array([2])]),
    ("E0211", made("HannWindow"), [np.array([3, 4])]),
    ("E0211", made("AffineGrid"), [np.ones((1, 2, 3)), np.array([1, 1, 4])]),
    ("E0211", made("Dropout", seed=-1), [X, np.array([]), np.array(True)]),
    ("E0210", made("RotaryEmbedding", 23), [X.reshape(1, 1, 1, 6), X, X, np.array([[2]])]),
    ("E0210", made("Gather"), [X, np.array([2])]),
    ("E0210", made("Gather", axis=1), [X, np.array([-4])]),
    ("E0210", made("GatherElements"), [X, np.array([[0, 2]])]),
    ("E0210", made("GatherElements"), [X, np.zeros((1, 4), np.int64)]),
    ("E0210", made("GatherND"), [X, np.array([[0, 3]])]),
    ("E0210", made("ScatterElements"), [X, np.array([[5]]), X[:1, :1]]),
    ("E0211", made("ScatterElements"), [X, np.zeros((1, 4), np.int64), np.ones((1, 4))]),
    ("E0210", made("ScatterND"), [X, np.array([[2]]), X[:1]]),
    ("E0211", made("ScatterND"), [X, np.zeros((1, 3), np.int64), X[0]]),
    ("E0211", made("Reshape"), [X, np.array([4])]),
    ("E0211", made("Squeeze"), [X, np.array([0])]),
    ("E0211", made("Expand"), [X, np.array([4, 3])]),
    ("E0211", made("Tile"), [X, np.array([1])]),
    ("E0211", made("Tile"), [X, np.array([1, -1])]),
    ("E0211", made("Pad"), [X, np.array([0, -2, 0, -2])]),
    ("E0211", made("Slice"), [X, np.array([0]), np.array([1, 2])]),
    ("E0211", made("TopK"), [X, np.array([4])]),
    ("E0211", made("ArgMax"), [X[:0]]),
    ("E0211", made("OneHot"), [np.array([0]), np.array(-1), X[0, :2]]),
    ("E0211", made("Compress", axis=0), [X, np.array([True, True, True])]),
    ("E0211", made("ConstantOfShape"), [np.array([-1])]),
    ("E0211", made("Range"), [np.array(0), np.array(2), np.array(0)]),
    ("E0211", made("ReverseSequence"), [X, np.array([3, 3, 9])]),
    ("E0211", made("Split", 18, outputs=2), [X, np.array([1, 2])]),
    ("E0212", made("Cast", to=7), [np.array(["seven"], object)]),
]


@pytest.mark.parametrize("row", WHILE, ids=lambda row: f"{row[1].op_type}-{row[0]}")
def test_refused_while_running(row: tuple[str, Op, list[Any]]) -> None:
    code, op, arrays = row
    with pytest.raises((InvalidArgument, InvalidGraph)) as caught:
        op.reference(*arrays)
    assert caught.value.code in (code, "E0322")


BOMBS: list[tuple[Op, list[Any]]] = [
    (made("ConstantOfShape"), [np.array([1 << 40, 1 << 20])]),
    (made("ConstantOfShape", value=Tensor.of(np.zeros(1, np.int8))), [np.array([1 << 45])]),
    (made("Expand"), [X[:1, :1], np.array([1 << 30, 1 << 30])]),
    (made("Tile"), [X, np.array([1 << 31, 1 << 20])]),
    (made("Pad"), [X, np.array([0, 0, 1 << 40, 0])]),
    (made("Range"), [np.array(0), np.array(HUGE), np.array(1)]),
    (made("Range"), [np.array(0.0), np.array(1e18), np.array(1e-3)]),
    (made("CenterCropPad"), [X, np.array([1 << 50, 1])]),
    (made("OneHot"), [np.array([0]), np.array(1 << 50), X[0, :2]]),
    (made("RandomNormal", shape=(1 << 30, 1 << 30)), []),
    (made("Multinomial", sample_size=1 << 50), [X]),
]


@pytest.mark.parametrize("row", BOMBS, ids=lambda row: row[0].op_type)
def test_what_is_too_large_is_refused_before_it_is_made(row: tuple[Op, list[Any]]) -> None:
    op, arrays = row
    with pytest.raises(LimitExceeded):
        op.reference(*arrays)


def test_the_same_ops_work_within_the_limits() -> None:
    assert made("ConstantOfShape").reference(np.array([2, 0])).shape == (2, 0)
    assert made("Expand").reference(X[:1], np.array([4, 1])).shape == (4, 3)
    assert made("Range").reference(np.array(0), np.array(5), np.array(2)).tolist() == [0, 2, 4]


@pytest.mark.parametrize("name", ["Relu", "Reshape", "Gather", "ReduceSum", "Squeeze", "Concat"])
def test_an_unknown_rank_is_no_error(name: str) -> None:
    op = made(name, **({"axis": 0} if name == "Concat" else {}))
    unknown = Type(F32)
    second = {"Reshape": [Type(I64)], "Gather": [of(2, dtype=I64)], "ReduceSum": [ints(0)]}
    out = op.infer(unknown, *second.get(name, []))
    assert out.dtype is F32
    assert out.shape is None
