"""Models of the transformers library: folders and objects; the inputs follow from their kind."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.convert.place import origin
from sardonyx.convert.source import Framework, Request, Sample, Source, comes_from
from sardonyx.convert.sources.torch.call import Call, Constant, parameters
from sardonyx.convert.sources.torch.module import TorchSource
from sardonyx.core.dim import Spec
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import ConvertError

# What would keep a model from answering one run at a time, by arguments of forward().
_PLAIN = {"use_cache": False, "return_dict": True}


class TransformersFramework(Framework):
    """transformers, by PyTorch's exporters."""

    name = "transformers"
    packages = ("torch", "onnxscript", "onnx", "transformers")
    extra = "torch"
    controls = frozenset({"capture", "training", "fold", "functions", "translations"})

    def match(self, model: object) -> bool:
        return comes_from(model, "transformers") and hasattr(model, "main_input_name")

    def match_file(self, path: Path, head: bytes) -> bool:
        del head
        return path.is_dir() and "model_type" in _config(path)

    def is_program(self, path: Path) -> bool:
        return not any(path.glob("*.safetensors"))

    def load(self, path: Path) -> Any:
        import transformers

        config = _config(path)
        names = config.get("architectures") or ["AutoModel"]
        kind = getattr(transformers, str(names[0]), None)
        if kind is None:
            raise ConvertError(
                "E0601",
                f"transformers {transformers.__version__} has no `{names[0]}`",
                file=str(path),
                hint="models with code of their own are converted as net.py:build",
            )
        try:
            return kind.from_pretrained(path, local_files_only=True)
        except Exception as problem:
            said = f"`{path}` cannot be loaded: {type(problem).__name__}: {problem}"
            raise ConvertError(
                "E0601", said[:500], file=str(path), source=origin(problem)
            ) from problem

    def source(self, model: Any, request: Request) -> Source:
        if request.specs or request.example:
            return TorchSource(model, request)
        return TransformersSource(model, replace(request, specs=tuple(_specs(model))))


class TransformersSource(TorchSource):
    """A model with the inputs of its kind; batch and lengths are symbols."""

    framework = "transformers"

    def __init__(self, model: Any, request: Request) -> None:
        super().__init__(model, request)
        known = parameters(model.forward)
        plain = {name: Constant(value) for name, value in _PLAIN.items() if name in known}
        self.call = Call(self.call.args, {**self.call.kwargs, **plain})
        strides = getattr(model.config, "conv_stride", None)
        if strides is not None:
            self.preferred = {"T": 16 * math.prod(strides)}

    def sample(self, sizes: Mapping[str, int], seed: int) -> dict[str, Sample]:
        made = super().sample(sizes, seed)
        if "bbox" in made:
            made["bbox"] = _boxes(self.recipes(sizes, seed)["bbox"].array())
        return made

    def provenance(self) -> dict[str, str]:
        import transformers

        kind = type(self.model).__name__
        return super().provenance() | {"transformers": transformers.__version__, "class": kind}


def _boxes(bits: Array) -> Array:
    """Boxes whose second corner is no nearer to the origin than the first, of arrays of 0 and 1."""
    first, size = bits[..., :2], bits[..., 2:]
    return np.concatenate([first, first + size], axis=-1)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _specs(model: Any) -> Iterator[Spec]:
    """The inputs that a model needs, in the order of forward()'s parameters."""
    known = parameters(model.forward)
    config = model.config
    wanted = {model.main_input_name}
    if hasattr(config, "text_config") and hasattr(config, "vision_config"):
        wanted |= {"input_ids", "pixel_values"}
    wanted |= {name for name, p in known.items() if p.default is p.empty}
    if "input_ids" in wanted:
        wanted |= {"attention_mask", "bbox"}
    if getattr(config, "is_encoder_decoder", False):
        wanted.add("decoder_input_ids")
    yield from (_spec(name, config) for name in known if name in wanted)


def _spec(name: str, config: Any) -> Spec:
    found = _SHAPES.get(name)
    if found is None:
        raise ConvertError(
            "E0608",
            f"the shape of `{name}` does not follow from the model's kind",
            hint=f"--input {name}=...",
        )
    dims, dtype = found
    return Spec(name, tuple(_size(d, config) for d in dims), dtype)


def _size(dim: int | str, config: Any) -> int | str:
    """A symbol, or the size that the configuration (or that of its images) gives to a dim."""
    if isinstance(dim, int) or dim.isupper():
        return dim
    name, scale = _ELSEWHERE.get(dim, (dim, 1))
    parts = ("vision_config", "backbone_config", "audio_config")
    for one in (config, *(getattr(config, part, None) for part in parts)):
        value = getattr(one, name, None)
        if value is not None:
            return scale * int(value[0] if isinstance(value, list | tuple) else value)
    return _OPEN[dim]


_ELSEWHERE = {"image_width": ("image_size", 1), "frames": ("max_source_positions", 2)}
_OPEN: dict[str, int | str] = {
    "num_channels": 3,
    "image_size": "H",
    "image_width": "W",
    "frames": "T",
    "num_frames": "T",
    "num_mel_bins": 80,
}
_SHAPES: dict[str, tuple[tuple[int | str, ...], DType]] = {
    "input_ids": (("N", "S"), DType.INT64),
    "attention_mask": (("N", "S"), DType.INT64),
    "decoder_input_ids": (("N", "T"), DType.INT64),
    "bbox": (("N", "S", 4), DType.INT64),
    "pixel_values": (("N", "num_channels", "image_size", "image_width"), DType.FLOAT32),
    "pixel_values_videos": (
        ("N", "num_frames", "num_channels", "image_size", "image_width"),
        DType.FLOAT32,
    ),
    "input_features": (("N", "num_mel_bins", "frames"), DType.FLOAT32),
    "input_values": (("N", "T"), DType.FLOAT32),
}

FRAMEWORK = TransformersFramework()
