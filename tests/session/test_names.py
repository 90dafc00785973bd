"""Every name that a script for ONNX Runtime uses exists here too."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from sardonyx.core.errors import NotImplemented as Unsupported
from sardonyx.session.options import NO_EFFECT
from session.models import AFFINE, encoded

ort = pytest.importorskip("onnxruntime")
SOURCE = Path(sx.__file__).read_text(encoding="utf-8")

# What ONNX Runtime's module imports for itself.
ABSENT = {"contextlib", "import_capi_exception", "onnxruntime_validation"}


def _public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


KINDS = [
    *("SessionOptions", "RunOptions", "InferenceSession", "OrtValue", "IOBinding"),
    *("NodeArg", "ModelMetadata", "OrtDevice", "OrtMemoryInfo", "OrtEpDevice", "SparseTensor"),
    *("OrtArenaCfg", "OrtHardwareDevice", "OrtEpAssignedNode", "OrtEpAssignedSubgraph"),
    *("OrtExternalInitializerInfo", "LoraAdapter", "AdapterFormat", "ModelCompiler"),
]
MADE: dict[str, tuple[Any, ...]] = {
    "OrtMemoryInfo": ("Cpu", 1, 0, 0),
    "OrtEpDevice": ("CPUExecutionProvider", "1"),
    "OrtArenaCfg": ({},),
    "OrtHardwareDevice": (),
    "OrtEpAssignedSubgraph": ("CPUExecutionProvider", []),
}


@pytest.mark.parametrize("kind", KINDS)
def test_class_has_every_name(kind: str) -> None:
    theirs, ours = getattr(ort, kind), getattr(sx, kind)
    have = _public(ours) | set(getattr(ours, "__dataclass_fields__", ()))
    if kind in MADE:
        have |= _public(ours(*MADE[kind]))
    assert _public(theirs) - have == set()


def test_module_has_every_name() -> None:
    assert _public(ort) - set(dir(sx)) == ABSENT


@pytest.mark.parametrize(
    "kind",
    [
        *("InferenceSession", "OrtValue", "IOBinding", "SparseTensor", "OrtDevice"),
        *("ModelCompiler", "AdapterFormat"),
    ],
)
def test_arguments_have_the_same_names_in_the_same_places(kind: str) -> None:
    theirs, ours = getattr(ort, kind), getattr(sx, kind)
    for name in ["__init__", *_public(theirs)]:
        wanted = [p for p in inspect.signature(getattr(theirs, name)).parameters if p != "kwargs"]
        assert [*inspect.signature(getattr(ours, name)).parameters][: len(wanted)] == wanted, name


def test_the_binding_below_has_every_name() -> None:
    theirs, ours = (m.capi.onnxruntime_pybind11_state for m in (ort, sx))
    assert {n for n in _public(theirs) - set(dir(ours)) if not n.startswith("quantize")} == set()
    for name in dir(ours):
        assert getattr(ours, name) is not None


@pytest.mark.parametrize(
    "make",
    [
        sx.ModelPackage,
        lambda: sx.ModelPackage.open("folder"),
        lambda: sx.ModelPackage.compute_directory_hash("folder"),
        lambda: sx.ModelPackageContext("folder"),
        lambda: sx.ModelPackageOptions(sx.SessionOptions()),
        sx.ModelPackageComponentContext,
    ],
)
def test_model_packages_are_refused_with_what_to_do_instead(make: Callable[[], Any]) -> None:
    with pytest.raises(Unsupported, match="pass the model file of a variant") as caught:
        make()
    assert caught.value.code == "E0256"


def test_exceptions_have_the_same_names() -> None:
    state = ort.capi.onnxruntime_pybind11_state
    ours = sx.capi.onnxruntime_pybind11_state
    for name in dir(state):
        kind = getattr(state, name)
        if inspect.isclass(kind) and issubclass(kind, Exception):
            assert issubclass(getattr(sx, name), sx.SardonyxError)
            assert getattr(ours, name) is getattr(sx, name)


@pytest.mark.parametrize("kind", ["SessionOptions", "RunOptions"])
def test_every_setting_can_be_set_to_what_it_is_by_default(kind: str) -> None:
    theirs, ours = getattr(ort, kind)(), getattr(sx, kind)()
    for name in _public(theirs):
        value = getattr(theirs, name)
        if callable(value):
            continue
        if hasattr(value, "value"):
            assert int(getattr(ours, name)) == int(value)
        else:
            assert getattr(ours, name) == value
            setattr(ours, name, value)


@pytest.mark.parametrize("kind", NO_EFFECT)
def test_names_without_effect_exist(kind: str) -> None:
    made = getattr(sx, kind)()
    for name in NO_EFFECT[kind]:
        assert hasattr(made, name)


def test_enums_have_the_same_values() -> None:
    state = ort.capi.onnxruntime_pybind11_state
    kinds = [n for n in dir(state) if hasattr(vars(state)[n], "__members__") and n[0] != "k"]
    assert len(kinds) > 12
    for kind in kinds:
        theirs = getattr(state, kind).__members__
        ours = getattr(sx.capi.onnxruntime_pybind11_state, kind).__members__
        assert {n: int(v) for n, v in theirs.items()} == {n: int(v) for n, v in ours.items()}


SCRIPT = """
import numpy as np

