"""What a reader should know of an export from PyTorch: frozen branches, training mode, state."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from sardonyx.convert.source import Feeds, Remark
from sardonyx.convert.sources.torch.call import Traceable
from sardonyx.convert.sources.torch.tensors import kept, quiet, tensor

_FROZEN = {
    "boolean": ("frozen branch", "a branch on a tensor followed the example's values",
                "say it by torch.where, or capture by script"),
    "Iterating": ("unrolled loop", "a loop over a tensor was unrolled for the example's length",
                  "work on the whole tensor, or capture by script"),
    "integer": ("baked value", "a number was taken out of a tensor of the example",
                "keep it a tensor, or take it from x.shape"),
    "float": ("baked value", "a number was taken out of a tensor of the example",
              "keep it a tensor"),
    "index": ("baked value", "an index was taken out of a tensor of the example",
              "index by the tensor"),
    "NumPy": ("baked value", "a tensor became an array of the example's elements",
              "compute it in PyTorch"),
    "constant": ("baked value", "a tensor was made of the example's elements",
                 "make it from the inputs"),
    "list": ("baked value", "a list was made of the example's elements", "keep it a tensor"),
    "len": ("baked shape", "len() of a tensor is that of the example", "take x.shape[0]"),
}  # fmt: skip


def frozen(said: Iterable[warnings.WarningMessage]) -> Iterator[Remark]:
    """What tracing warned of: values of the example that became part of the model."""
    seen = set[str]()
    for one in said:
        if one.category.__name__ != "TracerWarning":
            continue
        text = str(one.message)
        known = next((found for word, found in _FROZEN.items() if word in text), None)
        code = linecache.getline(one.filename, one.lineno).strip()
        source = f"{one.filename}:{one.lineno}: {code}"
        if known is not None and source not in seen:
            seen.add(source)
            kind, meaning, remedy = known
            yield Remark(kind, meaning, source, remedy)


def modes(source: Traceable) -> Iterator[Remark]:
    """Modules that the export took out of training mode, or left in it."""
    held = [name or "the model" for name, m in source.model.named_modules() if m.training]
    random = [n for n, m in source.model.named_modules() if m.training and _acts(m)]
    if source.training and random:
        text = f"exported as it is trained: {_some(random)}"
        yield Remark("training mode", text, remedy="leave --training out for inference")
    elif held and random:
        text = f"given in training mode, converted in eval mode: {_some(random)}"
        yield Remark("training mode", text, remedy="call model.eval(), or convert with --training")


def _acts(module: Any) -> bool:
    """Whether a module does something else in training."""
    name = type(module).__name__
    return "Dropout" in name or "BatchNorm" in name or "InstanceNorm" in name


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"`{n}`" for n in names[:3]) + more


def state(source: Traceable, feeds: Feeds) -> Iterator[Remark]:
    """Buffers that forward() changes: what a later call answers depends on earlier ones."""
    import torch

    model = source.model
    args, kwargs = source.call.build({n: tensor(x) for n, x in feeds.items()})
    with torch.no_grad(), quiet(), kept(model, source.training):
        before = {name: b.clone() for name, b in model.named_buffers()}
        model(*args, **kwargs)
        after = dict(model.named_buffers())
        changed = [n for n, was in before.items() if n in after and not after[n].equal(was)]
    for name in changed:
        owner, _, attribute = name.rpartition(".")
        module = model.get_submodule(owner)
        if not _acts(module):
            yield Remark(
                "state",
                f"forward() changes the buffer `{name}`: a model has no memory between runs",
                _changing_line(module, attribute),
                "make it an input and an output",
            )


def _changing_line(module: Any, attribute: str) -> str | None:
    """The line of a module's class that changes an attribute of its own."""
    try:
        lines, first = inspect.getsourcelines(type(module))
        path = inspect.getfile(type(module))
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return None
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name != "__init__":
            for node in ast.walk(function):
                if _changes(node, attribute):
                    at = first + node.lineno - 1  # type: ignore[attr-defined]
                    code = linecache.getline(path, at).strip()
                    return f"{path}:{at} in {function.name}: {code}"
    return None


def _changes(node: ast.AST, attribute: str) -> bool:
    """Whether a node assigns to `self.attribute`, a part of it, or calls a method in place."""
    if isinstance(node, ast.Assign):
        return any(_is(target, attribute) for target in node.targets)
    if isinstance(node, ast.AugAssign):
        return _is(node.target, attribute)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr.endswith("_") and _is(node.func.value, attribute)
    return False


def _is(node: ast.expr, attribute: str) -> bool:
    while isinstance(node, ast.Subscript):
        node = node.value
    return isinstance(node, ast.Attribute) and node.attr == attribute
