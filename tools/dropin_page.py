"""The page of ONNX Runtime's names: which of them mean the same, are mapped, do nothing, refuse."""

import inspect
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import sardonyx
from sardonyx.dropin import names
from sardonyx.dropin.face import FOLLOWS
from sardonyx.session.options import NO_EFFECT

FOLLOWED = FOLLOWS
INTRODUCTION = f"""# ONNX Runtime's names

What each public name of onnxruntime {FOLLOWS} means here: by `import sardonyx as onnxruntime`, by
`sys.modules["onnxruntime"] = sardonyx`, and in [programs run unchanged](../commands/exec.md).

| state | means |
|---|---|
| same | does what ONNX Runtime documents |
| mapped | does it in Sardonyx's way: the line says how |
| no-op | is accepted and does nothing |
| refused | raises an error that says what to do instead |

The version of the face (`onnxruntime.__version__`, `importlib.metadata.version("onnxruntime")`) is
{FOLLOWS}. Names of ONNX Runtime's that begin with `_` exist where programs reach through them
(`OrtValue._ortvalue`, `InferenceSession._sess`, `IOBinding._iobinding`): the thing below is the
thing itself."""

MAPPED = {
    "dropin.compiling",
    "dropin.examples",
    "dropin.kernels",
    "dropin.models",
    "dropin.quantizing",
    "providers.registry",
}
STARTS = {
    "Accepted": "no-op",
    "Kept for": "no-op",
    "NotImplemented": "refused",
    "The version of Sardonyx": "mapped",
}
OWN = {"OrtMemoryInfo": ("Cpu", 1, 0, 0), "OrtEpDevice": ("CPUExecutionProvider", "")}
CLASSES = (
    *("InferenceSession", "SessionOptions", "RunOptions", "OrtValue", "IOBinding", "SparseTensor"),
    *("OrtDevice", "OrtMemoryInfo", "OrtEpDevice", "ModelMetadata", "NodeArg", "ModelCompiler"),
    *("AdapterFormat", "LoraAdapter"),
)
MODULES = {
    "capi.onnxruntime_pybind11_state": names.STATE,
    "quantization": names.QUANTIZATION,
    "tools.symbolic_shape_infer": names.SHAPES,
    "transformers.optimizer": names.TRANSFORMERS,
    "datasets": names.DATASETS,
}
ABSENT = {
    "onnxruntime": ("contextlib", "import_capi_exception", "onnxruntime_validation"),
    "onnxruntime.capi.onnxruntime_pybind11_state": (
        *("quantize_matmul_2bits", "quantize_matmul_4bits", "quantize_matmul_8bits"),
        *("quantize_matmul_bnb4", "quantize_qdq_matmul_2bits", "quantize_qdq_matmul_4bits"),
    ),
    "onnxruntime.quantization": (
        *("CalibraterBase", "CudaQuantizer", "MinMaxCalibrater", "QDQQuantizer", "TensorData"),
        *("TensorsData", "create_calibrator", "get_qdq_config", "load_tensors_data"),
        *("save_tensors_data", "write_calibration_table"),
    ),
}


def homes() -> dict[str, str]:
    """ONNX Runtime's names in the module itself, with the modules of ours that they are of."""
    below = {n for group in names.STATE.values() for n in group}
    found = {
        name: place
        for name, place in sardonyx._HOME.items()
        if place.startswith(("dropin", "session")) or name in below
    }
    return {**found, "capi": "dropin.modules", "version": "dropin.face"}


def page(note: str) -> str:
    """The whole page."""
    return "\n".join(_lines(note))


def _lines(note: str) -> Iterator[str]:
    yield from (note, INTRODUCTION, "", "## `onnxruntime`", "")
    yield from _table(homes())
    yield from ("", "## Members of classes", "")
    for kind in CLASSES:
        yield from _members(kind)
    for module, places in MODULES.items():
        known = {n: p for p, group in places.items() for n in group if n not in homes()}
        yield from ("", f"## `onnxruntime.{module}`", "")
        if module.startswith("capi"):
            yield from ("The names above, the exceptions, and:", "")
        yield from _table(known)
    yield from ("", "## Absent", "")
    for module, missing in ABSENT.items():
        yield f"- `{module}`: {_listed(missing)}"
    yield from _tests()
    yield ""


def _tests() -> Iterator[str]:
    """Which of ONNX Runtime's tests of its API pass, and why the others do not."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    from dropin.api_names import NAMES, NOT_OURS

    kept = [n for n in NAMES if n not in NOT_OURS]
    yield from ("", "## ONNX Runtime's tests of its API", "")
    yield f"Of {len(NAMES)} tests by name, {len(kept)} hold here, in bodies of our own that hold"
    yield "for ONNX Runtime too: what is done, not the words of messages. The others, and why:"
    yield ""
    yield from ("| test | why not |", "|---|---|")
    for name, why in NOT_OURS.items():
        yield f"| `{name}` | {why} |"


def _table(places: Mapping[str, str]) -> Iterator[str]:
    yield from ("| name | state | here |", "|---|---|---|")
    for name in sorted(places, key=str.lower):
        if name in ("capi", "version", "cuda_version", "package_name"):
            yield f"| `{name}` | same | |"
            continue
        thing = getattr(import_module(f"sardonyx.{places[name]}"), name)
        told = _told(thing)
        yield f"| `{name}` | {_state(told, places[name])} | {told} |"


def _told(thing: Any) -> str:
    line = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    return " ".join(line.split()).replace("|", "\\|")


def _state(told: str, place: str = "") -> str:
    for start, state in STARTS.items():
        if told.startswith(start):
            return state
    return "mapped" if place in MAPPED else "same"


def _members(kind: str) -> Iterator[str]:
    made = getattr(sardonyx, kind)
    every = {*dir(made), *getattr(made, "__dataclass_fields__", ())}
    if kind in OWN:
        every |= set(vars(made(*OWN[kind])))
    states: dict[str, list[str]] = {}
    for name in sorted(n for n in every if not n.startswith("_")):
        idle = name in NO_EFFECT.get(kind, ())
        told = "" if idle else _told(getattr(made, name, None))
        states.setdefault("no-op" if idle else _state(told), []).append(name)
    yield f"- `{kind}`"
    for state in ("same", "no-op", "refused"):
        if state in states:
            yield f"  - {state}: {_listed(states[state])}"


def _listed(found: Any) -> str:
    return ", ".join(f"`{name}`" for name in found)
