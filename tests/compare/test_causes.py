"""Planted faults: each is found and named, with the side and the node that has it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sardonyx.compare import Comparison, Reason, Side, compare, of_model, to_html, why
from sardonyx.compare.sides import flat
from sardonyx.graph.ir import Graph
from session.models import AFFINE, graph

STACK = "pkg.torch.onnx.stack_trace"
LINE = 'File "/home/me/net.py", line 9, in forward\n    x = self.layer(x)'

NORM = """
graph norm {
  opset "" 20
  input x: float32[N, 2, 4, 4]
  const g: float32[2] = {1.5, 0.5}
  const b: float32[2] = {0.1, -0.2}
  const m: float32[2] = {0.3, -0.4}
  const v: float32[2] = {2.0, 0.7}
  [before] h = Relu(x)
  [layer] y = BatchNormalization<training_mode=0>(h, g, b, m, v)
  output y: float32[N, 2, 4, 4]
}
"""

DROPOUT = """
graph dropout {
  opset "" 20
  input x: float32[N, 8]
  const ratio: float32[] = {0.5}
  const trains: bool[] = {0}
  [layer] h = Dropout<seed=1>(x, ratio, trains)
  [after] y = Relu(h)
  output y: float32[N, 8]
}
"""

RESIZE = """
graph resize {
  opset "" 20
  input x: float32[N, 2, 5, 5]
  const scales: float32[4] = {1.0, 1.0, 2.0, 2.0}
  [layer] h = Resize<mode="linear", coordinate_transformation_mode="half_pixel">(x, _, scales)
  [after] y = Relu(h)
  output y: float32[N, 2, 10, 10]
}
"""

NEAREST = """
graph nearest {
  opset "" 20
  input x: float32[N, 2, 5, 5]
  const s: float32[4] = {1.0, 1.0, 1.5, 1.5}
  [layer] y = Resize<coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, _, s)
  output y: float32[N, 2, 7, 7]
}
"""

POOL = """
graph pool {
  opset "" 20
  input x: float32[N, 2, 8, 8]
  [layer] y = AveragePool<kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1>(x)
  output y: float32[N, 2, 8, 8]
}
"""

CONV = """
graph conv {
  opset "" 20
  input x: float32[N, 1, 6, 6]
  const w: float32[1, 1, 3, 3] = {1.0, 2.0, -1.0, 0.5, 3.0, -2.0, 1.0, 0.25, 4.0}
  [layer] h = Conv<pads=[0, 0, 1, 1], strides=[2, 2]>(x, w)
  [after] y = Relu(h)
  output y: float32[N, 1, 2, 2]
}
"""

GELU = """
graph gelu {
  opset "" 20
  input x: float32[N, 8]
  [layer] h = Gelu(x)
  const big: float32[] = {1.0}
  [after] y = Mul(h, big)
  output y: float32[N, 8]
}
"""

FLAT = """
graph flat {
  opset "" 20
  input x: float32[N, 2, 3]
  const shape: int64[2] = {-1, 6}
  [before] h = Relu(x)
  [layer] y = Reshape(h, shape)
  output y: float32[?]
}
"""

CASTS = """
graph casts {
  opset "" 20
  input x: float32[N, 8]
  const one: float32[] = {4096.0}
  [before] h = Add(x, one)
  [layer] n = Cast<to=1>(h)
  [wide] w = Cast<to=1>(n)
  [after] y = Sub(w, one)
  output y: float32[N, 8]
}
"""

CODES = """
graph codes {
  opset "" 20
  input x: float32[N, 64]
  const scale: float32[] = {0.04}
  const zero: int8[] = {0}
  [before] h = Neg(x)
  [layer] q = QuantizeLinear(h, scale, zero)
  d = DequantizeLinear(q, scale, zero)
  [after] y = Mul(d, d)
  output y: float32[N, 64]
}
"""

CENTRED = """
graph centred {
  opset "" 20
  input x: float32[N, 5]
  const axes: int64[1] = {1}
  [layer] m = ReduceMean<keepdims=1>(x, axes)
  [after] y = Sub(x, m)
  output y: float32[N, 5]
}
"""

PLANTED: dict[str, tuple[str, str, str, str]] = {
    "BatchNormalization trains": (NORM, "training_mode=0", "training_mode=1", "training mode"),
    "Dropout trains": (DROPOUT, "{0}", "{1}", "training mode"),
    "corners aligned": (RESIZE, '"half_pixel"', '"align_corners"', "resize rule"),
    "cubic": (RESIZE, '"linear"', '"cubic"', "resize rule"),
    "rounded": (NEAREST, '"floor"', '"ceil"', "resize rule"),
    "pads counted": (POOL, "count_include_pad=1", "count_include_pad=0", "padding"),
    "pads at the other end": (CONV, "[0, 0, 1, 1]", "[1, 1, 0, 0]", "padding"),
    "tanh": (GELU, "Gelu(", 'Gelu<approximate="tanh">(', "operator semantics"),
    "baked batch": (FLAT, "{-1, 6}", "{1, 6}", "baked dims"),
    "baked batch of two": (FLAT, "{-1, 6}", "{2, -1}", "baked dims"),
    "float16 inside": (CASTS, "n = Cast<to=1>", "n = Cast<to=10>", "dtype narrowing"),
    "clipped": (CODES, "{0.04}", "{0.004}", "quantization range"),
    "few codes": (CODES, "{0.04}", "{3.0}", "quantization range"),
    "other weights": (CONV, "3.0, -2.0", "3.5, -2.0", "other parameters"),
    "over the batch": (CENTRED, "axes: int64[1] = {1}", "axes: int64[1] = {0}", "batch mixed"),
}  # fmt: skip


def _planted(text: str, before: str, after: str) -> Graph:
    assert before in text
    made = graph(text.replace(before, after))
    next(n for n in made.nodes if n.name == "layer").meta[STACK] = LINE
    return made


def _only(found: Comparison) -> Reason:
    assert not found.agree
    assert [r.cause for r in found.reasons] == [found.reasons[0].cause]
    return found.reasons[0]


def _framework(made: Graph) -> Side:
    """The graph as a framework would be: it answers, and shows nothing."""
    return Side("framework", of_model(made).run)


def _behind(made: Graph, step: Callable[[Any], Any]) -> Side:
    """The graph with a step behind its output."""
    inner = of_model(made)
    return Side("framework", lambda feeds: [step(x) for x in flat(inner.run(feeds)).values()])


def _before(made: Graph, step: Callable[[Any], Any]) -> Side:
    """The graph with a step before its input."""
    inner = of_model(made)
    return Side("framework", lambda feeds: inner.run({n: step(x) for n, x in feeds.items()}))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named_with_its_line(name: str) -> None:
    text, before, after, cause = PLANTED[name]
    found = compare(graph(text), _planted(text, before, after), tolerance=_allowed(cause))
    reason = _only(found)
    assert (reason.cause, reason.node) == (cause, "layer")
    assert reason.side == found.b
    assert reason.source == "/home/me/net.py:9 in forward: x = self.layer(x)"
    assert reason.after < reason.before or reason.before == float("inf")
    assert f"cause: {cause}" in "\n".join(found.lines())


@pytest.mark.parametrize("name", sorted(PLANTED.keys() - {"other weights"}))
def test_a_planted_fault_is_named_against_a_framework(name: str) -> None:
    text, before, after, cause = PLANTED[name]
    model = _planted(text, before, after)
    found = compare(_framework(graph(text)), model, tolerance=_allowed(cause))
    reason = _only(found)
    assert (reason.cause, reason.node) == (cause, "layer")


def _allowed(cause: str) -> str | None:
    return "float32" if cause == "dtype narrowing" else None


def test_layers_that_train_are_named_though_their_statistics_moved() -> None:
    trained = _planted(NORM.replace("{0.3, -0.4}", "{0.32, -0.41}"), "mode=0", "mode=1")
    reason = _only(compare(_framework(graph(NORM)), trained))
    assert (reason.cause, reason.node) == ("training mode", "layer")
    assert "come nearer" in reason.text


STEPS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax over axis -1": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "arg-max over axis -1": lambda x: x.argmax(-1),
    "transpose to [1, 0]": lambda x: x.T,
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_behind_the_outputs(name: str) -> None:
    step = STEPS[name]
    for sides in (
        (_behind(graph(AFFINE), step), graph(AFFINE)),
        (graph(AFFINE), _behind(graph(AFFINE), step)),
    ):
        reason = _only(
            compare(
                *sides, data=np.random.default_rng(3).standard_normal((16, 3)).astype(np.float32)
            )
        )
        assert reason.cause == "post-processing"
        assert name in reason.text


IMAGE = POOL.replace("[N, 2, 8, 8]", "[N, 3, 8, 8]")
PREPARED: dict[str, Callable[[Any], Any]] = {
    "channels reversed": lambda x: np.ascontiguousarray(x[:, ::-1]),
    "divided by 255": lambda x: x / np.float32(255),
    "ImageNet's mean": lambda x: (
        (x - np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1))
        / np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)
    ),
}


@pytest.mark.parametrize("name", PREPARED)
def test_a_step_before_the_inputs(name: str) -> None:
    reason = _only(compare(_before(graph(IMAGE), PREPARED[name]), graph(IMAGE)))
    assert reason.cause == "input preparation"
    assert name in reason.text


def test_a_model_in_float16_against_float32() -> None:
    text = """
    graph sums {
      opset "" 20
      input x: float32[N, 8]
      const one: float32[] = {4096.0}
      [before] h = Add(x, one)
      [after] y = Sub(h, one)
      output y: float32[N, 8]
    }
    """
    wide = text.replace("float32", "float64")
    narrow, exact = of_model(graph(text)), of_model(graph(wide))
    side = Side("doubles", lambda f: exact.run({n: x.astype(np.float64) for n, x in f.items()}))
    reason = _only(compare(side, narrow))
    assert (reason.cause, reason.node) == ("dtype narrowing", "before")
    assert "float32" in reason.text


def test_a_size_that_was_baked_in_where_no_node_shows_it() -> None:
    def run(feeds: Mapping[str, Any]) -> list[Any]:
        return [np.full((len(feeds["x"]), 2), len(feeds["x"]) == 7, np.float32)]

    ones = Side("ones", lambda f: [np.ones((len(f["x"]), 2), np.float32)])
    found = compare(
        ones, Side("mine", run), data={"x": np.ones((14, 3), np.float32)}, batches=[2, 7]
    )
    assert _only(found).cause == "baked dims"
    assert "batch 7" in found.reasons[0].text


@pytest.mark.parametrize("name", PLANTED)
def test_models_that_agree_name_nothing(name: str) -> None:
    text = PLANTED[name][0]
    assert not compare(graph(text), graph(text)).reasons


def test_what_no_cause_explains_names_none() -> None:
    text = CONV.replace("[after] y = Relu(h)", "[after] y = Softsign(h)")
    assert not compare(graph(CONV), graph(text)).reasons


def test_a_side_that_answers_otherwise_each_time() -> None:
    noise = np.random.default_rng(2)

    def run(feeds: Mapping[str, Any]) -> list[Any]:
        return [noise.standard_normal((len(feeds["x"]), 2)).astype(np.float32)]

    for sides in ((graph(AFFINE), Side("noise", run)), (Side("noise", run), graph(AFFINE))):
        reason = _only(compare(*sides))
        assert (reason.cause, reason.side) == ("randomness", "noise")


def test_of_two_faults_the_first_is_named() -> None:
    pool = "g = AveragePool<kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1>(h)"
    text = RESIZE.replace("[after] y = Relu(h)", f"{pool}\n  [after] y = Relu(g)")
    other = text.replace("count_include_pad=1", "count_include_pad=0")
    found = compare(graph(text), _planted(other, '"half_pixel"', '"align_corners"'))
    reason = _only(found)
    assert (reason.cause, reason.node, reason.at) == ("resize rule", "layer", "h")
    assert "of `h`" in "\n".join(found.lines())
    assert "first value that differs" in to_html(found)


def test_a_provider_that_computes_otherwise() -> None:
    inner = of_model(graph(AFFINE), label="broken")

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        return {n: x * np.float32(1.01) for n, x in flat(inner.run(feeds)).items()}

    reason = _only(compare(graph(AFFINE), replace(inner, run=run)))
    assert (reason.cause, reason.side) == ("precision policy", "broken")


def test_sizes_are_not_taken_for_statistics_of_the_batch() -> None:
    text = CENTRED.replace("[layer]", "s = Shape(x)\n  f = Cast<to=1>(s)\n  [layer]")
    mixed = _planted(text, "{1}", "{0}")
    reason = _only(compare(_framework(graph(CENTRED)), mixed))
    assert (reason.cause, reason.node) == ("batch mixed", "layer")


def test_a_search_that_takes_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(why, "SECONDS", 0.0)
    found = compare(graph(AFFINE), graph(AFFINE.replace("6.0", "7.0")))
    assert not found.reasons
    assert "the search for causes ended after 0 seconds" in found.notes


def test_causes_have_names_remedies_and_an_order() -> None:
    names = [c.name for c in why.causes()]
    assert len(set(names)) == len(names) >= 10
    assert all(c.name and c.remedy for c in why.causes())
    assert [c.rank for c in why.causes()] == sorted(c.rank for c in why.causes())
