"""The page of ONNX Runtime's names lists what the installed one has, and what is absent here."""

import importlib
import warnings
from types import ModuleType
from typing import Any

import pytest

import dropin_page

ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.skipif(
    ort.__version__ != dropin_page.FOLLOWED, reason="another ONNX Runtime is installed"
)


def _public(thing: Any) -> set[str]:
    return {n for n in dir(thing) if not n.startswith("_")}


def test_every_name_of_the_module_has_a_row_or_is_said_to_be_absent() -> None:
    submodules = {"backend", "datasets", "quantization", "tools", "transformers"}
    listed = {*dropin_page.homes(), *dropin_page.ABSENT["onnxruntime"]}
    assert _public(ort) - submodules <= listed
    below = _public(ort.capi.onnxruntime_pybind11_state)
    assert listed - _public(ort) <= below


@pytest.mark.parametrize("module", ["capi.onnxruntime_pybind11_state", "quantization"])
def test_every_name_of_a_submodule_has_a_row_or_is_said_to_be_absent(module: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = importlib.import_module(f"onnxruntime.{module}")
    made = {n for n in _public(theirs) if not isinstance(getattr(theirs, n), ModuleType)}
    ours = {n for group in dropin_page.MODULES[module].values() for n in group}
    assert made - ours == set(dropin_page.ABSENT[f"onnxruntime.{module}"])


@pytest.mark.parametrize("kind", dropin_page.CLASSES)
def test_every_member_is_listed(kind: str) -> None:
    lines = dropin_page.page("").splitlines()
    start = lines.index(f"- `{kind}`")
    told = ""
    for line in lines[start + 1 :]:
        if not line.startswith("  - "):
            break
        told += line
    for name in _public(getattr(ort, kind)):
        assert f"`{name}`" in told, name
