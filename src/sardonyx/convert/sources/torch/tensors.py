"""Between arrays and PyTorch's tensors, and a module that is left as it was."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def tensor(x: Any) -> Any:
    """An array as a tensor that shares nothing with it."""
    import torch

    if isinstance(x, torch.Tensor):
        return x.detach().clone()
    array = np.array(x)
    if array.dtype == DType.BFLOAT16.numpy:
        return torch.from_numpy(array.astype(np.float32)).bfloat16()
    return torch.from_numpy(array)


def plain(tensor: Any) -> Array:
    """A tensor as an array."""
    kept = tensor.detach().cpu()
    if str(kept.dtype) != "torch.bfloat16":
        found: Array = kept.numpy()
        return found
    return np.asarray(kept.float().numpy(), DType.BFLOAT16.numpy)


def tensors_of(found: Any) -> list[Any]:
    """The tensors of what forward() returns, in order."""
    import torch

    return [t for t in torch.utils._pytree.tree_leaves(found) if isinstance(t, torch.Tensor)]


def output_names(found: Any, taken: set[str]) -> list[str]:
    """Names for the tensors of what forward() returns: the keys of a mapping, else `output`; []
    where it returns something else. A name that is taken gets the ending `_out`.
    """
    stems = list(_stems("", found))
    if len(stems) != len(tensors_of(found)):
        return []
    named = [_output_name(stem) for stem in stems]
    return [f"{name}_out" if name in taken else name for name in named]


def _stems(stem: str, found: Any) -> Iterator[str]:
    if isinstance(found, Mapping):
        items: Iterator[tuple[Any, Any]] = iter(found.items())
    elif isinstance(found, tuple) and hasattr(found, "_asdict"):
        items = iter(found._asdict().items())
    elif isinstance(found, list | tuple):
        items = iter(enumerate(found))
    else:
        if hasattr(found, "detach"):
            yield stem
        return
    for key, item in items:
        name = re.sub(r"\W", "_", str(key))
        yield from _stems(f"{stem}_{name}" if stem else name, item)


def _output_name(stem: str) -> str:
    if not stem:
        return "output"
    return f"output_{stem}" if stem[0].isdigit() else stem


def first_line(problem: BaseException) -> str:
    """The first line of an exception's text (with what it announces), without colours."""
    text = _COLOUR.sub("", str(problem))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return said[:300] or type(problem).__name__


@contextlib.contextmanager
def kept(model: Any, training: bool = False) -> Iterator[None]:
    """The module in eval mode meanwhile (or in the mode that it is in, for `training`); every flag
    and buffer is then what it was before.
    """
    modes = [(m, m.training) for m in model.modules()]
    places = [(m._buffers, dict(m._buffers)) for m in model.modules() if type(m._buffers) is dict]
    contents = [(b, b.detach().clone()) for b in model.buffers()]
    if not training:
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
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Holds back what PyTorch prints and logs; what it warns of is in the list."""
    sink = io.StringIO()
    held = [(h, h.setStream(sink)) for h in _handlers()]
    try:
        with (
            warnings.catch_warnings(record=True) as said,
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
        ):
            warnings.simplefilter("always")
            yield said
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
