"""PyTorch: modules, exported programs (.pt2), TorchScript (.ts) and pickled modules (.pt, .pth)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from sardonyx.convert.place import origin
from sardonyx.convert.source import Framework, Request, Source, comes_from
from sardonyx.convert.sources.torch.module import TorchSource
from sardonyx.convert.sources.torch.program import ProgramSource
from sardonyx.core.errors import ConvertError


class TorchFramework(Framework):
    """PyTorch, by its own exporters."""

    name = "PyTorch"
    suffixes = (".pt2", ".ts", ".pt", ".pth")
    packages = ("torch", "onnxscript", "onnx")
    extra = "torch"
    controls = frozenset({"capture", "training", "fold", "functions", "translations"})

    def match(self, model: object) -> bool:
        if comes_from(model, "transformers"):
            return False
        bases = {(c.__module__, c.__qualname__) for c in type(model).__mro__}
        program = ("torch.export.exported_program", "ExportedProgram")
        return program in bases or any(home.startswith("torch.nn") for home, _ in bases)

    def is_program(self, path: Path) -> bool:
        return path.suffix in (".pt", ".pth") and not _is_script(path)

    def load(self, path: Path) -> Any:
        import torch

        try:
            if path.suffix == ".pt2":
                return torch.export.load(path)
            if _is_script(path):
                return torch.jit.load(path, map_location="cpu")
            return torch.load(path, map_location="cpu", weights_only=False)
        except Exception as problem:
            said = f"`{path}` cannot be loaded: {type(problem).__name__}: {problem}"
            raise ConvertError(
                "E0601", said[:500], file=str(path), source=origin(problem)
            ) from problem

    def source(self, model: Any, request: Request) -> Source:
        kind = ProgramSource if hasattr(model, "graph_signature") else TorchSource
        return kind(model, request)


def _is_script(path: Path) -> bool:
    """Whether an archive holds TorchScript, which runs no Python."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


FRAMEWORK = TorchFramework()
