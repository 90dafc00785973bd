"""The models of the operator sweep: valid in every form, right in a peer, and weighed."""

import math

import numpy as np
import onnxruntime
import pytest

from sardonyx.bench.accuracy import relative_error
from sardonyx.core.dtype import DType
from sardonyx.formats.onnx import to_bytes
from sardonyx.graph.evaluate import run
from singles import CASES, FORMS, Case
from singles.work import work

MEBIBYTE = 1 << 20
FLOAT32 = 1e-5
SMALLER = {"NonMaxSuppression"}  # quadratic in its boxes

each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_names_are_distinct_and_many() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 100


@each
def test_every_form_is_a_graph_of_its_own_sizes(case: Case) -> None:
    graphs = {form: case.model(form).graph for form in FORMS}
    shapes = {form: [v.shape for v in graph.inputs] for form, graph in graphs.items()}
    assert shapes["large"] != shapes["small"] != shapes["odd"] != shapes["symbolic"]
    fixed = [d for v in graphs["large"].inputs for d in v.type.dims]
    assert all(d.is_const for d in fixed)
    assert case.model("symbolic").dims
    assert any(d.free for v in graphs["symbolic"].inputs for d in v.type.dims)


@each
def test_a_peer_agrees_with_the_exact_outputs(case: Case) -> None:
    model, exact = case.model("small"), case.model("small", DType.FLOAT64)
    (feeds,) = model.feeds(1)
    wanted = run(exact.graph, exact.feeds(1)[0])
    assert [v.name for v in model.graph.outputs] == list(wanted)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        to_bytes(model.graph), options, providers=["CPUExecutionProvider"]
    )
    for got, expected in zip(session.run(None, feeds), wanted.values(), strict=True):
        assert relative_error(np.asarray(got), expected) < FLOAT32


@each
def test_large_tensors_are_large(case: Case) -> None:
    model = case.model("large")
    sizes = [
        math.prod(v.type.static_shape) * v.dtype.numpy.itemsize
        for v in model.graph.outputs
        if v.type.static_shape is not None and v.dtype is not None
    ]
    sizes += [array.nbytes for array in model.feeds(1)[0].values()]
    sizes += [v.const.numpy().nbytes for v in model.graph.initializers.values() if v.const]
    assert max(sizes) >= MEBIBYTE or case.name in SMALLER


def _flops(name: str, form: str = "large") -> int:
    (case,) = (c for c in CASES if c.name == name)
    (form,) = (f for f in FORMS if f == form)
    model = case.model(form)
    return work(model, [{}], []).flops


@pytest.mark.parametrize("form", ["large", "symbolic"])
def test_operations_of_products_are_counted(form: str) -> None:
    assert _flops("MatMul 512", form) == 2 * 512**3
    assert _flops("Gemm transB", form) == 2 * 256 * 1024 * 1024
    assert _flops("Einsum heads", form) == 2 * 2 * 12 * 128 * 128 * 64
    assert _flops("Conv 3x3", form) == 2 * 72 * 72 * 64 * 64 * 9
    assert _flops("Conv dw 3x3", form) == 2 * 112 * 112 * 64 * 9
    assert _flops("Attention", form) == 2 * 12 * 384 * 384 * (64 + 64)
    assert _flops("LSTM batch 1", form) == 2 * 50 * 4 * 512 * (256 + 512)
    assert _flops("Softmax last", form) == 0


def test_bytes_are_those_of_one_run_and_of_all_in_turns() -> None:
    (case,) = (c for c in CASES if c.name == "Gemm")
    model = case.model("small")
    feeds = model.feeds(2)
    found = work(model, feeds, [np.zeros((4, 32), np.float32)])
    fed, kept, written = 4 * 4 * 64, 4 * (64 * 32 + 32), 4 * 4 * 32
    assert (found.read, found.written) == (fed + kept, written)
    assert found.working == 2 * fed + kept + written


def test_a_gather_reads_no_more_than_it_gives() -> None:
    (case,) = (c for c in CASES if c.name == "Gather rows")
    model = case.model("small")
    found = work(model, model.feeds(1), [np.zeros((16, 32), np.float32)])
    assert found.read == found.written == 16 * 32 * 4
