"""Modules whose names are found when they are first used, and noted where they are missing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sardonyx.dropin.face import NAME, missing


def lazily(
    module: str, places: Mapping[str, Sequence[str]]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` of a module of ONNX Runtime (`capi.…`).

    `places` says which names come from which module of the package.
    """
    home = {name: place for place, names in places.items() for name in names}

    def get(name: str) -> Any:
        if name not in home:
            if not name.startswith("__"):
                missing(f"{NAME}.{module}.{name}")
            raise AttributeError(f"module '{NAME}.{module}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"sardonyx.{home[name]}"), name)

    return sorted(home), get, lambda: sorted(home)
