"""PyTorch's three captures, every form of inputs, and what a review of the trace names."""

from pathlib import Path

import numpy as np
import pytest

import sardonyx as sx
from sardonyx.convert import convert, replay
from sardonyx.core.errors import ConvertError, Disagreement, UsageError
from sardonyx.graph.origin import source_line

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from convert import nets  # noqa: E402 - only where torch is

FILE = Path(nets.__file__)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def _line(text: str) -> int:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return next(n + 1 for n, line in enumerate(lines) if text in line)


@pytest.mark.parametrize("capture", ["export", "trace", "script"])
def test_captures(capture: str) -> None:
    made = convert(nets.build(), ["x=Nx2xHxW"], capture=capture, opset=18, output_names=["y"])
    assert made.agree
    assert made.graph.opsets[""] == 18
    assert [(v.name, str(v.type)) for v in made.graph.outputs] == [("y", "float32[N,5]")]
    names = {v.name for v in made.graph.initializers.values()}
    assert {"conv.weight", "last.weight"} <= names
    lines = [str(source_line(n)) for n in made.graph.nodes]
    if capture != "script":
        assert any(f"nets.py:{_line('torch.relu(self.conv(x))')} in forward" in x for x in lines)


def test_scripting_keeps_a_loop() -> None:
    made = convert(nets.Scripted(), ["x=Nx2"], capture="script")
    assert made.agree
    assert "Loop" in made.to_dict()["operators"]
    with pytest.raises(ConvertError):
        convert(nets.Scripted(), ["x=Nx2"], capture="export")
    with pytest.raises(UsageError, match="capture"):
        convert(nets.Scripted(), ["x=Nx2"], capture="guess")


@pytest.mark.parametrize("capture", ["export", "trace"])
def test_entries_of_a_mapping_are_inputs(capture: str) -> None:
    shapes = ["batch.ids=NxT:int64", "batch.mask=NxT"]
    made = convert(nets.Batch(), shapes, capture=capture)
    assert made.agree
    assert [v.name for v in made.graph.inputs] == ["batch.ids", "batch.mask"]
    assert [str(v.type) for v in made.graph.outputs] == ["float32[N,T,8]", "float32[N,8]"]
    with pytest.raises(ConvertError) as error:
        convert(nets.Batch(), ["ids=NxT:int64", "mask=NxT"])
    assert "--input batch.ids=..." in str(error.value.hint)


def test_a_dataclass_a_tuple_and_a_keyword() -> None:
    shapes = ["pair.left=NxK", "pair.right=NxM", "rest.0=N", "rest.1=N", "weight=KxM"]
    made = convert(nets.Paired(), shapes)
    assert made.agree
    assert [v.name for v in made.graph.inputs] == [s.partition("=")[0] for s in shapes]


@pytest.mark.parametrize("capture", ["export", "trace"])
def test_examples_as_inputs(capture: str) -> None:
    x = torch.ones(3, 4)
    pair = nets.Pair(x, torch.ones(3, 5), 3.0)
    example = {"pair": pair, "rest": (x[:, 0], x[:, 1]), "weight": np.ones((4, 5), np.float32)}
    dims = {"pair.left": "Nx4", "pair.right": "Nx5", "rest.0": "N", "rest.1": "N"}
    made = convert(nets.Paired(), example, dynamic=dims, capture=capture)
    assert made.agree
    assert [str(v.type) for v in made.graph.outputs] == ["float32[N,5]", "float32[N]"]
    found = sx.InferenceSession(sx.formats.to_bytes(made.graph)).run(
        None,
        {
            "pair.left": np.ones((2, 4), np.float32),
            "pair.right": np.ones((2, 5), np.float32),
            "rest.0": np.ones(2, np.float32),
            "rest.1": np.ones(2, np.float32),
            "weight": np.ones((4, 5), np.float32),
        },
    )
    np.testing.assert_array_equal(found[0], np.full((2, 5), 7, np.float32))