def main(ort, model):
    ort.set_default_logger_severity(3)
    ort.set_default_logger_callback(print, 3)
    ort.set_default_logger_callback(None)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    assert ort.get_device() == "CPU"
    assert "CPUExecutionProvider" in ort.get_available_providers()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = [d if isinstance(d, int) else 2 for d in given.shape]
    x = np.ones(shape, np.float32)
    names = [o.name for o in session.get_outputs()]
    plain = session.run(names, {given.name: x})
    run = ort.RunOptions()
    run.log_severity_level = 3
    again = session.run(None, {given.name: x}, run)
    value = ort.OrtValue.ortvalue_from_numpy(x)
    held = session.run_with_ort_values(names, {given.name: value})[0]
    binding = session.io_binding()
    binding.bind_cpu_input(given.name, x)
    binding.bind_output(names[0])
    session.run_with_iobinding(binding)
    bound = binding.copy_outputs_to_cpu()[0]
    for found in (again[0], held.numpy(), bound):
        np.testing.assert_array_equal(found, plain[0])
    try:
        session.run(None, {given.name: x.astype(np.float64)})
    except ort.capi.onnxruntime_pybind11_state.InvalidArgument as error:
        assert given.name in str(error) or "double" in str(error)
    else:
        raise AssertionError
    return plain[0], held.data_type(), held.shape(), session.get_modelmeta().graph_name
"""


def test_a_typical_script_runs_with_both() -> None:
    scope: dict[str, Any] = {}
    exec(SCRIPT, scope)
    theirs, ours = (scope["main"](m, encoded(AFFINE)) for m in (ort, sx))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)
    assert ours[1:] == theirs[1:]


def test_lazy_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(SOURCE)
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {
        (node.module, alias.asname)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
        if alias.asname is not None
    }
    lazy = {(f"sardonyx.{m}", n) for m, names in sx._PLACES.items() for n in names}
    assert seen == lazy


def test_every_lazy_name_can_be_imported() -> None:
    for name in sx._HOME:
        assert getattr(sx, name) is not None
    with pytest.raises(AttributeError):
        sx.InferenceSessoin  # noqa: B018


def _fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_verbs_stay_functions_when_their_packages_are_imported() -> None:
    code = """
import sardonyx.compare.metrics, sardonyx.convert, sardonyx.bench
import sardonyx as sx
from sardonyx.compare import Side
print(all(callable(f) and f.__name__ == n for n, f in (
    ("compare", sx.compare), ("convert", sx.convert), ("bench", sx.bench))))
"""
    assert _fresh(code) == "True"


def test_import_needs_neither_numpy_nor_the_rest() -> None:
    code = "import sardonyx, sys; print({'numpy', 'click', 'rich'} & set(sys.modules))"
    assert _fresh(code) == "set()"


def test_a_main_program_that_uses_the_module_can_be_pickled() -> None:
    code = """
import pickle, joblib, sardonyx as sx
def version(_):
    return sx.__version__
assert pickle.loads(pickle.dumps(sx)) is sx
found = joblib.Parallel(2, backend="loky")(joblib.delayed(version)(n) for n in range(2))
print(found == [sx.__version__] * 2)
"""
    assert _fresh(code) == "True"
