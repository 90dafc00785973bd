"""RNN, GRU and LSTM: their references against torch, and their bodies in simpler ops."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ops.bodies import expanded
from ops.nn import close, normal
from sardonyx.core.errors import InvalidGraph
from sardonyx.graph.op import as_arrays
from sardonyx.ops.recurrent.layers import GRU, LSTM, RNN

STEPS, BATCH, INPUT, HIDDEN = 5, 3, 4, 6
CELLS: dict[Any, list[int]] = {RNN: [0], GRU: [1, 0, 2], LSTM: [0, 3, 1, 2]}
LENGTHS = np.array([5, 0, 3], np.int32)


def operands(
    cell: Any, count: int, full: bool, dtype: Any = np.float32, first: bool = False
) -> Any:
    """X, W, R and, where `full`, B, lengths, initial states and (of an LSTM) peepholes."""
    gates = cell.gates * HIDDEN
    x = normal(0, *((BATCH, STEPS) if first else (STEPS, BATCH)), INPUT)
    arrays: list[Any] = [x, normal(1, count, gates, INPUT) / 2, normal(2, count, gates, HIDDEN) / 2]
    if full:
        state = (BATCH, count, HIDDEN) if first else (count, BATCH, HIDDEN)
        arrays += [normal(3, count, 2 * gates), LENGTHS, normal(4, *state)]
        if cell is LSTM:
            arrays += [normal(5, *state), normal(6, count, 3 * HIDDEN)]
    return [a if a.dtype == np.int32 else a.astype(dtype) for a in arrays]


def torch_layer(cell: Any, direction: str, arrays: Any) -> Any:
    """The outputs of torch's layer with the same weights, its gates reordered."""
    import torch

    made = getattr(torch.nn, cell.name)(INPUT, HIDDEN, bidirectional=direction == "bidirectional")
    x, w, r, b = arrays
    order = np.concatenate([np.arange(HIDDEN) + g * HIDDEN for g in torch_order(cell)])
    for d in range(len(w)):
        suffix = "_l0" + ("_reverse" if d else "")
        half = b[d].reshape(2, -1)
        for name, value in (
            ("weight_ih", w[d]),
            ("weight_hh", r[d]),
            ("bias_ih", half[0]),
            ("bias_hh", half[1]),
        ):
            getattr(made, name + suffix).data = torch.from_numpy(value[order].copy())
    with torch.no_grad():
        y, state = made(torch.from_numpy(x))
    states = state if isinstance(state, tuple) else (state,)
    split = y.numpy().reshape(STEPS, BATCH, len(w), HIDDEN).transpose(0, 2, 1, 3)
    return split, *(s.numpy() for s in states)


def torch_order(cell: Any) -> list[int]:
    """ONNX's gates in torch's order: r z n of z r h; i f g o of i o f c."""
    return {RNN: [0], GRU: [1, 0, 2], LSTM: [0, 2, 3, 1]}[cell]


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("cell", list(CELLS))
def test_reference_is_torchs(cell: Any, direction: str) -> None:
    count = 2 if direction == "bidirectional" else 1
    arrays = operands(cell, count, False)
    arrays.append(normal(3, count, 2 * cell.gates * HIDDEN))
    extra: dict[str, Any] = {"linear_before_reset": 1} if cell is GRU else {}
    op = cell(direction=direction, hidden_size=HIDDEN, outputs=3 if cell is LSTM else 2, **extra)
    for found, wanted in zip(
        op.reference(*arrays), torch_layer(cell, direction, arrays), strict=True
    ):
        close(found, wanted)


def test_reversed_steps_are_those_of_the_reversed_input() -> None:
    arrays = operands(LSTM, 1, False)
    y, h, c = LSTM(direction="reverse", outputs=3).reference(*arrays)
    turned = [arrays[0][::-1], *arrays[1:]]
    for a, b in zip((y[::-1], h, c), LSTM(outputs=3).reference(*turned), strict=True):
        close(a, b)


def test_rows_end_at_their_lengths() -> None:
    arrays = operands(GRU, 2, True)
    y, last = GRU(direction="bidirectional", outputs=2).reference(*arrays)
    for row, length in enumerate(LENGTHS):
        assert (y[length:, :, row] == 0).all()
        own = [a[:, row : row + 1] if n in (0, 5) else a for n, a in enumerate(arrays)]
        own[0], own[4] = own[0][:length], None
        alone, ended = GRU(direction="bidirectional", outputs=2).reference(*own)
        close(y[:length, :, row], alone[:, :, 0])
        close(last[:, row], ended[:, 0])


SETTINGS: list[dict[str, Any]] = [
    {},
    {"layout": 1},
    {"clip": 0.3},
    {"input_forget": 1},
    {"linear_before_reset": 1},
    {"activations": ("HardSigmoid", "Affine", "ScaledTanh")},
    {"activations": ("ThresholdedRelu", "LeakyRelu", "Elu")},
    {"activations": ("softsign", "Softplus", "relu")},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("cell", list(CELLS))
def test_the_body_in_simpler_ops_says_the_same(
    cell: Any, direction: str, settings: dict[str, Any]
) -> None:
    names = {f.name for f in dataclasses.fields(cell)}
    if not settings.keys() <= names:
        return
    count = 2 if direction == "bidirectional" else 1
    if "activations" in settings:
        chosen = settings["activations"][: len(cell.usual)] * count
        values = tuple(0.1 * n for n in range(1, 1 + len(chosen)))
        each = values[: len(cell.usual)] * count
        settings = {"activations": chosen, "activation_alpha": each, "activation_beta": each}
        if chosen[0] != "HardSigmoid":
            settings["activation_beta"] = None
            takes = [n for n in chosen if n.lower() not in ("softsign", "softplus", "relu")]
            settings["activation_alpha"] = each[: len(takes) // count] * count
    for full in (False, True):
        for dtype, tolerance in ((np.float32, 1e-5), (np.float16, 4e-3)):
            outputs = 3 if cell is LSTM else 2
            op = cell(direction=direction, outputs=outputs, **settings)
            arrays = operands(cell, count, full, dtype, first=bool(settings.get("layout")))
            wanted = as_arrays(op.reference(*arrays))
            found = expanded(op, arrays, {0: (0, 1)})
            assert found is not None
            for a, b in zip(found, wanted, strict=True):
                close(a, b, tolerance)


def test_directions_with_different_activations_keep_their_reference() -> None:
    op = RNN(direction="bidirectional", activations=("Tanh", "Relu"))
    assert expanded(op, operands(RNN, 2, False), {}) is None


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"direction": "backward"}, "E0341"),
        ({"direction": "bidirectional"}, "E0322"),
        ({"hidden_size": 7}, "E0322"),
    ],
)
def test_refusals(attributes: dict[str, Any], code: str) -> None:
    from ops.lanes import symbolic

    types, _ = symbolic(operands(LSTM, 1, False), [])
    with pytest.raises(InvalidGraph) as caught:
        LSTM(**attributes).infer(*types)
    assert caught.value.code == code


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(InvalidGraph, match="E0341"):
        RNN(activations=("Softmax",)).reference(*operands(RNN, 1, False))
