"""An exported program (.pt2): captured by its author, its inputs and symbols are its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sardonyx.convert.exporters import fitted
from sardonyx.convert.source import Exported, Feeds, Input, Request, Source
from sardonyx.convert.sources.torch.capture import failures, of_program
from sardonyx.convert.sources.torch.tensors import (
    first_line,
    output_names,
    plain,
    quiet,
    tensor,
    tensors_of,
)
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import RuntimeException


class ProgramSource(Source):
    """The symbols are the program's own, or the names that `specs` give to its dims, in order.

    ConvertError (E0608) where the specs do not fit.
    """

    framework = "PyTorch"

    def __init__(self, program: Any, request: Request) -> None:
        import torch

        self.program, self.request = program, request
        self._leaves, self._structure = torch.utils._pytree.tree_flatten(program.example_inputs)
        nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
        tensors = [nodes[name].meta["val"] for name in program.graph_signature.user_inputs]
        names = program.graph_signature.user_inputs
        own = [_input(n, t) for n, t in zip(names, tensors, strict=True) if hasattr(t, "shape")]
        self.inputs = fitted(own, request)
        self.preferred = {
            name: hint
            for i, t in zip(self.inputs, tensors, strict=True)
            for name, hint in zip(i.dims, map(_hint, t.shape), strict=True)
            if isinstance(name, str)
        }

    def run(self, feeds: Feeds) -> list[Array]:
        return [plain(t) for t in tensors_of(self._forward(feeds))]

    def _forward(self, feeds: Feeds) -> Any:
        import torch

        given = iter([tensor(x) for x in feeds.values()])
        leaves = [next(given) if hasattr(x, "shape") else x for x in self._leaves]
        args, kwargs = torch.utils._pytree.tree_unflatten(leaves, self._structure)
        try:
            with torch.no_grad(), quiet():
                return self.program.module()(*args, **kwargs)
        except Exception as problem:
            shapes = ", ".join(f"{n} {list(x.shape)}" for n, x in feeds.items())
            said = f"PyTorch cannot run the program on {shapes}: {first_line(problem)}"
            raise RuntimeException("E0604", said, hint="give sizes that suit it") from problem

    def export(self, folder: Path, sizes: Mapping[str, int]) -> Exported:
        feeds = {n: r.array() for n, r in self.recipes(sizes, 0).items()}
        taken = {i.name for i in self.inputs}
        names = output_names(self._forward(feeds), taken)
        path = folder / "model.onnx"
        with quiet(), failures():
            of_program(
                self.program, self.request.controls, [i.name for i in self.inputs], names, path
            )
        return Exported(path)

    def provenance(self) -> dict[str, str]:
        import torch

        return {"torch": torch.__version__}


def _input(name: str, fake: Any) -> Input:
    dims = tuple(_dim(d) for d in fake.shape)
    return Input(name, dims, DType.parse(str(fake.dtype).removeprefix("torch.")))


def _dim(size: Any) -> int | str:
    """A number, or the name of a symbol; what is computed from symbols is as in the example."""
    text = str(size)
    if isinstance(size, int) or text.isdecimal():
        return int(size)
    return text if text.isidentifier() else _hint(size)


def _hint(size: Any) -> int:
    return size if isinstance(size, int) else int(size.node.hint)
