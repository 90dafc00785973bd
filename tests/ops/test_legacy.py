"""Older versions of operators, which the ONNX node cases (all of the newest opset) do not reach.

Each row is (name, opset, attributes, inputs, wanted outputs); the element expressions of the
version are compared with its reference as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - makes the operators known
from ops.evaluate import check
from sardonyx.graph.op import Op, as_arrays, find

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 11
B = np.array([1, 2, 3], np.float32)
SQUARE = X.reshape(2, 12)
ELU = np.where(X < 0, np.expm1(X) * np.float32(1.6732), X) * np.float32(1.0507)


def softmax2(x: Any) -> Any:
    flat = x.reshape(x.shape[0], -1)
    e = np.exp(flat - flat.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True)).reshape(x.shape)


def hardmax2(x: Any) -> Any:
    flat = x.reshape(x.shape[0], -1)
    best = np.arange(flat.shape[1]) == flat.argmax(1)[:, None]
    return best.astype(x.dtype).reshape(x.shape)


AT = {"axis": 1, "broadcast": 1}
ROWS: list[tuple[str, int, dict[str, Any], list[Any], list[Any]]] = [
    ("Add", 6, AT, [X, B], [X + B[:, None]]),
    ("Add", 6, {"broadcast": 1}, [X, X[0, 0]], [X + X[0, 0]]),
    ("Add", 1, {"consumed_inputs": (0, 0)}, [X, X], [X + X]),
    ("Sub", 1, {**AT, "axis": -2}, [X, B], [X - B[:, None]]),
    ("Mul", 6, {"axis": 0, "broadcast": 1}, [X, X[:, :, 0]], [X * X[:, :, :1]]),
    ("Div", 6, AT, [X, B], [X / B[:, None]]),
    ("Pow", 1, AT, [np.abs(X), B], [np.abs(X) ** B[:, None]]),
    ("Equal", 1, AT, [X.astype(np.int32), B.astype(np.int32)], [B[:, None] == X]),
    ("Less", 1, AT, [X, B], [B[:, None] > X]),
    ("Greater", 1, AT, [X, B], [B[:, None] < X]),
    ("And", 1, AT, [X > 0, B > 1], [(X > 0) & (B > 1)[:, None]]),
    ("Or", 1, AT, [X > 0, B > 1], [(X > 0) | (B > 1)[:, None]]),
    ("Xor", 1, AT, [X > 0, B > 1], [(X > 0) ^ (B > 1)[:, None]]),
    ("Sum", 6, {}, [X, X, X], [X + X + X]),
    ("Mean", 1, {}, [X, X + 2], [X + 1]),
    ("Max", 6, {}, [X, -X], [np.abs(X)]),
    ("Min", 1, {}, [X, -X], [-np.abs(X)]),
    ("Relu", 1, {}, [X], [np.maximum(X, 0)]),
    ("Sigmoid", 1, {}, [X], [1 / (1 + np.exp(-X))]),
    ("LeakyRelu", 1, {"alpha": 0.5}, [X], [np.where(X < 0, X / 2, X)]),
    ("Selu", 1, {}, [X], [ELU]),
    ("HardSigmoid", 1, {}, [X], [np.clip(X * np.float32(0.2) + 0.5, 0, 1)]),
    ("Clip", 6, {"min": -2.0, "max": 3.0}, [X], [np.clip(X, -2, 3)]),
    ("Clip", 1, {"max": 3.0}, [X], [np.minimum(X, 3)]),
    ("PRelu", 6, {}, [X, B], [np.where(X < 0, X * B[:, None], X)]),
    ("PRelu", 1, {}, [X, B[:1]], [X]),
    ("Softmax", 1, {}, [X], [softmax2(X)]),
    ("Softmax", 11, {"axis": 0}, [X], [softmax2(X.reshape(1, -1)).reshape(X.shape)]),
    ("LogSoftmax", 1, {}, [X], [np.log(softmax2(X))]),
    ("Hardmax", 11, {}, [X], [hardmax2(X)]),
    ("ReduceSum", 1, {"axes": (0, 2)}, [X], [X.sum((0, 2), keepdims=True)]),
    ("ReduceMean", 13, {"axes": (-1,), "keepdims": 0}, [X], [X.mean(-1)]),
    ("ReduceMax", 11, {}, [X], [X.max(keepdims=True)]),
    ("ReduceL2", 1, {"axes": (1,)}, [X], [np.sqrt((X * X).sum(1, keepdims=True))]),
    ("ArgMax", 1, {"axis": 1}, [X], [X.argmax(1)[:, None]]),
    ("ArgMin", 11, {"axis": -1, "keepdims": 0}, [X], [X.argmin(-1)]),
    ("Reshape", 1, {"shape": (0, -1)}, [X], [SQUARE]),
    ("Reshape", 5, {}, [X, np.array([0, -1])], [SQUARE]),
    ("Squeeze", 1, {"axes": (0,)}, [X[:1]], [X[0]]),
    ("Squeeze", 11, {}, [X[:1, :1, :1]], [X[0, 0, 0]]),
    ("Unsqueeze", 1, {"axes": (0, 4)}, [X], [X[None, ..., None]]),
    ("Concat", 1, {}, [X, X], [np.concatenate([X, X], 1)]),
    ("Split", 1, {"split": (1, 1)}, [X], [X[:1], X[1:]]),
    ("Split", 1, {"axis": 1}, [X, np.array([1, 2])], [X[:, :1], X[:, 1:]]),
    ("Split", 2, {"axis": 2, "split": (1, 3)}, [X], [X[..., :1], X[..., 1:]]),
    ("Split", 13, {"axis": 2}, [X], [X[..., :2], X[..., 2:]]),
    ("Slice", 1, {"starts": (0, -3), "ends": (1, 99), "axes": (0, 2)}, [X], [X[:1, :, -3:]]),
    ("Slice", 1, {"starts": (0,), "ends": (-1,)}, [X], [X[:-1]]),
    ("Pad", 1, {"paddings": (0, 1, 0, 0, 0, 1)}, [X], [np.pad(X, [(0, 0), (1, 0), (0, 1)])]),
    (
        "Pad",
        2,
        {"pads": (0, 0, 1, 0, 0, 2), "mode": "edge"},
        [X],
        [np.pad(X, [(0, 0), (0, 0), (1, 2)], "edge")],
    ),
    (
        "Pad",
        2,
        {"pads": (0, 0, -1, 0, 1, 0), "value": 7.0},
        [X],
        [np.pad(X[..., 1:], [(0, 0), (0, 1), (0, 0)], constant_values=7)],
    ),
    ("Tile", 1, {}, [X, np.array(2), np.array(1)], [np.tile(X, (1, 2, 1))]),
    ("Cast", 1, {"to": "INT32"}, [X / 2], [(X / 2).astype(np.int32)]),
    ("Cast", 6, {"to": 9}, [X], [X != 0]),
    ("CastLike", 15, {}, [X, np.array(1, np.int8)], [X.astype(np.int8)]),
    ("Shape", 1, {}, [X], [np.array([2, 3, 4])]),
    ("TopK", 1, {"k": 2}, [X], [X[..., :1:-1], np.broadcast_to([3, 2], (2, 3, 2))]),
    ("TopK", 10, {"axis": 1}, [X, np.array([1])], [X[:, 2:], np.full((2, 1, 4), 2)]),
    ("GatherND", 11, {}, [X, np.array([[1, -1]])], [X[1, -1:]]),
    (
        "Scatter",
        9,
        {"axis": 1},
        [X[0], np.array([[1, 0]]), X[1, :1, :2]],
        [np.array([[2, 1, -9, -8], [-7, -6, -5, -4], [-3, -2, -1, 0]], np.float32)],
    ),
    ("ScatterND", 11, {}, [B, np.array([[2], [0]]), B[:2]], [np.array([2, 2, 1], np.float32)]),
    (
        "DepthToSpace",
        1,
        {"blocksize": 2},
        [X.reshape(1, 4, 2, 3)],
        [X.reshape(2, 2, 2, 3).transpose(2, 0, 3, 1).reshape(1, 1, 4, 6)],
    ),
    (
        "SpaceToDepth",
        13,
        {"blocksize": 2},
        [X.reshape(1, 1, 4, 6)],
        [X.reshape(2, 2, 3, 2).transpose(1, 3, 0, 2).reshape(1, 4, 2, 3)],
    ),
    ("Dropout", 1, {"is_test": 1}, [X], [X, np.ones_like(X)]),
    ("Dropout", 7, {}, [X], [X, np.ones_like(X)]),
    ("Dropout", 10, {}, [X], [X, np.ones(X.shape, bool)]),
    ("Mod", 10, {"fmod": 1}, [X, X * 0 + 4], [np.fmod(X, 4)]),
    (
        "Range",
        11,
        {},
        [np.array(1, np.int16), np.array(8, np.int16), np.array(3, np.int16)],
        [np.array([1, 4, 7], np.int16)],
    ),
]


def made(name: str, opset: int, attributes: dict[str, Any], outputs: int) -> Op:
    kind = find("", name, opset)
    assert kind is not None
    return kind(**attributes, outputs=outputs)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_reference(row: tuple[str, int, dict[str, Any], list[Any], list[Any]]) -> None:
    name, opset, attributes, inputs, wanted = row
    op = made(name, opset, attributes, len(wanted))
    found = as_arrays(op.reference(*inputs))
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, 1e-6, 1e-6)


@pytest.mark.parametrize("symbols", [False, True], ids=["numbers", "symbols"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_elements(
    row: tuple[str, int, dict[str, Any], list[Any], list[Any]], symbols: bool
) -> None:
    name, opset, attributes, inputs, wanted = row
    op = made(name, opset, attributes, len(wanted))
    compared = check(op, inputs, symbols)
    assert bool(compared) == (op.has("at") or op.has("at_output"))