def test_files_of_pytorch(tmp_path: Path) -> None:
    net = nets.build().eval()
    x = torch.ones(2, 2, 6, 6)
    batch = torch.export.Dim("batch", min=1)
    torch.export.save(
        torch.export.export(net, (x,), dynamic_shapes={"x": {0: batch}}), tmp_path / "net.pt2"
    )
    torch.jit.save(torch.jit.trace(net, x), str(tmp_path / "net.ts"))
    torch.save(net, tmp_path / "net.pt")
    made = convert(tmp_path / "net.pt2")
    assert made.agree
    assert [str(v.type)[-7:] for v in made.graph.inputs] == [",2,6,6]"]
    assert convert(tmp_path / "net.ts", ["x=Nx2x6x6"]).agree
    with pytest.raises(ConvertError) as error:
        convert(tmp_path / "net.pt", ["x=Nx2x6x6"])
    assert error.value.code == "E0610"
    assert convert(tmp_path / "net.pt", ["x=Nx2x6x6"], trust=True).agree
    (tmp_path / "bad.pt2").write_bytes(b"nothing")
    with pytest.raises(ConvertError) as broken:
        convert(tmp_path / "bad.pt2")
    assert broken.value.code == "E0601"


def test_the_review_names_what_a_trace_took_for_granted() -> None:
    made = convert(nets.Stepping().train(), ["x=Nx4"])
    found = {r.kind: str(r.source) for r in made.remarks}
    assert set(found) == {"training mode", "float64", "unrolled loop", "frozen branch"}
    assert f"nets.py:{_line('for _ in range(3):')}: " in found["unrolled loop"]
    assert f"nets.py:{_line('x.double() * 2.5')} in forward" in found["float64"]
    assert f"nets.py:{_line('if x.shape[0] > 2')} in forward" in found["frozen branch"]
    loop = next(r for r in made.remarks if r.kind == "unrolled loop")
    assert "3 turns" in loop.text


def test_tracing_tells_of_frozen_branches() -> None:
    net = nets.Branch()
    with pytest.raises(Disagreement) as error:
        convert(net, ["x=Nx2x4x4"], capture="trace")
    assert f":{_line('if x.shape[0] > 4')}: if x.shape[0] > 4" in str(error.value.source)
    assert "frozen branch" not in {r.kind for r in convert(nets.build(), ["x=Nx2x4x4"]).remarks}


def test_randomness_is_named() -> None:
    made = convert(nets.Noisy(), ["x=Nx2"])
    (remark,) = made.remarks
    assert remark.kind == "randomness"
    assert f"nets.py:{_line('torch.randn')} in forward" in str(remark.source)


def test_a_buffer_that_forward_changes_is_named() -> None:
    net = nets.Remembering()
    made = convert(net, ["x=Nx2"], keep=True)
    (remark,) = [r for r in made.remarks if r.kind == "state"]
    assert "`last`" in remark.text
    assert f":{_line('self.last += x.sum(0)')} in forward" in str(remark.source)
    assert net.last.tolist() == [0.0, 0.0]


def test_what_scripting_cannot_read_names_the_line() -> None:
    with pytest.raises(ConvertError) as error:
        convert(nets.Branch(), ["x=Nx2x4x4"], capture="script")
    assert error.value.code == "E0602"
    assert "nets.py:" in str(error.value.source)
    assert "annotated" in str(error.value.hint)


def test_controls_of_other_kinds_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        convert(nets.build(), ["x=Nx2x4x4"], exact=True)
    assert caught.value.code == "E0612"
    with pytest.raises(UsageError, match="2 names for 1"):
        convert(nets.build(), ["x=Nx2x4x4"], output_names=["a", "b"])


def test_parameters_outside_and_among_the_inputs(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    convert(
        nets.Batch(), ["batch.ids=N:int64", "batch.mask=N"], path, parameters="inputs", keep=True
    )
    assert "table.weight" in {v.name for v in sx.load(path).inputs}


def test_ranges_bound_the_sizes_tried() -> None:
    made = convert(nets.build(), ["x=Nx2x4x4"], dims={"N": range(2, 9)})
    tried = [row.at for row in made.comparison.rows]
    assert {"N=2", "N=8"} <= set(tried)
    assert not any(at.endswith("N=1") for at in tried)


def test_modules_that_stay_functions(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    assert convert(nets.Stack(), ["x=Nx4"], path, functions=["Block"]).agree
    graph = sx.load(path)
    assert [key[:2] for key in graph.functions] == [("sardonyx.modules", "Block_1")]
    assert [n.op.op_type for n in graph.nodes] == ["Block_1"] * 3 + ["Mul"]
    assert {"blocks.0.a.weight", "blocks.2.b.weight"} <= set(graph.initializers)
    for provider in ("CPUExecutionProvider", "onnxruntime"):
        assert replay(graph, provider).agree
    with pytest.raises(ConvertError) as caught:
        convert(nets.Stack(), ["x=Nx4"], functions=["Attention"])
    assert caught.value.code == "E0612"
