"""Which provider runs a session: the first usable one of those asked for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sardonyx.core.errors import InvalidArgument, ProviderUnavailable
from sardonyx.providers.base import Provider
from sardonyx.providers.registry import find, get_all_providers

Providers: TypeAlias = "Sequence[str | tuple[str, Mapping[str, Any]]]"
DEFAULT = "CPUExecutionProvider"
_SHARED = ("OpenVINOExecutionProvider",)  # ONNX Runtime has one of that name too


def choose(
    asked: Providers | None, options: Sequence[Mapping[str, Any]] | None = None
) -> tuple[Provider, Mapping[str, Any]]:
    """The provider and its options; what is passed over is said in a UserWarning.

    Where none can be used, those that are ONNX Runtime's (`CUDAExecutionProvider`) give way to the
    CPU as they do there; one of ours or an unknown word raises ProviderUnavailable. InvalidArgument
    (E0257) for what is neither a name nor a pair.
    """
    named = [asked] if isinstance(asked, str) else asked
    pairs = given_pairs(named, options) if named else [(DEFAULT, {})]
    refused: list[ProviderUnavailable] = []
    for name, extra in pairs:
        try:
            provider = find(name)
        except ProviderUnavailable as problem:
            refused.append(problem)
            continue
        return _instead(provider, refused), extra
    for (name, _), first in zip(pairs, refused, strict=True):
        if not _elsewhere(name):
            raise first
    return _instead(find(DEFAULT), refused), {}


def given_pairs(asked: Any, options: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Names of providers and their options, given as pairs or one list beside the other.

    InvalidArgument (E0257) for what is neither, and for both at once.
    """
    for given in (asked, options):
        if given is not None and not isinstance(given, Sequence):
            raise InvalidArgument(
                "E0257", "providers and their options are lists", given=type(given).__name__
            )
    if options is not None and len(options) != len(asked):
        raise InvalidArgument(
            "E0257", "there are options for another number of providers", given=len(options),
            wanted=len(asked),
        )  # fmt: skip
    given = options if options is not None else [{} for _ in asked]
    pairs = []
    for one, extra in zip(asked, given, strict=True):
        pair = (one, extra) if isinstance(one, str) else one if not extra else None
        match pair:
            case [str(), Mapping()]:
                pairs.append((pair[0], pair[1]))
            case _:
                raise InvalidArgument(
                    "E0257", "a provider is a name, or a name and its options", given=one,
                    wanted='"CPUExecutionProvider"',
                )  # fmt: skip
    return pairs


def _elsewhere(name: str) -> bool:
    """Whether the name is one of ONNX Runtime's, or of a plugin of it, that nobody has here."""
    ours = name in get_all_providers() and name not in _SHARED
    return name.endswith("ExecutionProvider") and not ours


def _instead(provider: Provider, refused: Sequence[ProviderUnavailable]) -> Provider:
    for passed in refused:
        said = f"Specified provider is not available: {passed.message}; using {provider.name}"
        warnings.warn(said, UserWarning, stacklevel=4)
    return provider
