"""PyTorch models, by PyTorch's own exporter (`torch.onnx.export`, dynamo)."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.core.dim import Spec
from sardonyx.core.dtype import DType
from sardonyx.core.errors import ConvertError, UsageError
from sardonyx.core.knobs import silence_peers

Array = np.ndarray[Any, Any]
_SIZES = (3, 5, 7, 11, 13, 17)


def match(model: Any) -> bool:
    """Whether the object is a PyTorch module (without importing PyTorch for others)."""
    return any(c.__module__.startswith("torch.nn") for c in type(model).__mro__)


def missing() -> str | None:
    """How to install what the export needs, where something is missing."""
    needed = ("torch", "onnxscript", "onnx")
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    return "pip install 'sardonyx[torch]'" if absent else None


def export(model: Any, specs: Sequence[Spec], path: Path, opset: int | None) -> None:
    """Writes `path` (.onnx, weights inside or beside it) with the symbolic dims of the specs.

    Raises ConvertError E0602 with the exporter's own words.
    """
    silence_peers()
    import torch

    example = tuple(torch.from_numpy(x) for x in sample(specs, {}).values())
    dims = {s: torch.export.Dim(s, min=1) for spec in specs for s in spec.symbols}
    dynamic = tuple(
        {axis: dims[d] for axis, d in enumerate(spec.dims) if isinstance(d, str)} for spec in specs
    )
    model.eval()
    try:
        with _quiet():
            program = torch.onnx.export(
                model, example, dynamo=True, dynamic_shapes=dynamic if any(dynamic) else None,
                input_names=[spec.name for spec in specs], opset_version=opset, verbose=False,
            )  # fmt: skip
            assert program is not None
            program.save(str(path))
    except Exception as problem:
        raise ConvertError(
            "E0602", f"PyTorch's exporter failed: {_first_lines(problem)}",
            hint="does model(*inputs) run with these shapes? A dim that the model fixes must be "
            "a number in --input",
        ) from problem  # fmt: skip


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_lines(problem: Exception) -> str:
    lines = [line for line in str(problem).splitlines() if line.strip()]
    return " ".join(lines[:4])[:600] or type(problem).__name__


def sample(specs: Sequence[Spec], sizes: Mapping[str, int], seed: int = 0) -> dict[str, Array]:
    """Random inputs; symbols take `sizes`, or distinct small primes so that none is confused."""
    rng = np.random.default_rng(seed)
    names = list(dict.fromkeys(s for spec in specs for s in spec.symbols))
    known = {s: sizes.get(s, _SIZES[n % len(_SIZES)]) for n, s in enumerate(names)}
    return {spec.name: _random(spec, spec.shape(known), rng) for spec in specs}


def _random(spec: Spec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    dtype = spec.dtype or DType.FLOAT32
    if dtype.is_string or dtype.is_complex:
        raise UsageError("E0913", f"no sample can be made for {dtype}", tensor=spec.name)
    if dtype.is_bool:
        return np.ones(shape, np.bool_)
    if dtype.is_int:
        return rng.integers(0, 2, shape).astype(dtype.numpy)
    return rng.standard_normal(shape).astype(dtype.numpy)


def outputs(model: Any, feeds: Mapping[str, Array], double: bool = False) -> list[Array]:
    """What PyTorch computes for the inputs in order; in float64 when `double`."""
    silence_peers()
    import torch

    given = [torch.from_numpy(np.array(x)) for x in feeds.values()]
    if double:
        given = [x.double() if x.is_floating_point() else x for x in given]
    model.eval()
    with torch.no_grad(), _quiet():
        found = model(*given)
    return [t.detach().numpy() for t in _flat(found) if hasattr(t, "detach")]


def _flat(found: Any) -> Iterator[Any]:
    if isinstance(found, Mapping):
        for item in found.values():
            yield from _flat(item)
    elif isinstance(found, list | tuple):
        for item in found:
            yield from _flat(item)
    elif found is not None:
        yield found
