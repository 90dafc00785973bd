"""A module that answers to the name `onnxruntime`, and packaging data under that name."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

NAME = "onnxruntime"
FOLLOWS = "1.32.0"
MODULES = Path(__file__).parent / "modules"

Miss = Callable[[str], None]
_told: list[Miss] = []


def missing(name: str) -> None:
    """Tells whoever installed the face what was asked for and is missing."""
    for tell in _told:
        tell(name)


class Face(types.ModuleType):
    """Sardonyx under another name: its version is ONNX Runtime's, its submodules those of both."""

    def __init__(self, whole: types.ModuleType) -> None:
        super().__init__(NAME, whole.__doc__)
        self._whole = whole
        self.__file__, self.__path__ = whole.__file__, [str(MODULES)]
        self.__spec__ = ModuleSpec(NAME, None, origin=whole.__file__, is_package=True)
        self.__version__ = self.version = FOLLOWS

    def __getattr__(self, name: str) -> Any:
        if name == "capi":
            return importlib.import_module(f"{NAME}.{name}")
        if name == "get_version_string":
            return lambda: FOLLOWS
        try:
            return getattr(self._whole, name)
        except AttributeError:
            if not name.startswith("__"):
                missing(f"{NAME}.{name}")
            raise AttributeError(f"module '{NAME}' has no attribute '{name}'") from None

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._whole), *self.__dict__} - {"_whole"})


class _Packaged(metadata.Distribution):
    """The packaging data that programs read the version from."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {FOLLOWS}\n"

    def locate_file(self, path: Any) -> Any:
        return MODULES.parent.parent / path


class _Finder(metadata.DistributionFinder):
    """Finds the packaging data, and notes the submodules that nothing else finds."""

    def find_distributions(self, context: Any = None) -> Iterator[metadata.Distribution]:
        """Ours, where it or all are asked for."""
        asked = getattr(context, "name", None)
        if asked is None or asked.lower().replace("_", "-") == NAME:
            yield _Packaged()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        """None: a submodule that the folder has not is missing."""
        del target
        first, _, rest = fullname.partition(".")
        if first == NAME and rest and not any(_holds(Path(p), rest) for p in path or ()):
            missing(fullname)
        return None


def _holds(folder: Path, name: str) -> bool:
    last = folder / name.rpartition(".")[2]
    return last.is_dir() or last.with_suffix(".py").is_file()


def install(miss: Miss | None = None) -> types.ModuleType:
    """Gives the name `onnxruntime` to Sardonyx in this process, and the packaging data with it.

    Modules that imported another `onnxruntime` before keep it. `miss` is told the full name of
    whatever a program asks for and Sardonyx has not.
    """
    face = Face(sys.modules["sardonyx"])
    _told[:] = [] if miss is None else [miss]
    for name in [m for m in sys.modules if m == NAME or m.startswith(f"{NAME}.")]:
        del sys.modules[name]
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _Finder)]
    sys.meta_path.insert(0, _Finder())
    sys.modules[NAME] = face
    return face
