"""Attention, its masked softmax, positions and caches, against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ops.bodies import expanded
from ops.nn import agrees, close, normal, whole
from sardonyx.core.errors import InvalidGraph, RuntimeException
from sardonyx.ops.attention.attention import Attention, AttentionV23
from sardonyx.ops.attention.linear import LinearAttention
from sardonyx.ops.attention.positions import CausalConvWithState, RotaryEmbedding, TensorScatter
from sardonyx.ops.attention.weights import AttentionWeights

BATCH, HEADS, SHARED, QUERIES, KEYS, SIZE = 2, 4, 2, 3, 5, 8


def heads(seed: int, count: int, length: int) -> Any:
    return normal(seed, BATCH, count, length, SIZE)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shared", [SHARED, HEADS])
@pytest.mark.parametrize("packed", [False, True])
def test_attention_is_torchs(causal: bool, shared: int, packed: bool) -> None:
    import torch

    length = QUERIES if causal else KEYS
    q, k, v = (heads(0, HEADS, QUERIES), heads(1, shared, length), heads(2, shared, length))
    parts = [torch.from_numpy(x) for x in (q, k, v)]
    dot = torch.nn.functional.scaled_dot_product_attention
    wanted = dot(*parts, is_causal=causal, enable_gqa=True).numpy()
    arrays = [q, k, v]
    op = Attention(is_causal=int(causal))
    if packed:
        arrays = [x.swapaxes(1, 2).reshape(BATCH, x.shape[2], -1) for x in arrays]
        wanted = wanted.swapaxes(1, 2).reshape(BATCH, QUERIES, -1)
        op = Attention(is_causal=int(causal), q_num_heads=HEADS, kv_num_heads=shared)
    close(op.reference(*arrays), wanted)
    free = {0: (0, 1 if packed else 2), 1: (0, 1 if packed else 2), 2: (0, 1 if packed else 2)}
    body = expanded(op, arrays, free)
    assert body is not None
    close(body[0], wanted)


def test_a_cache_gives_what_the_whole_sequence_gives() -> None:
    q, k, v = (heads(n, HEADS, KEYS) for n in range(3))
    whole_y = Attention(is_causal=1).reference(q, k, v)
    op = Attention(is_causal=1, outputs=3)
    args = [q[:, :, 3:], k[:, :, 3:], v[:, :, 3:], None, k[:, :, :3], v[:, :, :3]]
    y, keys, values = op.reference(*args)
    close(y, whole_y[:, :, 3:])
    close(keys, k)
    close(values, v)
    lengths = np.array([KEYS, KEYS])
    outside = Attention(is_causal=1).reference(q[:, :, 3:], k, v, None, None, None, lengths)
    close(outside, y)


def test_windows_hide_what_is_far() -> None:
    q, k, v = (heads(n, HEADS, KEYS) for n in range(3))
    far = np.arange(KEYS)
    mask = (far[:, None] - far <= 1) & (far - far[:, None] <= 0)
    wanted = AttentionV23().reference(q, k, v, mask)
    close(Attention(left_window_size=1, right_window_size=0).reference(q, k, v), wanted)


MASKS: list[tuple[int, ...]] = [(KEYS,), (QUERIES, KEYS), (HEADS, 1, KEYS), (BATCH, 1, QUERIES, 3)]


@pytest.mark.parametrize("shape", MASKS)
@pytest.mark.parametrize("kind", [bool, np.float32])
@pytest.mark.parametrize("settings", [{}, {"causal": 1}, {"left": 1, "right": 2, "softcap": 2.0}])
@pytest.mark.parametrize("grouped", [False, True])
def test_weights_say_the_same_every_way(
    shape: tuple[int, ...], kind: Any, settings: dict[str, Any], grouped: bool
) -> None:
    scores = normal(0, BATCH, HEADS, QUERIES, KEYS) * 3
    mask = normal(1, *shape)
    mask = mask > -0.5 if kind is bool else np.where(mask > 0.7, -np.inf, mask).astype(np.float32)
    lengths = np.array([4, 2])
    if grouped:
        scores = scores.reshape(BATCH, SHARED, -1, QUERIES, KEYS)
    for extras in ([mask], [mask, lengths], [None, lengths]):
        made = agrees(AttentionWeights(**settings), [scores, *extras], [[0]])[0]
        sums = made.sum(-1)
        assert (np.isclose(sums, 1, atol=1e-5) | (sums == 0)).all()


def test_a_row_that_may_see_nothing_is_zero() -> None:
    q, k, v = (heads(n, HEADS, QUERIES) for n in range(3))
    mask = np.ones((QUERIES, QUERIES), bool)
    mask[1] = False
    y = Attention().reference(q, k, v, mask)
    assert (y[:, :, 1] == 0).all()
    assert np.isfinite(y).all()


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("part", [0, 4])
@pytest.mark.parametrize("packed", [False, True])
def test_rotary_embedding(interleaved: int, part: int, packed: bool) -> None:
    count = (part or SIZE) // 2
    angle = normal(1, 10, count)
    cos, sin = np.cos(angle), np.sin(angle)
    ids = whole(2, 0, 10, BATCH, KEYS, dtype=np.int64)
    x = normal(0, BATCH, KEYS, HEADS * SIZE) if packed else heads(0, HEADS, KEYS)
    op = RotaryEmbedding(
        interleaved=interleaved, rotary_embedding_dim=part, num_heads=HEADS if packed else None
    )
    (y,) = agrees(op, [x, cos, sin, ids], [[0, 1]] if packed else [[0, 2]])
    close((y * y).sum(), (x * x).sum(), 1e-3)
    agrees(op, [x, cos[ids], sin[ids]], [[0, 1]] if packed else [[0, 2]], y)


@pytest.mark.parametrize("mode", ["linear", "circular"])
def test_tensor_scatter(mode: str) -> None:
    cache, update = normal(0, 2, 3, 6, 4), normal(1, 2, 3, 2, 4)
    starts = np.array([4, 5 if mode == "circular" else 0])
    (y,) = agrees(TensorScatter(mode=mode), [cache, update, starts], [[0]], None, 0)
    for b, start in enumerate(starts):
        for row in range(2):
            assert (y[b, :, (start + row) % 6] == update[b, :, row]).all()


def test_rows_outside_the_cache_are_refused() -> None:
    with pytest.raises(RuntimeException, match="E0404"):
        TensorScatter().reference(normal(0, 1, 4, 2), normal(1, 1, 3, 2), np.array([2]))


@pytest.mark.parametrize("activation", ["none", "silu"])
def test_a_convolution_in_two_parts_is_one(activation: str) -> None:
    x, w, b = normal(0, 2, 3, 9), normal(1, 3, 1, 4), normal(2, 3)
    op = CausalConvWithState(activation=activation)
    y, last = agrees(op, [x, w, b], [[0, 2]])
    first, state = agrees(op, [x[:, :, :5], w, b], [[0, 2]])
    second, ended = agrees(op, [x[:, :, 5:], w, b, state], [[0, 2]])
    close(np.concatenate([first, second], 2), y)
    close(ended, last)


@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
def test_linear_attention_in_two_parts_is_one(rule: str) -> None:
    q, k, v = (normal(0, 2, 6, 4 * 3), normal(1, 2, 6, 2 * 3), normal(2, 2, 6, 2 * 5))
    decay = -np.abs(normal(3, 2, 6, 2)) if "gated" in rule else None
    beta = np.abs(normal(4, 2, 6, 2)) if "delta" in rule else None
    op = LinearAttention(q_num_heads=4, kv_num_heads=2, update_rule=rule)
    y, last = op.reference(q, k, v, None, decay, beta)

    def part(rows: slice, past: Any) -> Any:
        cut: Any = [None if a is None else a[:, rows] for a in (q, k, v, decay, beta)]
        return op.reference(*cut[:3], past, *cut[3:])

    first, state = part(slice(0, 2), None)
    second, ended = part(slice(2, None), state)
    close(np.concatenate([first, second], 1), y)
    close(ended, last)


def test_heads_that_do_not_divide_are_refused() -> None:
    from ops.lanes import symbolic

    types, _ = symbolic([heads(0, 3, 2), heads(1, 2, 2), heads(2, 2, 2)], [])
    with pytest.raises(InvalidGraph, match="E0341"):
        Attention().infer(*types)
    with pytest.raises(InvalidGraph, match="E0341"):
        LinearAttention(q_num_heads=3, kv_num_heads=2).infer(*types)
