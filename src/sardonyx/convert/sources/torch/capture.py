"""PyTorch's exporters behind one face: torch.export, TorchScript by tracing, and by scripting."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sardonyx.convert.place import origin
from sardonyx.convert.source import Controls, Exported, Trial
from sardonyx.convert.sources.torch.call import Traceable
from sardonyx.convert.sources.torch.guards import watched
from sardonyx.convert.sources.torch.remarks import frozen, modes, state
from sardonyx.convert.sources.torch.tensors import first_line, kept, output_names, quiet, tensor
from sardonyx.core.errors import ConvertError, UsageError
from sardonyx.core.knobs import silence_peers
from sardonyx.graph.origin import innermost

_FOLLOWING = (
    "the exporter follows one path through forward(): it cannot branch on the values of tensors; "
    "a dim that the code fixes must be a number in --input; --capture trace takes some of what "
    "torch.export refuses, and is compared with the source all the same"
)
_SCRIPTING = "scripting compiles forward() itself: its types must be annotated, its calls PyTorch's"
_POINTED = re.compile(r'File "([^"]+)", line (\d+)\n((?:.*\n)*?)\s*~+ <--- HERE')
CAPTURES = ("export", "trace", "script")
_OLDEST = 18  # torch.export's translations are written for no older opset


def export(source: Traceable, folder: Path, sizes: Mapping[str, int]) -> Exported:
    """Writes `model.onnx` into the folder, with the symbols of the source's inputs.

    ConvertError (E0602) with the exporter's own words, and the user's line.
    """
    silence_peers()
    import torch

    capture = source.request.controls.capture
    scripted = isinstance(source.model, torch.jit.ScriptModule)
    if capture is None:
        capture = "script" if scripted else "export"
    if capture not in CAPTURES or (scripted and capture != "script"):
        wanted = "script" if scripted else ", ".join(CAPTURES)
        raise UsageError("E0612", f"no such capture of this model: {capture}", wanted=wanted)
    feeds = Trial("", source.sample(sizes, 0)).feeds
    names = output_names(source.forward(source.model, feeds), {i.name for i in source.inputs})
    tensors = {n: tensor(x) for n, x in feeds.items()}
    remarks = [*modes(source), *state(source, feeds)]
    if capture == "export":
        made = _exported(source, tensors, names, folder / "model.onnx")
    else:
        made = _scripted(source, tensors, names, folder / "model.onnx", capture)
    return replace(made, remarks=(*remarks, *made.remarks))


def _exported(
    source: Traceable, tensors: Mapping[str, Any], names: list[str], path: Path
) -> Exported:
    """By torch.export; what it took for granted about sizes is kept."""
    args, kwargs = source.call.build(tensors)
    inputs = source.call.names()
    with watched() as guards, quiet(), kept(source.model, source.training), failures():
        _register(args, kwargs)
        shapes = _dynamic(source, tensors, args, kwargs)
        given = {"args": args, "kwargs": kwargs, "dynamic_shapes": shapes}
        of_program(source.model, source.request.controls, inputs, names, path, **given)
    return Exported(path, fixed=guards.fixed(inputs))


def of_program(
    model: Any, controls: Controls, inputs: list[str], names: list[str], path: Path, **given: Any
) -> None:
    """Writes a module or an exported program by torch.export's exporter."""
    import torch

    opset = controls.opset
    program = torch.onnx.export(
        model,
        **given,
        dynamo=True,
        input_names=inputs,
        output_names=names or None,
        opset_version=opset if opset is None or opset >= _OLDEST else None,
        custom_translation_table=controls.translations,
        optimize=controls.fold is not False,
        verbose=False,
    )
    assert program is not None
    program.save(str(path))


def _scripted(
    source: Traceable, tensors: Mapping[str, Any], names: list[str], path: Path, capture: str
) -> Exported:
    """By TorchScript; what tracing warned of is kept."""
    import torch

    controls = source.request.controls
    mode = torch.onnx.TrainingMode
    axes = {
        i.name: {n: d for n, d in enumerate(i.dims) if isinstance(d, str)} for i in source.inputs
    }
    with quiet() as said, kept(source.model, source.training), failures(), _unlogged():
        model, args, kwargs = _for_script(source, tensors, capture)
        torch.onnx.export(
            model,
            args=args,
            f=str(path),
            kwargs=kwargs,
            dynamo=False,
            input_names=source.call.names(),
            output_names=names or None,
            opset_version=controls.opset,
            do_constant_folding=controls.fold is not False,
            training=mode.PRESERVE if source.training else mode.EVAL,
            dynamic_axes={name: one for name, one in axes.items() if one},
            verbose=True,  # or the nodes do not tell the lines that they come from
        )
    return Exported(path, remarks=list(frozen(said)))


