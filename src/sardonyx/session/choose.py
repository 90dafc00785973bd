"""Which provider runs a session: the first usable one of those asked for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sardonyx.core.errors import ProviderUnavailable
from sardonyx.providers.base import Provider
from sardonyx.providers.registry import find

Providers: TypeAlias = "Sequence[str | tuple[str, Mapping[str, Any]]]"
DEFAULT = "CPUExecutionProvider"


def choose(
    asked: Providers | None, options: Sequence[Mapping[str, Any]] | None = None
) -> tuple[Provider, Mapping[str, Any]]:
    """The provider and its options; what is passed over is said in a UserWarning.

    ProviderUnavailable, for the first one asked for, when none can be used.
    """
    refused: list[ProviderUnavailable] = []
    for n, one in enumerate(asked or [DEFAULT]):
        extra: Mapping[str, Any] = {}
        if isinstance(one, str):
            name = one
            extra = options[n] if options and n < len(options) else {}
        else:
            name, extra = one
        try:
            provider = find(name)
        except ProviderUnavailable as problem:
            refused.append(problem)
            continue
        for passed in refused:
            warnings.warn(f"{passed.message}; using {provider.name}", UserWarning, stacklevel=3)
        return provider, extra
    raise refused[0]
