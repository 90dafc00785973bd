"""A PyTorch module (or TorchScript) with the inputs that it is converted for."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.convert.place import origin
from sardonyx.convert.source import Exported, Feeds, Input, Request, Sample, Source
from sardonyx.convert.sources.torch.call import of_example, of_specs, parameters
from sardonyx.convert.sources.torch.capture import export
from sardonyx.convert.sources.torch.tensors import (
    first_line,
    kept,
    plain,
    quiet,
    tensor,
    tensors_of,
)
from sardonyx.core.dim import parse_dims
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import ConvertError, RuntimeException


class TorchSource(Source):
    """Inputs are passed by keyword where the names are parameters of forward(), else by position.

    ConvertError (E0608) where they do not fit.
    """

    framework = "PyTorch"

    def __init__(self, model: Any, request: Request) -> None:
        self.model, self.request = model, request
        self.examples: dict[str, Any] = {}
        if request.example is not None:
            self.call, self.examples = of_example(model.forward, *request.example)
            self.inputs = [
                _example_input(n, x, request.dynamic.get(n)) for n, x in self.examples.items()
            ]
        else:
            self.call = of_specs(model.forward, request.specs)
            given = {s.name: Input.of(s) for s in request.specs}
            self.inputs = [given[name] for name in self.call.names()]
        self.preferred = {
            d: size
            for i in self.inputs
            if i.name in self.examples
            for d, size in zip(i.dims, self.examples[i.name].shape, strict=True)
            if isinstance(d, str)
        }
        self._double: Any = None

    def sample(self, sizes: Mapping[str, int], seed: int) -> dict[str, Sample]:
        made = super().sample(sizes, seed)
        known = {n: _array(x) for n, x in self.examples.items()}
        fits = all(known[i.name].shape == i.spec.shape(sizes) for i in self.inputs if known)
        return {**known} if known and fits and not seed else made

    @property
    def training(self) -> bool:
        """Whether dropout and batch norms are exported as they are trained."""
        return bool(self.request.controls.training)

    def run(self, feeds: Feeds) -> list[Array]:
        return [plain(t) for t in tensors_of(self.forward(self.model, feeds))]

    def exact(self, feeds: Feeds) -> list[Array] | None:
        try:
            if self._double is None:
                self._double = copy.deepcopy(self.model).double().eval()
            return [plain(t) for t in tensors_of(self.forward(self._double, feeds, double=True))]
        except Exception:  # noqa: BLE001 - whatever a user's module raises means that it cannot
            return None

    def forward(self, model: Any, feeds: Feeds, double: bool = False) -> Any:
        """What forward() returns; RuntimeException (E0604) where it cannot run."""
        import torch

        tensors = {name: tensor(x) for name, x in feeds.items()}
        if double:
            tensors = {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}
        args, kwargs = self._arguments(tensors)
        try:
            with torch.no_grad(), quiet(), kept(model, self.training):
                return model(*args, **kwargs)
        except Exception as problem:
            shapes = ", ".join(f"{n} {list(x.shape)}" for n, x in tensors.items())
            raise RuntimeException(
                "E0604",
                f"PyTorch cannot run the model on {shapes}: {first_line(problem)}",
                source=origin(problem),
                hint="give sizes that suit the model, such as --dim H=224",
            ) from problem

    def _arguments(self, tensors: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """By name; by position where the names are another's (a comparison with a model file)."""
        if self.inputs:
            return self.call.build(tensors)
        known = parameters(self.model.forward)
        if known and all(name in known for name in tensors):
            return (), dict(tensors)
        return tuple(tensors.values()), {}

    def export(self, folder: Path, sizes: Mapping[str, int]) -> Exported:
        if not self.inputs:
            wanted = ", ".join(parameters(self.model.forward))
            raise ConvertError(
                "E0608",
                "the inputs of forward() must be told",
                wanted=wanted,
                hint="--input x=Nx3x224x224",
            )
        return export(self, folder, sizes)

    def provenance(self) -> dict[str, str]:
        import onnxscript
        import torch

        found = {"torch": torch.__version__, "onnxscript": onnxscript.__version__}
        return found | {"class": _class_of(self.model)}


def _class_of(model: Any) -> str:
    kind = type(model)
    name = f"{kind.__module__}.{kind.__qualname__}"
    try:
        return f"{name} ({Path(inspect.getfile(kind)).name}:{inspect.getsourcelines(kind)[1]})"
    except (OSError, TypeError):
        return name


def _array(x: Any) -> Array:
    return plain(x) if hasattr(x, "detach") else np.asarray(x)


def _example_input(name: str, x: Any, dims: str | None) -> Input:
    array = _array(x)
    shape: tuple[int | str, ...] = tuple(array.shape)
    if dims is not None:
        shape = parse_dims(dims)
    if len(shape) != array.ndim:
        raise ConvertError(
            "E0608", f"`{name}` has {array.ndim} dims", given=dims, wanted="a name or number each"
        )
    return Input(name, shape, DType.from_numpy(array.dtype))
