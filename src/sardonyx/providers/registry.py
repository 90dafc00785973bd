"""The known providers: the built-in ones, and those other packages register."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

from sardonyx.core.errors import ProviderUnavailable

if TYPE_CHECKING:
    from sardonyx.graph.ir import Graph
    from sardonyx.providers.base import Provider

GROUP = "sardonyx.providers"

# By name: aliases, the module beside this one, the class. Only what is asked for is imported.
BUILT_IN: dict[str, tuple[tuple[str, ...], str, str]] = {
    "CPUExecutionProvider": (("native", "cpu", "sardonyx"), "native", "NativeProvider"),
    "InterpreterExecutionProvider": (("interpreter",), "interpreter", "InterpreterProvider"),
    "ReferenceExecutionProvider": (("reference", "numpy"), "reference", "ReferenceProvider"),
    "OnnxRuntimeExecutionProvider": (("onnxruntime", "ort"), "onnxruntime", "OnnxRuntimeProvider"),
    "OpenVINOExecutionProvider": (("openvino", "ov"), "openvino", "OpenVinoProvider"),
}


@functools.cache
def _built_in(name: str) -> Provider:
    _, module, kind = BUILT_IN[name]
    made: Provider = getattr(importlib.import_module(f"sardonyx.providers.{module}"), kind)()
    return made


@functools.cache
def providers() -> dict[str, Provider]:
    """Every known provider by name, best first."""
    from importlib import metadata  # noqa: PLC0415 - slow, and for providers of others only

    others = [point.load() for point in metadata.entry_points(group=GROUP)]
    found = {name: _built_in(name) for name in BUILT_IN}
    for kind in others:
        found.setdefault(kind.name, kind())
    return found


def get_all_providers() -> list[str]:
    """The names of all known providers, usable here or not."""
    return list(providers())


def get_available_providers() -> list[str]:
    """The names of the providers that can be used here."""
    return [name for name, p in providers().items() if p.missing() is None]


def find(name: str) -> Provider:
    """The provider of that name or alias; ProviderUnavailable says how to get a missing one."""
    provider = _named(name)
    if provider is None:
        known = ", ".join(providers())
        raise ProviderUnavailable("E0251", f"no provider is called `{name}`", wanted=known)
    missing = provider.missing()
    if missing is not None:
        raise ProviderUnavailable(
            "E0250", f"the provider `{name}` is not installed here", hint=missing
        )
    return provider


def caveats(name: str, graph: Graph) -> list[str]:
    """`Provider.caveats` of the provider of that name or alias; none where nobody has it."""
    provider = _named(name)
    return [] if provider is None else provider.caveats(graph)


def _named(name: str) -> Provider | None:
    for own, (aliases, _, _) in BUILT_IN.items():
        if name == own or name.lower() in aliases:
            return _built_in(own)
    known = providers().values()
    return next((p for p in known if name == p.name or name.lower() in p.aliases), None)
