"""PyTorch models, by PyTorch's own exporter (`torch.onnx.export`, dynamo)."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import inspect
import io
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.convert.guards import Guards, watched
from sardonyx.convert.source import origin
from sardonyx.core.dim import Spec
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import ConvertError, RuntimeException, UsageError
from sardonyx.core.knobs import silence_peers
from sardonyx.core.near import near
from sardonyx.graph.origin import innermost

_UNUSUAL = (DType.STRING, DType.COMPLEX64, DType.COMPLEX128)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def match(model: Any) -> bool:
    """Whether the object is a PyTorch module (without importing PyTorch for others)."""
    return any(c.__module__.startswith("torch.nn") for c in type(model).__mro__)


def missing() -> str | None:
    """How to install what the export needs, where something is missing."""
    needed = ("torch", "onnxscript", "onnx")
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    return "pip install 'sardonyx[torch]'" if absent else None


class TorchSource:
    """A PyTorch module with the inputs that it is to be exported with.

    `specs` are in the order of forward()'s parameters. Inputs are passed by keyword where all
    names are parameters of forward(), else by position. ConvertError (E0608) where they do not fit.
    """

    kind = "PyTorch"

    def __init__(self, model: Any, specs: Sequence[Spec]) -> None:
        self.model = model
        self.parameters = _parameters(model)
        self.specs = self._arranged(specs)
        self._double: Any = None

    def _by_name(self, names: Iterable[str]) -> bool:
        return bool(self.parameters) and all(name in self.parameters for name in names)

    def _arranged(self, specs: Sequence[Spec]) -> list[Spec]:
        if not specs:
            return []
        if self._by_name(s.name for s in specs):
            self._check_required(specs)
            order = list(self.parameters)
            return sorted(specs, key=lambda s: order.index(s.name))
        known = [s for s in specs if s.name in self.parameters]
        if known or len(specs) > len(self.parameters) > 0:
            odd = next(s.name for s in specs if s not in known)
            raise ConvertError(
                "E0608",
                f"forward() has no parameter `{odd}`",
                wanted=", ".join(self.parameters),
                hint=near(odd, self.parameters),
            )
        return list(specs)

    def _check_required(self, specs: Sequence[Spec]) -> None:
        given = {s.name for s in specs}
        for name, p in self.parameters.items():
            if p.default is p.empty and name not in given:
                raise ConvertError(
                    "E0608",
                    f"forward() needs `{name}`",
                    given=", ".join(given),
                    wanted=", ".join(self.parameters),
                    hint=f"add --input {name}=...",
                )

    def sample(self, sizes: Mapping[str, int], seed: int) -> dict[str, Array]:
        """Made-up inputs of these sizes; integers are 0 or 1: valid as indices and as masks."""
        rng = np.random.default_rng(seed)
        return {s.name: _random(s, s.shape(sizes), rng) for s in self.specs}

    def outputs(self, feeds: Mapping[str, Any]) -> list[Array]:
        """What PyTorch computes; RuntimeException (E0604) where it cannot run."""
        return self._call(self.model, feeds, double=False)

    def exact(self, feeds: Mapping[str, Any]) -> list[Array] | None:
        """What PyTorch computes in float64; None where the model cannot be doubled."""
        try:
            if self._double is None:
                self._double = copy.deepcopy(self.model).double().eval()
            return self._call(self._double, feeds, double=True)
        except Exception:  # noqa: BLE001 - whatever a user's module raises means that it cannot
            return None

    def _call(self, model: Any, feeds: Mapping[str, Any], double: bool) -> list[Array]:
        import torch

        found = self._forward(model, feeds, double)
        return [_plain(t) for t in torch.utils._pytree.tree_leaves(found) if hasattr(t, "detach")]

    def _forward(self, model: Any, feeds: Mapping[str, Any], double: bool) -> Any:
        import torch

        tensors = {name: _tensor(torch, x) for name, x in feeds.items()}
        if double:
            tensors = {n: t.double() if t.is_floating_point() else t for n, t in tensors.items()}
        try:
            with torch.no_grad(), quiet(), evaluating(model):
                return model(**tensors) if self._by_name(feeds) else model(*tensors.values())
        except Exception as problem:
            shapes = ", ".join(f"{n} {list(x.shape)}" for n, x in tensors.items())
            raise RuntimeException(
                "E0604",
                f"PyTorch cannot run the model on {shapes}: {first_line(problem)}",
                source=origin(problem),
                hint="give sizes that suit the model, such as --dim H=224",
            ) from problem

    def names(self, feeds: Mapping[str, Any]) -> list[str]:
        """Names for the outputs: the keys of a mapping that forward() returns, else `output`."""
        import torch

        found = self._forward(self.model, feeds, double=False)
        leaves = list(_named_leaves("", found))
        if len(leaves) != len(torch.utils._pytree.tree_leaves(found)):
            return []
        taken = {s.name for s in self.specs}
        named = [_output_name(n) for n in leaves]
        return [f"{n}_out" if n in taken else n for n in named]

    def export(self, path: Path, sizes: Mapping[str, int], opset: int | None) -> Guards:
        """Writes `path` (.onnx, weights inside or beside it) with the symbolic dims of the specs.

        Raises ConvertError E0602 with the exporter's own words. What the tracer took for granted
        is returned.
        """
        silence_peers()
        import torch

        feeds = self.sample(sizes, 0)
        names = self.names(feeds)
        example = {n: _tensor(torch, x) for n, x in feeds.items()}
        named = self._by_name(example)
        shapes = self._dynamic(torch)
        with watched() as guards, quiet(), evaluating(self.model):
            try:
                program = torch.onnx.export(
                    self.model,
                    args=() if named else tuple(example.values()),
                    kwargs=example if named else None,
                    dynamo=True,
                    dynamic_shapes=shapes,
                    input_names=[s.name for s in self.specs],
                    output_names=names or None,
                    opset_version=opset,
                    verbose=False,
                )
                assert program is not None
                program.save(str(path))
            except Exception as problem:
                raise _failed(problem) from problem
        return guards

    def _dynamic(self, torch: Any) -> Any:
        names = dict.fromkeys(name for spec in self.specs for name in spec.symbols)
        if not names:
            return None
        dims = {name: torch.export.Dim(name, min=1) for name in names}
        rows = {
            spec.name: {n: dims[d] for n, d in enumerate(spec.dims) if isinstance(d, str)}
            for spec in self.specs
        }
        return rows if self._by_name(rows) else tuple(rows.values())


def _parameters(model: Any) -> dict[str, inspect.Parameter]:
    try:
        found = inspect.signature(model.forward).parameters
    except (TypeError, ValueError):
        return {}
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if any(p.kind is p.VAR_POSITIONAL for p in found.values()):
        return {}
    return {name: p for name, p in found.items() if p.kind in plain}


def _named_leaves(stem: str, found: Any) -> Iterator[str]:
    if isinstance(found, Mapping):
        items: Iterator[tuple[Any, Any]] = iter(found.items())
    elif isinstance(found, list | tuple):
        items = iter(enumerate(found))
    else:
        if found is not None:
            yield stem
        return
    for key, item in items:
        name = re.sub(r"\W", "_", str(key))
        yield from _named_leaves(f"{stem}_{name}" if stem else name, item)


def _output_name(stem: str) -> str:
    if not stem:
        return "output"
    return f"output_{stem}" if stem[0].isdigit() else stem


def _failed(problem: Exception) -> ConvertError:
    deepest: BaseException = problem
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    return ConvertError(
        "E0602",
        f"PyTorch's exporter failed: {type(deepest).__name__}: {first_line(deepest)}",
        source=innermost(str(deepest)) or origin(deepest),
        hint="the exporter follows one path through forward(): it cannot branch on the values of "
        "tensors; a dim that the code fixes must be a number in --input",
    )


def first_line(problem: BaseException) -> str:
    """The first line of an exception's text, without colours."""
    text = _COLOUR.sub("", str(problem))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else type(problem).__name__


