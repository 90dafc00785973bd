"""TensorFlow's SavedModel folders, and TFLite files, by tf2onnx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.convert.exporters import TENSORFLOW, by_tf2onnx, fitted, named_dims, short
from sardonyx.convert.place import origin
from sardonyx.convert.source import Exported, Feeds, Framework, Input, Request, Source
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import ConvertError, RuntimeException

_SIGNATURE = "serving_default"


class TensorFlowFramework(Framework):
    """TensorFlow, by tf2onnx."""

    name = "TensorFlow"
    suffixes = (".tflite",)
    packages = ("tensorflow", "tf2onnx")
    environment = TENSORFLOW
    controls = frozenset({"opset"})

    def match(self, model: object) -> bool:
        return hasattr(model, "signatures") and hasattr(model, "tensorflow_version")

    def match_file(self, path: Path, head: bytes) -> bool:
        return (path / "saved_model.pb").is_file() or head[4:8] == b"TFL3"

    def load(self, path: Path) -> Any:
        import tensorflow as tf

        try:
            if path.is_dir():
                return tf.saved_model.load(str(path))
            return TFLite(path.read_bytes())
        except Exception as problem:
            said = f"`{path}` cannot be loaded: {short(problem)}"
            raise ConvertError("E0601", said, file=str(path), source=origin(problem)) from problem

    def source(self, model: Any, request: Request) -> Source:
        return (LiteSource if isinstance(model, TFLite) else TensorFlowSource)(model, request)


class TFLite:
    """The content of a .tflite file."""

    def __init__(self, content: bytes) -> None:
        import tensorflow as tf

        self.content = content
        self.interpreter = tf.lite.Interpreter(model_content=content)


class TensorFlowSource(Source):
    """The signature `serving_default` of a SavedModel, or its only one."""

    framework = "TensorFlow"

    def __init__(self, model: Any, request: Request) -> None:
        signatures = dict(model.signatures)
        if _SIGNATURE not in signatures and len(signatures) != 1:
            raise ConvertError(
                "E0608", f"the model has no signature `{_SIGNATURE}`", given=", ".join(signatures)
            )
        self.model, self.request = model, request
        self.call = signatures.get(_SIGNATURE) or next(iter(signatures.values()))
        self.specs = dict(sorted(self.call.structured_input_signature[1].items()))
        shapes = [(n, _dims(t.shape, n)) for n, t in self.specs.items()]
        types = [DType.from_numpy(np.dtype(t.dtype.as_numpy_dtype)) for t in self.specs.values()]
        pairs = zip(named_dims(shapes), types, strict=True)
        self.inputs = fitted([Input(name, dims, t) for (name, dims), t in pairs], request)

    def run(self, feeds: Feeds) -> Mapping[str, Any]:
        import tensorflow as tf

        try:
            named = zip(self.specs, feeds.values(), strict=True)
            found = self.call(**{name: tf.constant(x) for name, x in named})
        except Exception as problem:
            shapes = ", ".join(f"{n} {list(x.shape)}" for n, x in feeds.items())
            said = f"TensorFlow cannot run the model on {shapes}: {short(problem)}"
            raise RuntimeException("E0604", said, hint="give sizes that suit it") from problem
        return {name: x.numpy() for name, x in found.items()}

    def export(self, folder: Path, sizes: Mapping[str, int]) -> Exported:
        outputs = tuple(self.call.structured_outputs)

        def called(*xs: Any) -> list[Any]:
            found = self.call(**dict(zip(self.specs, xs, strict=True)))
            return [found[name] for name in outputs]

        return by_tf2onnx(called, self.inputs, outputs, self.request.controls.opset)

    def provenance(self) -> dict[str, str]:
        import tensorflow as tf
        import tf2onnx

        return {"tensorflow": tf.__version__, "tf2onnx": tf2onnx.__version__}


class LiteSource(Source):
    """A TFLite model, run by TensorFlow's own interpreter."""

    framework = "TFLite"

    def __init__(self, model: TFLite, request: Request) -> None:
        self.model, self.request = model, request
        self.details = model.interpreter.get_input_details()
        shapes = [(d["name"], [int(n) for n in d["shape_signature"]]) for d in self.details]
        types = [DType.from_numpy(np.dtype(d["dtype"])) for d in self.details]
        pairs = zip(named_dims(shapes), types, strict=True)
        self.inputs = fitted([Input(name, dims, t) for (name, dims), t in pairs], request)

    def run(self, feeds: Feeds) -> Mapping[str, Any]:
        found = self.model.interpreter
        try:
            for one, x in zip(self.details, feeds.values(), strict=True):
                found.resize_tensor_input(one["index"], x.shape)
            found.allocate_tensors()
            for one, x in zip(self.details, feeds.values(), strict=True):
                found.set_tensor(one["index"], x)
            found.invoke()
        except (ValueError, RuntimeError) as problem:
            shapes = ", ".join(f"{n} {list(x.shape)}" for n, x in feeds.items())
            said = f"TFLite cannot run the model on {shapes}: {short(problem)}"
            raise RuntimeException("E0604", said, hint="give sizes that suit it") from problem
        return {d["name"]: _copied(found, d) for d in found.get_output_details()}

    def export(self, folder: Path, sizes: Mapping[str, int]) -> Exported:
        import tf2onnx

        path = folder / "model.tflite"
        path.write_bytes(self.model.content)
        try:
            made, _ = tf2onnx.convert.from_tflite(str(path), opset=self.request.controls.opset)
        except Exception as problem:
            said = f"tf2onnx failed: {short(problem)}"
            raise ConvertError("E0602", said, source=origin(problem)) from problem
        return Exported(bytes(made.SerializeToString()))

    def provenance(self) -> dict[str, str]:
        import tensorflow as tf
        import tf2onnx

        return {"tensorflow": tf.__version__, "tf2onnx": tf2onnx.__version__}


def _copied(interpreter: Any, detail: Mapping[str, Any]) -> Array:
    return np.array(interpreter.get_tensor(detail["index"]))


def _dims(shape: Any, name: str) -> Sequence[int | None]:
    if shape.rank is None:
        raise ConvertError(
            "E0608", f"the rank of `{name}` is not known", hint=f"--input {name}=..."
        )
    found: list[int | None] = shape.as_list()
    return found


FRAMEWORK = TensorFlowFramework()
