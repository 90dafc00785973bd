"""JAX functions, and modules of Flax NNX and Equinox, by jax2onnx."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sardonyx.convert.exporters import JAX, by_jax2onnx, flat_outputs, short
from sardonyx.convert.place import origin
from sardonyx.convert.source import Exported, Feeds, Framework, Input, Request, Source, comes_from
from sardonyx.core.errors import ConvertError, RuntimeException
from sardonyx.core.knobs import silence_peers


class JaxFramework(Framework):
    """JAX: what can be called with arrays, with its parameters inside."""

    name = "JAX"
    packages = ("jax", "jax2onnx")
    environment = JAX
    controls = frozenset({"opset"})

    def match(self, model: object) -> bool:
        if comes_from(model, "jax", "jaxlib", "flax", "equinox"):
            return callable(model)
        return inspect.isfunction(model) and any(map(_is_jax, model.__globals__.values()))

    def source(self, model: Any, request: Request) -> Source:
        return JaxSource(model, request)


def _is_jax(thing: object) -> bool:
    named = thing.__name__ if isinstance(thing, ModuleType) else ""
    return named.partition(".")[0] in ("jax", "flax", "equinox")


class JaxSource(Source):
    """A function with the inputs that it is converted for, in the order of its parameters."""

    framework = "JAX"

    def __init__(self, function: Any, request: Request) -> None:
        self.function, self.request = function, request
        self.inputs = [Input.of(s) for s in request.specs]

    def run(self, feeds: Feeds) -> Mapping[str, Any]:
        import jax

        try:
            found = self.function(*(jax.numpy.asarray(x) for x in feeds.values()))
        except Exception as problem:
            shapes = ", ".join(f"{n} {list(x.shape)}" for n, x in feeds.items())
            said = f"JAX cannot run the function on {shapes}: {short(problem)}"
            raise RuntimeException(
                "E0604", said, source=origin(problem), hint="give sizes that suit it"
            ) from problem
        return {name: np.asarray(x) for name, x in flat_outputs(found).items()}

    def export(self, folder: Path, sizes: Mapping[str, int]) -> Exported:
        silence_peers()
        if not self.inputs:
            raise ConvertError(
                "E0608", "the inputs of the function must be told", hint="--input x=Nx8"
            )
        outputs = tuple(self.run({n: r.array() for n, r in self.recipes(sizes, 0).items()}))
        return by_jax2onnx(self._flat, self.inputs, outputs, self.request.controls.opset)

    def _flat(self, *arrays: Any) -> tuple[Any, ...]:
        return tuple(flat_outputs(self.function(*arrays)).values())

    def provenance(self) -> dict[str, str]:
        import jax

        named = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        version = importlib.metadata.version("jax2onnx")
        return {"jax": jax.__version__, "jax2onnx": version, "function": named}


FRAMEWORK = JaxFramework()
