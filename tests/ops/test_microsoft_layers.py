"""Layers of mixtures, hybrids and decoders of com.microsoft, beside ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
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


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    experts, norms, recurrences, mixing, rotations,
)  # fmt: skip
CASES = [case for family in FAMILIES for case in family()]


@pytest.mark.parametrize("provider", ["native", "reference"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.op} {c.name}".strip())
def test_gives_what_onnx_runtime_gives(case: Case, provider: str) -> None:
    raw, feeds = model(case)
    session = sx.InferenceSession(raw, providers=[provider])
    agree(case, session.run(None, feeds), expected(case))


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
