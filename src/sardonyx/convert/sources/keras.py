"""Keras 3 on its three backends: models, and the files .keras and .h5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.convert.exporters import (
    TENSORFLOW,
    by_jax2onnx,
    by_tf2onnx,
    fitted,
    flat_outputs,
    named_dims,
    short,
)
from sardonyx.convert.place import origin
from sardonyx.convert.source import Exported, Feeds, Framework, Input, Request, Source, comes_from
from sardonyx.convert.sources.torch.module import TorchSource
from sardonyx.core.dtype import DType
from sardonyx.core.errors import ConvertError, RuntimeException


class KerasFramework(Framework):
    """Keras, by the exporter of the backend that it runs on."""

    name = "Keras"
    suffixes = (".keras", ".h5")
    packages = ("keras",)
    environment = TENSORFLOW
    controls = frozenset({"opset"})

    def match(self, model: object) -> bool:
        return comes_from(model, "keras") and hasattr(model, "inputs")

    def load(self, path: Path) -> Any:
        import keras

        try:
            return keras.saving.load_model(path, compile=False)
        except Exception as problem:
            said = f"`{path}` cannot be loaded: {short(problem)}"
            raise ConvertError("E0601", said, file=str(path), source=origin(problem)) from problem

    def source(self, model: Any, request: Request) -> Source:
        import keras

        return (TorchKeras if keras.backend.backend() == "torch" else KerasSource)(model, request)


class KerasSource(Source):
    """A built model: its inputs are known, dims that it leaves open are symbols."""

    framework = "Keras"

    def __init__(self, model: Any, request: Request) -> None:
        self.model, self.request = model, request
        self.inputs = _inputs(model, request)

    def run(self, feeds: Feeds) -> Mapping[str, Any]:
        import keras

        try:
            found = self.call(*(keras.ops.convert_to_tensor(x) for x in feeds.values()))
        except Exception as problem:
            shapes = ", ".join(f"{n} {list(x.shape)}" for n, x in feeds.items())
            said = f"Keras cannot run the model on {shapes}: {short(problem)}"
            raise RuntimeException("E0604", said, hint="give sizes that suit it") from problem
        return {name: keras.ops.convert_to_numpy(x) for name, x in found.items()}

    def call(self, *tensors: Any) -> dict[str, Any]:
        """The outputs by name, of tensors in the order of the inputs."""
        import keras

        structure = getattr(self.model, "_inputs_struct", None)
        given: Any = list(tensors)
        if structure is not None:
            given = keras.tree.pack_sequence_as(structure, given)
        elif len(given) == 1:
            (given,) = given
        return flat_outputs(self.model(given, training=False))

    def flat(self, *tensors: Any) -> list[Any]:
        """The same outputs in order."""
        return list(self.call(*tensors).values())

    def export(self, folder: Path, sizes: Mapping[str, int]) -> Exported:
        import keras

        feeds = {n: r.array() for n, r in self.recipes(sizes, 0).items()}
        outputs = tuple(self.run(feeds))
        opset = self.request.controls.opset
        if keras.backend.backend() == "tensorflow":
            return by_tf2onnx(self.flat, self.inputs, outputs, opset)
        return by_jax2onnx(self.flat, self.inputs, outputs, opset)

    def provenance(self) -> dict[str, str]:
        import keras

        return {
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "class": type(self.model).__name__,
        }


class TorchKeras(TorchSource):
    """On PyTorch a model of Keras is a module, and is captured as one."""

    framework = "Keras"

    def __init__(self, model: Any, request: Request) -> None:
        import torch

        self.keras = KerasSource(model, request)
        inner = self.keras.call
        flat = type("Flat", (torch.nn.Module,), {"forward": lambda _, *xs: inner(*xs)})()
        flat.model = model
        specs = tuple(i.spec for i in self.keras.inputs)
        super().__init__(flat, Request(specs=specs, sizes=request.sizes, controls=request.controls))

    def provenance(self) -> dict[str, str]:
        return super().provenance() | self.keras.provenance()


def _inputs(model: Any, request: Request) -> list[Input]:
    if not getattr(model, "inputs", None):
        raise ConvertError(
            "E0608", "the model was never called: its inputs are not known",
            hint="call it once before it is saved",
        )  # fmt: skip
    shapes = [(t.name, tuple(t.shape)) for t in model.inputs]
    types = [DType.from_numpy(np.dtype(t.dtype)) for t in model.inputs]
    own = [
        Input(name, dims, dtype)
        for (name, dims), dtype in zip(named_dims(shapes), types, strict=True)
    ]
    return fitted(own, request)


FRAMEWORK = KerasFramework()
