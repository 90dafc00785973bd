"""The known providers: the built-in ones, and those other packages register."""

from __future__ import annotations

import functools
from importlib import metadata

from sardonyx.core.errors import ProviderUnavailable
from sardonyx.graph.ir import Graph
from sardonyx.providers.base import Provider
from sardonyx.providers.interpreter import InterpreterProvider
from sardonyx.providers.native import NativeProvider
from sardonyx.providers.onnxruntime import OnnxRuntimeProvider
from sardonyx.providers.openvino import OpenVinoProvider
from sardonyx.providers.reference import ReferenceProvider

GROUP = "sardonyx.providers"


BUILT_IN: tuple[type[Provider], ...] = (
    NativeProvider,
    InterpreterProvider,
    ReferenceProvider,
    OnnxRuntimeProvider,
    OpenVinoProvider,
)


@functools.cache
def providers() -> dict[str, Provider]:
    """Every known provider by name, best first."""
    kinds = [*BUILT_IN, *(point.load() for point in metadata.entry_points(group=GROUP))]
    return {kind.name: kind() for kind in kinds}


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
    known = providers().values()
    return next((p for p in known if name == p.name or name.lower() in p.aliases), None)
