"""Programs that import onnxruntime get Sardonyx under the version whose API it follows."""

import subprocess
import sys

import pytest

from sardonyx.core.version import __version__
from sardonyx.dropin import FOLLOWS

FACES = {
    "alias": "import sys, sardonyx; sys.modules['onnxruntime'] = sardonyx",
    "install": "import sardonyx.dropin; sardonyx.dropin.install()",
}


def _said(*lines: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("face", FACES)
def test_names_and_submodules_are_reached_by_either_name(face: str) -> None:
    code = """
import onnxruntime
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument, OrtValue
from onnxruntime.capi import _pybind_state as C
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi.onnxruntime_inference_collection import OrtValue as Held
import sardonyx, sardonyx.capi
import onnxruntime.backend, onnxruntime.quantization, onnxruntime.datasets, onnxruntime.tools
import importlib.util
print(OrtValue is Held is sardonyx.OrtValue is ort.OrtValue is C.OrtValue)
print(InvalidArgument is sardonyx.InvalidArgument is ort.capi._pybind_state.InvalidArgument)
print(InferenceSession is sardonyx.InferenceSession)
print(importlib.util.find_spec("onnxruntime") is not None)
print("CPUExecutionProvider" in C.get_available_providers())
print("OnnxRuntimeExecutionProvider" not in C.get_available_providers())
path = ort.datasets.get_example("mul_1.onnx")
print(ort.backend.run(path, [[[1.0, 1.0]] * 3], "CPU")[0].tolist() == [[1, 2], [3, 4], [5, 6]])
print(hasattr(ort, "no_such_name"))
"""
    assert _said(FACES[face], code) == ["True"] * 7 + ["False"]


def test_versions_are_those_of_the_name() -> None:
    said = "print(sardonyx.__version__, sardonyx.version)"
    assert _said("import sardonyx", said) == [__version__] * 2
    assert _said(FACES["alias"], said) == [FOLLOWS] * 2
    code = """
import importlib.metadata, onnxruntime, sardonyx
from onnxruntime.capi.build_and_package_info import __version__ as built
print(onnxruntime.__version__, onnxruntime.version, onnxruntime.get_version_string(), built)
print(importlib.metadata.version("onnxruntime"), sardonyx.__version__)
print(importlib.metadata.metadata("onnxruntime")["Name"])
print("onnxruntime" in {d.name for d in importlib.metadata.distributions()})
"""
    found = _said(FACES["install"], code)
    assert found == [FOLLOWS] * 5 + [__version__, "onnxruntime", "True"]


def test_the_version_followed_is_the_one_that_is_compared_with() -> None:
    ort = pytest.importorskip("onnxruntime")
    if ort.__version__ != FOLLOWS:
        pytest.skip("another ONNX Runtime is installed")
    assert ort.get_version_string() == FOLLOWS


def test_what_is_missing_is_told() -> None:
    code = """
import sardonyx.dropin
asked = []
sardonyx.dropin.install(asked.append)
import onnxruntime
for line in ("onnxruntime.nothing", "from onnxruntime.capi._pybind_state import Nothing",
             "import onnxruntime.training"):
    try:
        exec(line)
    except (AttributeError, ImportError):
        continue
    raise AssertionError(line)
print(*asked)
"""
    assert _said(code) == [
        "onnxruntime.nothing",
        "onnxruntime.capi.onnxruntime_pybind11_state.Nothing",
        "onnxruntime.training",
    ]
