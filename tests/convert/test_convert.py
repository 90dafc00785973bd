"""PyTorch modules become ONNX models that agree, or an error that says why not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from sardonyx.convert import convert, is_place, load_object
from sardonyx.core.errors import (
    ConvertError,
    Disagreement,
    NoSuchFile,
    RuntimeException,
    SardonyxError,
    UsageError,
)

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


def _refused(model: Any, *inputs: str, **settings: Any) -> ConvertError:
    with pytest.raises(ConvertError) as caught:
        convert(model, inputs, **settings)
    return caught.value


def test_a_module_becomes_a_model_with_symbolic_dims(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    shares: list[float] = []
    made = convert(nets.build(), ["x=Nx2xHxW"], path, progress=shares.append)
    assert made.agree
    assert [str(v.type) for v in made.graph.inputs] == ["float32[N,2,H,W]"]
    assert [(v.name, str(v.type)) for v in made.graph.outputs] == [("output", "float32[N,5]")]
    sizes = [row.at for row in made.comparison.rows]
    assert sizes[0] == "N=3, H=5, W=7"
    assert {"N=1, H=5, W=7", "N=1, H=1, W=1"} <= set(sizes)
    (accuracy,) = made.accuracy
    assert 0 < accuracy.ours < 1e-6
    assert 0 < accuracy.theirs < 1e-6
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    x = np.ones((2, 2, 6, 6), np.float32)
    found = sx.InferenceSession(path).run(None, {"x": x})[0]
    wanted = nets.build()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert sx.check(path) == []


def test_places_and_mappings(tmp_path: Path) -> None:
    made = convert(f"{FILE}:build", {"x": "Nx2x4x4"}, tmp_path / "net.onnx")
    assert made.agree
    same = sx.compare(f"{FILE}:build", tmp_path / "net.onnx")
    assert same.agree
    assert same.a == f"{FILE}:build"
    back = sx.compare(tmp_path / "net.onnx", f"{FILE}:build")
    assert back.agree


def test_names_of_inputs_and_outputs() -> None:
    for first, second in (("a", "b"), ("b", "a"), ("p", "q")):
        made = convert(nets.Two(), [f"{first}=Nx2", f"{second}=Nx2"])
        names = [v.name for v in made.graph.inputs]
        assert names == (["p", "q"] if first == "p" else ["a", "b"])
        outputs = [v.name for v in made.graph.outputs]
        assert outputs == ["total", "parts_0", "parts_1"]


def test_masks_made_up_let_something_through() -> None:
    torch.manual_seed(0)
    made = convert(nets.Masked(), ["ids=NxS:int64", "mask=NxS:int64"])
    assert made.agree
    assert [str(v.type) for v in made.graph.inputs] == ["int64[N,S]"] * 2


def test_data_to_compare_on() -> None:
    rows = np.random.default_rng(0).standard_normal((9, 2, 4, 4))
    made = convert(nets.build(), ["x=Nx2x4x4"], data={"x": rows.astype(np.float32)})
    assert [row.at for row in made.comparison.rows] == ["batch 1", "batch 7", "batch 9"]


def test_a_dim_that_the_code_fixes_names_the_line(tmp_path: Path) -> None:
    error = _refused(nets.Fixed(), "x=Nx2x4x4", output=tmp_path / "net.onnx")
    assert error.code == "E0603"
    assert "`N` of the input `x` became 3" in error.message
    assert error.source is not None
    assert error.source.startswith(f"{FILE}:{_line('reshape(3, 4)')} in forward")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_depends_on_the_size_is_found(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    error = _refused(nets.Branch(), "x=Nx2x4x4", output=path)
    assert isinstance(error, Disagreement)
    assert (error.code, error.exit_code) == ("E0605", 1)
    assert error.source is not None
    assert f":{_line('if x.shape[0] > 4')} " in error.source
    assert [row.at for row in error.report.rows if row.refusal] == ["N=7"]
    assert not path.exists()
    made = convert(nets.Branch(), ["x=Nx2x4x4"], path, keep=True)
    assert not made.agree
    assert path.exists()


def test_a_path_that_depends_on_values_is_refused() -> None:
    error = _refused(nets.Values(), "x=Nx2x4x4")
    assert error.code == "E0602"
    assert error.source is not None
    assert f":{_line('if x.sum() > 4')} " in error.source


def test_sizes_that_the_model_does_not_take() -> None:
    with pytest.raises(RuntimeException) as caught:
        convert(nets.Nines(), ["x=Nx3"])
    assert caught.value.code == "E0604"
    assert f":{_line('x.shape[0] // 9')} " in str(caught.value.source)
    made = convert(nets.Nines(), ["x=Nx3"], dims={"N": 18})
    assert made.agree
    assert next(row.at for row in made.comparison.rows) == "N=18"
    assert any(note.startswith("N=1 left out") for note in made.comparison.notes)


def test_sizes_are_found_that_suit_the_model() -> None:
    made = convert(nets.Groups(), ["x=Nx3"])
    assert next(row.at for row in made.comparison.rows) == "N=8"
    made = convert(nets.Prefix(), ["x=NxD", "y=MxD"], dims={"D": 4})
    assert next(row.at for row in made.comparison.rows) == "N=7, D=4, M=3"


def test_inputs_that_do_not_fit_forward() -> None:
    missing = _refused(nets.Two(), "a=Nx2")
    assert (missing.code, missing.hint) == ("E0608", "add --input b=...")
    wrong = _refused(nets.Two(), "a=Nx2", "c=Nx2")
    assert (wrong.code, wrong.wanted) == ("E0608", "a, b")


def test_an_unused_input_stays_an_input() -> None:
    made = convert(nets.Unused(), ["x=Nx2", "extra=Nx2"])
    assert [v.name for v in made.graph.inputs] == ["x", "extra"]


def test_models_of_no_known_kind() -> None:
    assert _refused(object(), "x=N").code == "E0607"
    assert _refused(f"{FILE}:number", "x=N").code == "E0607"


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (f"{FILE}:nothing", "E0601"),
        (f"{FILE}:broken", "E0601"),
        (f"{FILE}:", "E0912"),
        ("net.onnx", "E0912"),
        ("nowhere.py:build", "E0101"),
        ("no_such_module:build", "E0601"),
    ],
)
def test_places_that_hold_no_model(place: str, code: str) -> None:
    with pytest.raises(SardonyxError) as caught:
        convert(place, ["x=Nx2"])
    assert caught.value.code == code
    kinds = {"E0601": ConvertError, "E0912": UsageError, "E0101": NoSuchFile}
    assert type(caught.value) is kinds[code]


def test_the_users_own_line_when_the_code_fails() -> None:
    with pytest.raises(ConvertError) as caught:
        load_object(f"{FILE}:broken")
    assert "ZeroDivisionError" in caught.value.message
    assert f":{_line('return 1 / 0')} in broken" in str(caught.value.source)
    assert isinstance(load_object(f"{FILE}:net"), torch.nn.Module)


def test_what_is_a_place() -> None:
    for text in ("net.py:build", "a/b.py:x", "package.module:name"):
        assert is_place(text)
    for text in ("net.onnx", "a.py", "C:\\net.onnx", "dir:x/net.onnx", ""):
        assert not is_place(text)


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        (["x=Nx2", "x=Nx2"], "E0910"),
        (["x"], "E0910"),
        (["x=Nx2:text"], "E0910"),
        (["x=Nx2:string"], "E0913"),
    ],
)
def test_shapes_that_cannot_be_used(inputs: list[str], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        convert(nets.Unused(), inputs)
    assert caught.value.code == code
    with pytest.raises(UsageError):
        convert(nets.Unused(), ["x=Nx2"], dims={"M": 2})


@pytest.mark.parametrize("fails", [False, True])
def test_a_module_is_left_as_it_was(fails: bool, tmp_path: Path) -> None:
    parts = [torch.nn.Linear(3, 3), torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(3)]
    net = torch.nn.Sequential(*parts, *([nets.Counting()] if fails else []))
    net.train()
    net[2].eval()
    modes = [m.training for m in net.modules()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    path = tmp_path / "net.onnx"
    try:
        convert(net, ["x=Nx3"], path)
    except SardonyxError:
        assert fails
    assert [m.training for m in net.modules()] == modes
    for name, was in state.items():
        assert torch.equal(net.state_dict()[name], was), name
