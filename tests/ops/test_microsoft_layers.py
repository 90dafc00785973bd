"""Layers of mixtures, hybrids and decoders of com.microsoft, beside ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import sardonyx as sx
from ops.test_microsoft import Case, agree, codes, expected, model, normal, rng


def experts() -> Iterator[Case]:
    x, router = normal(0, 2, 3, 32), normal(1, 6, 4)
    for bits, block in ((4, 16), (4, None), (2, 16)):
        each = 8 // bits
        for name, kind, k, more in (
            ("relu", "relu", 2, {}),
            ("silu", "silu", 1, {"normalize_routing_weights": 1}),
        ):
            w1, w2 = codes(2, 4, 64, 32 // each), codes(3, 4, 32, 64 // each)
            s1, s2 = (
                rng(n).random((4, rows, depth // block) if block else (4, rows)) / depth
                for n, (rows, depth) in enumerate(((64, 32), (32, 64)))
            )
            scales = [s.astype(np.float32) for s in (s1, s2)]
            given = {"expert_weight_bits": bits, "block_size": block, "activation_type": kind,
                     "k": k, "weights_prepacked": 0, **more}  # fmt: skip
            layers = [w1, scales[0], normal(6, 4, 64), w2, scales[1], normal(7, 4, 32)]
            yield Case("QMoE", given, [x, router, *layers], constant=(2, 3, 5, 6), tolerance=2e-4,
                       name=f"{bits} {block} {name}")  # fmt: skip


def norms() -> Iterator[Case]:
    x, gate = normal(0, 2, 3, 12), normal(1, 2, 3, 12)
    for name in ("silu", "sigmoid"):
        yield Case("GatedRMSNorm", {"activation": name}, [x, normal(2, 4), gate], name=name)
    yield Case("BranchwiseRMSNorm", {"num_branches": 3}, [x, normal(2, 12)], name="flat")
    yield Case("BranchwiseRMSNorm", {}, [x.reshape(2, 3, 3, 4), normal(2, 3, 4)], name="own")
    yield Case("BranchwiseRMSNorm", {"num_branches": 3}, [x, normal(2, 4)], name="one")
    yield Case("BranchwiseRMSNorm", {"num_branches": 2}, [x], name="bare")
    yield Case("ScaledSiLU", {"alpha": 0.7}, [x])
    yield Case("ScaledSiLU", {}, [x, np.array(1.3, np.float32)], name="scale")
    for dtype in (np.float16,):
        yield Case("ScaledSiLU", {"alpha": 0.7}, [x.astype(dtype)], name="half", tolerance=1e-3)


def recurrences() -> Iterator[Case]:
    a, b = normal(0, 2, 5, 3), normal(1, 2, 5, 3)
    gates = [a, normal(2, 3), -rng(3).random(3).astype(np.float32), b]
    yield Case("LinearAttentionGate", {}, gates, outputs=2)
    q, k, v = normal(0, 2, 5, 8) / 2, normal(1, 2, 5, 8) / 2, normal(2, 2, 5, 12)
    decay, beta = -rng(3).random((2, 5, 2)).astype(np.float32), rng(4).random((2, 5, 2))
    beta = beta.astype(np.float32)
    for rule, more in (
        ("linear", []),
        ("gated", [None, decay]),
        ("delta", [None, None, beta]),
        ("gated_delta", [normal(5, 2, 2, 4, 6), decay, beta]),
    ):
        given = {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": rule}
        yield Case("LinearAttention", given, [q, k, v, *more], outputs=2, name=rule)
    x, w = normal(0, 2, 3, 7), normal(1, 3, 1, 4)
    convolutions: list[tuple[str, dict[str, Any], list[Any]]] = [
        ("", {}, []),
        ("silu", {"activation": "silu"}, [normal(2, 3), normal(3, 2, 3, 3)]),
        ("dilated", {"dilation": 2}, [None, normal(3, 2, 3, 6)]),
    ]
    for name, settings, states in convolutions:
        yield Case("CausalConvWithState", settings, [x, w, *states], outputs=2, name=name)
    last = [x.transpose(0, 2, 1).copy(), w, normal(2, 3)]
    yield Case("CausalConvWithState", {"channels_last": 1}, last, outputs=2, name="last")


def deltas() -> Iterator[Case]:
    q, k = normal(0, 2, 5, 2, 4) / 2, normal(1, 2, 5, 2, 4) / 2
    v, state = normal(2, 2, 5, 4, 6), normal(3, 2, 4, 6, 4)
    decay, beta = -rng(4).random((2, 5, 4)), rng(5).random((2, 5, 4))
    gates = [decay.astype(np.float32), beta.astype(np.float32)]
    packed = [x.reshape(10, *x.shape[2:]) for x in (q, k, v)]
    flat = [x.reshape(10, 4) for x in gates]
    logs = [normal(6, 4) / 3, normal(7, 4)]
    yield Case("GatedDeltaNet", {}, [q, k, v, None, *gates, state], outputs=2)
    yield Case("GatedDeltaNet", {"qk_l2_norm": 1}, [*packed, None, *flat, state], outputs=2,
               name="packed")  # fmt: skip
    for gate in ("softplus", "kda"):
        given = {"gate_activation": gate, "beta_activation": "sigmoid", "qk_l2_norm": 1}
        yield Case("GatedDeltaNet", given, [q, k, v, None, *gates, state, *logs], outputs=2,
                   name=gate)  # fmt: skip
    each = -rng(8).random((2, 5, 4, 4)).astype(np.float32)
    yield Case("GatedDeltaNet", {}, [q, k, v, None, each, gates[1], state], outputs=2, name="each")


def mixing() -> Iterator[Case]:
    streams, block = normal(0, 2, 3, 4, 5), normal(1, 2, 3, 5)
    for name, gates in (("each", normal(2, 2, 3, 4)), ("all", normal(2, 2, 3, 4, 5))):
        yield Case("HyperConnectionPreMix", {"reduction_scale": 0.5}, [streams, gates], name=name)
        yield Case("HyperConnectionPostMix", {}, [streams, block, gates], name=name)
        mix = normal(3, 2, 3, 4, 4)
        yield Case("HyperConnectionPostMix", {}, [streams, block, gates, mix], name=f"{name} mix")
    flat = streams.reshape(2, 3, 20)
    yield Case("HyperConnectionPreMix", {"num_branches": 4}, [flat, normal(2, 2, 3, 4)],
               name="flat")  # fmt: skip
    yield Case("HyperConnectionPreMix", {"num_branches": 4}, [flat, normal(2, 2, 3, 20)],
               name="flat gates")  # fmt: skip
    key, query, value = normal(0, 2, 3, 4, 5), normal(1, 2, 3, 4, 5), normal(2, 2, 3, 5)
    scales = [normal(n, 4, 5) for n in (3, 4, 5)]
    yield Case("EngramGate", {}, [key, query, value, *scales[:2]])
    yield Case("EngramGate", {}, [key, query, value, *scales], outputs=2, name="norm")


def rotations() -> Iterator[Case]:
    ids = rng(0).integers(0, 9, (3, 2, 5))
    tables = [f(np.arange(9)[:, None] * np.arange(1, 7) / 7).astype(np.float32)
              for f in (np.cos, np.sin)]  # fmt: skip
    x = normal(1, 2, 5, 24)
    for layout in (0, 1):
        given = {"mrope_section": [2, 2, 2], "mrope_layout": layout, "num_heads": 2}
        yield Case("MRotaryEmbedding", given, [x, ids, *tables], name=f"{layout}")
        turned = x.reshape(2, 5, 2, 12).transpose(0, 2, 1, 3).copy()
        yield Case("MRotaryEmbedding", {**given, "interleaved": 1}, [turned, ids, *tables],
                   name=f"{layout} interleaved")  # fmt: skip


def routers() -> Iterator[Case]:
    logits, bias = normal(0, 5, 8), normal(1, 8) / 3
    yield Case("MoEGroupRouter", {"top_k": 3}, [logits, bias])
    given = {"top_k": 2, "n_group": 4, "topk_group": 2, "group_topk": 2}
    yield Case("MoEGroupRouter", given, [logits, bias], name="groups")
    ids, factors = codes(0, 2, 6, dtype=np.int64, high=50), np.array([31, 17, 101], np.int64)
    sizes = np.array([97, 89, 83, 79], np.int64)
    given = {"max_ngram_size": 3, "n_head_per_ngram": 2, "pad_id": 7}
    past, offsets = codes(1, 2, 2, dtype=np.int64, high=50), np.arange(4) * 100
    yield Case("NGramHashMapping", given, [ids, factors, sizes], outputs=2)
    yield Case("NGramHashMapping", given, [ids, factors, sizes, past, offsets], outputs=2,
               name="past")  # fmt: skip
    wide = [ids, factors * 123456789123456789, sizes]
    yield Case("NGramHashMapping", given, wide, outputs=2, name="wraps")


def paths() -> Iterator[Case]:
    yield Case("DynamicTimeWarping", {}, [normal(0, 5, 7) ** 2])
    yield Case("DynamicTimeWarping", {}, [normal(1, 1, 6, 3) ** 2], name="batch of one")
    yield Case("DynamicTimeWarping", {}, [np.ones((4, 4), np.float32)], name="ties")
    source = np.array([2, 3, 4, 5, 3, 4, 9, 1], np.int64)
    start = np.array(1, np.int64)
    for name, tokens, more in (
        ("", [7, 3, 4, 9], []),
        ("several", [7, 3, 4], []),
        ("none", [7], []),
        ("foreseen", [2], [np.array([3, 4, 6, 1, 2, 3, 4, 5], np.int64)]),
        ("all foreseen", [2], [np.array([3, 4, 5, 3, 4, 9, 1, 8], np.int64)]),
    ):
        given = [source, np.array(tokens, np.int64), start, *more]
        yield Case("BifurcationDetector", {}, given, outputs=2, name=name)


def embeddings() -> Iterator[Case]:
    ids, segments = (codes(n, 2, 5, dtype=np.int32, high=h) for n, h in ((0, 11), (1, 2)))
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    tables = [codes(n, *s) for n, s in enumerate(((11, 8), (6, 8), (2, 8), (8,), (8,)))]
    scales = [np.array(0.02 + n / 100, np.float32) for n in range(5)]
    zeros = [np.array(120 + n, np.uint8) for n in range(5)]
    yield Case("QEmbedLayerNormalization", {}, [ids, segments, *tables, mask, *scales, *zeros],
               outputs=2)  # fmt: skip
    tables[2], scales[2], zeros[2] = (None,) * 3  # type: ignore[call-overload]
    yield Case("QEmbedLayerNormalization", {}, [ids, None, *tables, None, *scales, *zeros],
               outputs=2, name="bare")  # fmt: skip


def attention() -> Iterator[Case]:
    q, k, v = (normal(n, 2, 1, 8) for n in range(3))
    past = [normal(n, 2, 2, 3, 4) for n in (3, 4)]
    given = {"num_heads": 2}
    full = [np.concatenate([p, normal(7, 2, 2, 5, 4)], 2) for p in past]
    yield Case("DecoderMaskedMultiHeadAttention", {**given, "past_present_share_buffer": 1},
               [q, k, v, None, None, *full, np.array([3], np.int32)], outputs=3)  # fmt: skip
    cross = [q, *past]
    yield Case("DecoderMaskedMultiHeadAttention", given, cross, name="cross")
    rows = np.array([[0, 1, 3, 5, 8], [0, 1, 3, 6, 9]], np.int32)
    columns = np.array([[0, 0, 1, 1, 2, 1, 2, 3, -1], [0, 0, 1, 0, 1, 2, 0, 2, 3]], np.int32)
    given = {"num_heads": 4, "kv_num_heads": 2, "sparse_block_size": 16}
    for name, length, total in (("prompt", 40, 40), ("step", 1, 38)):
        heads = [normal(0, 1, length, 32), normal(1, 1, length, 16), normal(2, 1, length, 16)]
        cache = [normal(n, 1, 2, 64, 8) for n in (3, 4)]
        ends = [np.array(total, np.int32).reshape(1), np.array([total], np.int32)]
        yield Case("SparseAttention", given, [*heads, *cache, rows, columns, *ends], outputs=3,
                   name=name)  # fmt: skip


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    experts, norms, recurrences, deltas, mixing, rotations, routers, paths, embeddings, attention,
)  # fmt: skip
CASES = [case for family in FAMILIES for case in family()]


@pytest.mark.parametrize("provider", ["native", "reference"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.op} {c.name}".strip())
def test_gives_what_onnx_runtime_gives(case: Case, provider: str) -> None:
    raw, feeds = model(case)
    session = sx.InferenceSession(raw, providers=[provider])
    wanted = shared(case, 3) if case.op == "SparseAttention" else expected(case)
    agree(case, session.run(None, feeds), wanted)


def shared(case: Case, first: int) -> list[Any]:
    """What ONNX Runtime says where the caches, inputs `first` and the next, are outputs 1 and 2."""
    raw, feeds = model(case)
    session = ort.InferenceSession(raw, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_output("y0")
    caches = {f"x{first + n}": f"y{1 + n}" for n in (0, 1)}
    # The values lie in these arrays.
    held = {name: array.copy() for name, array in feeds.items()}
    for name, array in held.items():
        value = ort.OrtValue.ortvalue_from_numpy(array)
        binding.bind_ortvalue_input(name, value)
        if name in caches:
            binding.bind_ortvalue_output(caches[name], value)
    session.run_with_iobinding(binding)
    return [x.numpy().copy() for x in binding.get_outputs()]


def test_only_the_chosen_experts_are_read() -> None:
    """Weights that nobody chose may be no numbers."""
    x, layers = normal(0, 3, 8), [normal(2, 4, 16, 8), normal(4, 4, 8, 16)]
    router = np.array([[9, 8, 0, 0]] * 3, np.float32)
    given = {"activation_type": "silu", "k": 2}
    wanted = _mixture(given, [x, router, *layers])
    for w in layers:
        w[2:] = np.nan
    np.testing.assert_array_equal(_mixture(given, [x, router, *layers]), wanted)
    assert not np.isnan(wanted).any()


def _mixture(given: dict[str, Any], inputs: list[Any]) -> Any:
    x, router, w1, w2 = inputs
    raw, feeds = model(Case("MoE", given, [x, router, w1, None, w2]))
    session = sx.InferenceSession(raw)
    assert not session.gaps()
    return session.run(None, feeds)[0]
