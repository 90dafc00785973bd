"""Control flow, sequences, strings, signals, detection, regions, training steps."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from ops.lanes import symbolic
from ops.nn import agrees, close, normal, run_peer, whole
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidGraph, LimitExceeded, RuntimeException, UnsupportedOperator
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import Tensor
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph, Value, tensor_type
from sardonyx.ops.detect.boxes import NonMaxSuppression
from sardonyx.ops.detect.regions import MaxRoiPool, RoiAlign
from sardonyx.ops.elementwise.binary import Add, Less
from sardonyx.ops.flow.control import If, Loop, Scan
from sardonyx.ops.flow.sequences import (
    ConcatFromSequence,
    SequenceAt,
    SequenceInsert,
    SplitToSequence,
)
from sardonyx.ops.product.linear_algebra import Det
from sardonyx.ops.resample.image import ImageDecoder
from sardonyx.ops.text.strings import StringNormalizer, StringSplit, TfIdfVectorizer, texts
from sardonyx.ops.training.optimizers import Adam, Momentum
from sardonyx.ops.window.signal import DFT, STFT, BlackmanWindow, HammingWindow, HannWindow
from sardonyx.passes.infer import infer


def value(name: str, *dims: Any, dtype: DType = DType.FLOAT32) -> Value:
    return Value(name, tensor_type(dtype, dims))


def counting(limit: float) -> Graph:
    """A Loop body: total += 1, as long as total < limit; also gives every total."""
    body = Graph()
    trip, going = (value("trip", dtype=DType.INT64), value("going", dtype=DType.BOOL))
    before, after, still = (value("before"), value("after"), value("still", dtype=DType.BOOL))
    body.inputs = [trip, going, before]
    one = body.constant(Tensor.of(np.float32(1)), "one")
    most = body.constant(Tensor.of(np.float32(limit)), "most")
    body.append(Add(), [before, one], [after])
    body.append(Less(), [after, most], [still])
    body.outputs = [still, after, after]
    return body


def looped(trips: int | None, limit: float, limits: Limits | None = None) -> dict[str, Any]:
    graph = Graph(opsets={"": 21})
    start = value("start")
    graph.inputs = [start]
    most = None if trips is None else graph.constant(Tensor.of(np.int64(trips)), "trips")
    total, every = value("total"), Value("every")
    op = Loop(body=counting(limit), outputs=2)
    graph.append(op, [most, None, start], [total, every])
    graph.outputs = [total, every]
    infer(graph)
    assert every.type.rank == 1
    return run(graph, {"start": np.float32(0) * np.ones((), np.float32)}, limits=limits)


def test_a_loop_ends_at_its_trips_or_its_condition() -> None:
    assert looped(3, 100)["every"].tolist() == [1, 2, 3]
    assert looped(30, 5)["every"].tolist() == [1, 2, 3, 4, 5]
    assert looped(None, 2)["total"] == 2
    assert looped(0, 5)["every"].shape == (0,)


def test_a_loop_without_end_meets_its_budget() -> None:
    with pytest.raises(LimitExceeded, match="E0508"):
        looped(2**62, np.inf, Limits().changed({"trips": 1000}))


def test_if_runs_one_branch() -> None:
    graph = Graph(opsets={"": 21})
    cond, x = value("cond", dtype=DType.BOOL), value("x", 2)
    graph.inputs = [cond, x]
    branches = []
    for amount in (1, 10):
        branch = Graph()
        out = value("out", 2)
        branch.append(Add(), [x, branch.constant(Tensor.of(np.float32(amount)))], [out])
        branch.outputs = [out]
        branches.append(branch)
    y = Value("y")
    graph.append(If(then_branch=branches[0], else_branch=branches[1]), [cond], [y])
    graph.outputs = [y]
    infer(graph)
    assert str(y.type) == "float32[2]"
    for flag, wanted in ((True, 1), (False, 10)):
        found = run(graph, {"cond": np.array(flag), "x": np.zeros(2, np.float32)})
        assert found["y"].tolist() == [wanted] * 2


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan_sums_along_any_axis(backwards: int) -> None:
    body = Graph()
    state, row, total = (value("state", 2), value("row", 2), value("sum", 2))
    body.inputs = [state, row]
    body.append(Add(), [state, row], [total])
    body.outputs = [total, total]
    op = Scan(
        body=body,
        num_scan_inputs=1,
        scan_input_axes=(1,),
        scan_output_axes=(1,),
        scan_input_directions=(backwards,),
        scan_output_directions=(backwards,),
    )
    graph = Graph(opsets={"": 21})
    start, x = value("start", 2), value("x", 2, 4)
    graph.inputs, last, every = ([start, x], Value("last"), Value("every"))
    graph.append(op, [start, x], [last, every])
    graph.outputs = [last, every]
    infer(graph)
    assert every.type.static_shape == (2, 4)
    data = normal(0, 2, 4)
    found = run(graph, {"start": np.zeros(2, np.float32), "x": data})
    walked = data[:, ::-1] if backwards else data
    wanted = np.cumsum(walked, axis=1)
    close(found["every"], wanted[:, ::-1] if backwards else wanted)
    close(found["last"], data.sum(1))


def test_sequences() -> None:
    x = normal(0, 5, 2)
    (parts,) = SplitToSequence().reference(x, np.array(2))
    assert [len(p) for p in parts] == [2, 2, 1]
    close(ConcatFromSequence(axis=0).reference(parts), x)
    (longer,) = SequenceInsert().reference(parts, x, np.array(-1))
    assert SequenceAt().reference(longer, np.array(2)) is x
    for bad in (4, -5):
        with pytest.raises(RuntimeException, match="E0404"):
            SequenceAt().reference(longer, np.array(bad))
    with pytest.raises(RuntimeException, match="E0404"):
        SplitToSequence().reference(x, np.array([2, 2]))


@pytest.mark.parametrize("sizes", [[0, 0], [2, 2], [0], [1, 3]])
def test_parts_of_no_elements_are_split_off_too(sizes: list[int]) -> None:
    x = value("x", sum(sizes), 3)
    graph = Graph(opsets={"": 17})
    graph.inputs = [x]
    wanted = graph.constant(Tensor.of(np.array(sizes)), "sizes")
    parts = Value("parts")
    graph.append(SplitToSequence(), [x, wanted], [parts])
    graph.outputs = [parts]
    infer(graph)
    elem = parts.type.elem
    assert elem is not None
    assert elem.shape is not None
    assert elem.shape[0].is_const == (len(set(sizes)) == 1)
    (found,) = run(graph, {"x": np.ones((sum(sizes), 3), np.float32)}).values()
    assert [len(p) for p in found] == sizes


def test_strings() -> None:
    words = texts(["a b  c", "", "x"], (3,))
    parts, counts = StringSplit().reference(words)
    assert parts.tolist() == [["a", "b", "c"], ["", "", ""], ["x", "", ""]]
    assert counts.tolist() == [3, 0, 1]
    parts, _ = StringSplit(delimiter=" ", maxsplit=1).reference(words)
    assert parts.tolist()[0] == ["a", "b  c"]
    op = StringNormalizer(case_change_action="UPPER", stopwords=("B",))
    assert op.reference(texts(["a", "b"], (2,))).tolist() == ["A"]
    assert op.reference(texts(["b"], (1, 1))).tolist() == [[""]]


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skips", [0, 1, 5])
def test_grams_are_counted_as_the_onnx_runtime_does(mode: str, skips: int) -> None:
    settings: dict[str, Any] = {
        "mode": mode,
        "min_gram_length": 1,
        "max_gram_length": 2,
        "max_skip_count": skips,
        "ngram_counts": (0, 4),
        "ngram_indexes": (0, 1, 2, 3, 4, 5, 6),
        "pool_int64s": (2, 3, 5, 4, 5, 6, 7, 8, 6, 7),
        "weights": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),
    }
    x = whole(0, 2, 9, 3, 12, dtype=np.int32)
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
    wanted = run_peer("TfIdfVectorizer", [x], 9, np.float32, **lists)
    close(TfIdfVectorizer(**settings).reference(x), wanted)


def test_transforms_are_numpys() -> None:
    x = normal(0, 2, 10, 1)
    plain = DFT().reference(x)
    close(plain[..., 0] + 1j * plain[..., 1], np.fft.fft(x[..., 0]).astype(np.complex64), 1e-4)
    half = DFT(onesided=1).reference(x)
    close(half, plain[:, :6])
    close(DFT(onesided=1, inverse=1).reference(half), x)
    close(DFT(inverse=1).reference(plain)[..., :1], x)
    padded = DFT().reference(x, np.array(16), np.array(1))
    assert padded.shape == (2, 16, 2)


def test_frames_are_torchs() -> None:
    import torch

    x, window = normal(0, 2, 40), np.abs(normal(1, 16))
    parts = (torch.from_numpy(a) for a in (x, window))
    signal, taper = parts
    made = torch.stft(
        signal, 16, 4, window=taper, center=False, return_complex=True, onesided=True
    ).numpy()
    y = STFT().reference(x[..., None], np.array(4), window)
    close(y[..., 0] + 1j * y[..., 1], made.swapaxes(1, 2), 1e-4)


@pytest.mark.parametrize("periodic", [0, 1])
def test_windows(periodic: int) -> None:
    import torch

    size = np.array(9)
    for kind, name in ((HannWindow, "hann_window"), (BlackmanWindow, "blackman_window")):
        wanted = getattr(torch, name)(9, periodic=bool(periodic)).numpy()
        close(kind(periodic=periodic).reference(size), wanted)
    assert HammingWindow().reference(np.array(1)).tolist() == pytest.approx([25 / 46 - 21 / 46])


def test_determinants() -> None:
    for n in (1, 2, 3, 4):
        x = normal(n, 5, n, n)
        agrees(Det(), [x], [[0]], np.linalg.det(x), 1e-4)
    with pytest.raises(InvalidGraph, match="E0322"):
        Det().infer(*symbolic([normal(0, 3, 4)], [])[0])


def test_suppression_agrees_with_the_onnx_runtime() -> None:
    corners = np.abs(normal(0, 2, 30, 2)) * 3
    boxes = np.concatenate([corners, corners + np.abs(normal(1, 2, 30, 2))], axis=2)
    scores = normal(2, 2, 3, 30)
    extras = [np.array([7]), np.array([0.3], np.float32), np.array([-0.5], np.float32)]
    arrays = [boxes, scores, *extras]
    wanted = run_peer("NonMaxSuppression", arrays, 11, np.int64)
    assert NonMaxSuppression().reference(*arrays).tolist() == wanted.tolist()
    assert NonMaxSuppression().reference(boxes, scores).shape == (0, 3)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_regions_agree_with_the_onnx_runtime(mode: str, ratio: int) -> None:
    x, batches = normal(0, 2, 3, 9, 8), np.array([0, 1, 1])
    corners = np.abs(normal(1, 3, 2)) * 4
    rois = np.concatenate([corners, corners + 1 + np.abs(normal(2, 3, 2)) * 6], axis=1)
    settings: dict[str, Any] = {"mode": mode, "sampling_ratio": ratio, "spatial_scale": 0.5}
    settings |= {"output_height": 3, "output_width": 2}
    wanted = run_peer("RoiAlign", [x, rois, batches], 16, np.float32, **settings)
    close(RoiAlign(**settings).reference(x, rois, batches), wanted, 1e-4)
    with pytest.raises(RuntimeException, match="E0404"):
        RoiAlign(**settings).reference(x, rois, np.array([0, 1, 2]))


def test_max_of_regions_agrees_with_the_onnx_runtime() -> None:
    x = normal(0, 2, 3, 9, 8)
    rois = np.array([[0, 1, 2, 6, 7], [1, 0, 0, 15, 17], [1, 4, 4, 4, 4]], np.float32)
    settings: dict[str, Any] = {"pooled_shape": [3, 2], "spatial_scale": 0.5}
    wanted = run_peer("MaxRoiPool", [x, rois], 1, np.float32, **settings)
    close(MaxRoiPool(pooled_shape=(3, 2), spatial_scale=0.5).reference(x, rois), wanted)


def test_optimizer_steps_are_torchs() -> None:
    import torch

    x, g = normal(0, 4), normal(1, 4)
    rate, first = (np.float32(0.1) * np.ones((), np.float32), np.array(1))
    weight = torch.nn.Parameter(torch.from_numpy(x.copy()))
    weight.grad = torch.from_numpy(g)
    torch.optim.Adam([weight], 0.1, eps=1e-6).step()
    zero = np.zeros(4, np.float32)
    close(Adam().reference(rate, first, x, g, zero, zero)[0], weight.detach().numpy(), 1e-4)
    weight = torch.nn.Parameter(torch.from_numpy(x.copy()))
    weight.grad = torch.from_numpy(g)
    torch.optim.SGD([weight], 0.1, momentum=0.9, nesterov=True).step()
    op = Momentum(alpha=0.9, beta=1.0, mode="nesterov", norm_coefficient=0.0)
    close(op.reference(rate, np.array(0), x, g, zero)[0], weight.detach().numpy())


def test_images_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UnsupportedOperator, match="ImageDecoder"):
        ImageDecoder().reference(np.zeros(3, np.uint8))