@contextmanager
def _unlogged() -> Iterator[None]:
    """Without the log of the exporter, which goes around Python's standard output."""
    import torch

    log = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log


def _for_script(source: Traceable, tensors: Mapping[str, Any], capture: str) -> tuple[Any, ...]:
    """(model, args, kwargs) as TorchScript takes them: arguments that are no tensors, mappings or
    tuples are built inside a module around the model.
    """
    import torch

    args, kwargs = source.call.build(tensors)
    if capture == "trace":
        if not source.call.nested:
            return source.model, args, kwargs
        return _flat(source), tuple(tensors[n] for n in source.call.names()), {}
    if isinstance(source.model, torch.jit.ScriptModule):
        return source.model, args, kwargs
    return torch.jit.script(source.model), args, kwargs


def _flat(source: Traceable) -> Any:
    """A module of tensors only around one of nested arguments; its parameters keep their names."""
    import torch

    def forward(self: Any, *tensors: Any) -> Any:
        args, kwargs = source.call.build(dict(zip(self.names, tensors, strict=True)))
        return self.inner[0](*args, **kwargs)

    flat = type("Flat", (torch.nn.Module,), {"forward": forward})()
    flat.inner, flat.names = (source.model,), source.call.names()
    for held in ("_parameters", "_buffers", "_modules"):
        setattr(flat, held, getattr(source.model, held))
    return flat


def _dynamic(
    source: Traceable, tensors: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The symbols as torch.export takes them, in the structure of the arguments."""
    import torch

    names = dict.fromkeys(s for i in source.inputs for s in i.symbols)
    if not names:
        return None
    sizes = source.request.sizes
    dims = {name: torch.export.Dim(name, **_bounds(sizes.get(name))) for name in names}
    shapes = torch.export.ShapesCollection()
    for i in source.inputs:
        found = {n: dims[d] for n, d in enumerate(i.dims) if isinstance(d, str)}
        if found:
            shapes[tensors[i.name]] = found
    return shapes.dynamic_shapes(source.model, args, kwargs)


def _bounds(size: int | range | None) -> dict[str, int]:
    return {"min": size[0], "max": size[-1]} if isinstance(size, range) else {"min": 1}


def _register(*arguments: Any) -> None:
    """Makes dataclasses known to torch.export, which takes no others."""
    import torch

    def visit(value: Any) -> None:
        if dataclasses.is_dataclass(value) and not isinstance(value, type | Mapping):
            if type(value) not in torch.utils._pytree.SUPPORTED_NODES:
                torch.export.register_dataclass(type(value))
            value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        for item in value.values() if isinstance(value, Mapping) else value:
            if isinstance(item, Mapping | list | tuple) or dataclasses.is_dataclass(item):
                visit(item)

    for argument in arguments:
        visit(argument)


@contextmanager
def failures() -> Iterator[None]:
    """What an exporter raises, as ConvertError (E0602) with its own words and the user's line."""
    try:
        yield
    except Exception as problem:
        deepest: BaseException = problem
        while deepest.__cause__ is not None:
            deepest = deepest.__cause__
        raise ConvertError(
            "E0602",
            f"PyTorch's exporter failed: {type(deepest).__name__}: {first_line(deepest)}",
            source=innermost(str(deepest)) or _script_line(str(deepest)) or origin(deepest),
            hint=_SCRIPTING if _POINTED.search(str(deepest)) else _FOLLOWING,
        ) from problem


def _script_line(text: str) -> str | None:
    """The line that TorchScript's compiler points at."""
    found = _POINTED.search(text)
    if found is None:
        return None
    first, block = int(found.group(2)), found.group(3).splitlines()
    code = block[-1].strip()
    return f"{found.group(1)}:{first + len(block) - 1}: {code}"
