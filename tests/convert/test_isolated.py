"""Frameworks in an interpreter of their own: how it is made, and what it answers."""

import sys
from pathlib import Path

import pytest

from sardonyx.convert import convert, isolated, recognise
from sardonyx.convert.recognise import frameworks, source_of
from sardonyx.convert.source import Controls, Request
from sardonyx.core.errors import ConvertError, RuntimeException, UsageError
from sardonyx.core.knobs import override

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from convert import nets  # noqa: E402 - only where torch is

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
KERAS = next(f for f in frameworks() if f.name == "Keras")
UV = """#!{python}
import pathlib, sys
with open({log!r}, "a") as log:
    print(*sys.argv[1:3], file=log)
if sys.argv[1] == "venv":
    pathlib.Path(sys.argv[-1]).mkdir()
sys.exit({code})
"""


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch as a framework with an environment, which is the one of the tests."""
    pytorch = next(f for f in frameworks() if f.name == "PyTorch")
    monkeypatch.setattr(type(pytorch), "environment", ("torch",))
    monkeypatch.setattr(recognise, "interpreter", lambda *_: Path(sys.executable))


def _uv(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> Path:
    log = folder / "log"
    log.touch()
    script = folder / "uv"
    script.write_text(UV.format(python=sys.executable, log=str(log), code=code))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return log


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _uv(tmp_path, monkeypatch)
    told: list[str] = []
    with override(cache_dir=tmp_path / "cache"):
        first = isolated.interpreter(KERAS, told.append)
        second = isolated.interpreter(KERAS, told.append)
    assert first == second
    assert first.is_relative_to(tmp_path / "cache" / "environments")
    assert log.read_text().splitlines() == ["venv --quiet", "pip install"]
    assert len(told) == 1
    assert "keras==" in told[0]


def test_without_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _uv(tmp_path, monkeypatch, code=2)
    with override(cache_dir=tmp_path / "cache"), pytest.raises(ConvertError) as caught:
        isolated.interpreter(KERAS)
    assert caught.value.code == "E0611"
    monkeypatch.setattr(isolated, "_command", lambda: None)
    (tmp_path / "net.keras").write_bytes(b"")
    with override(cache_dir=tmp_path / "cache"), pytest.raises(ConvertError) as caught:
        convert(tmp_path / "net.keras")
    assert "pip install uv" in str(caught.value.hint)
    with pytest.raises(ConvertError) as caught:
        convert(tmp_path / "net.keras", in_process=True)
    assert caught.value.code in ("E0607", "E0601")


@pytest.mark.usefixtures("apart")
def test_a_conversion_in_another_interpreter(tmp_path: Path) -> None:
    net, x = nets.build().eval(), torch.ones(2, 2, 6, 6)
    torch.jit.save(torch.jit.trace(net, x), str(tmp_path / "net.ts"))
    made = convert(tmp_path / "net.ts", ["x=Nx2x6x6"], tmp_path / "net.onnx", opset=18)
    assert made.agree
    assert made.framework == "PyTorch"
    assert made.contract is not None
    assert made.contract.versions["torch"] == torch.__version__
    assert len(made.accuracy) == 1
    wrong = Request(controls=Controls(exact=True))
    with pytest.raises(UsageError) as refused:
        source_of(tmp_path / "net.ts", wrong)
    assert refused.value.code == "E0612"
    with pytest.raises(RuntimeException) as caught:
        convert(tmp_path / "net.ts", ["x=Nx5"])
    assert caught.value.code == "E0604"


@pytest.mark.usefixtures("apart")
def test_an_interpreter_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_START", "raise SystemExit('nothing here')  # {init} {folder}")
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(tmp_path / "net.ts"))
    with pytest.raises(ConvertError) as caught:
        convert(tmp_path / "net.ts", ["x=N"])
    assert caught.value.code == "E0611"
    assert "nothing here" in caught.value.message