def _random(spec: Spec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    dtype = spec.dtype or DType.FLOAT32
    if dtype in _UNUSUAL or (dtype.is_float and dtype.bits < 16):
        raise UsageError("E0913", f"no inputs of type {dtype} can be made up", tensor=spec.name)
    if dtype.is_bool or dtype.is_int:
        found = np.asarray(rng.integers(0, 2, shape))
        if shape:
            found[..., :1] = 1  # a mask of a row must let something through
        return found.astype(dtype.numpy)
    return rng.standard_normal(shape).astype(dtype.numpy)


def _tensor(torch: Any, x: Any) -> Any:
    array = np.array(x)
    if array.dtype == DType.BFLOAT16.numpy:
        return torch.from_numpy(array.astype(np.float32)).bfloat16()
    return torch.from_numpy(array)


def _plain(tensor: Any) -> Array:
    kept = tensor.detach()
    if str(kept.dtype) != "torch.bfloat16":
        found: Array = kept.numpy()
        return found
    return np.asarray(kept.float().numpy(), DType.BFLOAT16.numpy)


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The module in eval mode meanwhile; every flag and buffer is then what it was before."""
    modes = [(m, m.training) for m in model.modules()]
    places = [(m._buffers, dict(m._buffers)) for m in model.modules() if type(m._buffers) is dict]
    contents = [(b, b.detach().clone()) for b in model.buffers()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for now, before in places:
            now.clear()
            now.update(before)
        for buffer, was in contents:
            if not buffer.equal(was):
                buffer.detach().copy_(was)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Holds back what PyTorch prints, logs and warns of."""
    sink = io.StringIO()
    held = [(h, h.setStream(sink)) for h in _handlers()]
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for handler, stream in held:
            if stream is not None:
                handler.setStream(stream)


def _handlers() -> list[logging.StreamHandler[Any]]:
    found: list[logging.StreamHandler[Any]] = []
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith("torch") and isinstance(logger, logging.Logger):
            plain = [h for h in logger.handlers if type(h) is logging.StreamHandler]
            found += [h for h in plain if h not in found]
    return found
