"""What is said of a model's inputs, and which sizes of their symbols are tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sardonyx.convert.source import Feeds, Request, Source, Trial
from sardonyx.core.dim import Spec, parse_spec
from sardonyx.core.errors import RuntimeException, UsageError

PRIMES = (3, 5, 7, 11, 13, 17)
_ROUND = (8, 16, 32, 64, 224)


def asked(
    inputs: Any, dynamic: Mapping[str, str] | None, sizes: Mapping[str, int | range]
) -> Request:
    """What `inputs` says: shapes (texts, `Spec`s, or a mapping of names to dims), or examples.

    Examples are a tuple of positional arguments, a mapping of keyword arguments, or one argument.
    """
    if inputs is None:
        return Request(sizes=sizes)
    if isinstance(inputs, Mapping) and all(isinstance(x, str) for x in inputs.values()):
        inputs = [f"{name}={shape}" for name, shape in inputs.items()]
    if isinstance(inputs, str | Spec):
        inputs = [inputs]
    shapes = isinstance(inputs, Sequence) and all(isinstance(x, str | Spec) for x in inputs)
    if shapes:
        return Request(specs=specs_of(inputs), sizes=sizes)
    if isinstance(inputs, Mapping):
        return Request(example=((), inputs), dynamic=dynamic or {}, sizes=sizes)
    positional = inputs if isinstance(inputs, tuple) else (inputs,)
    return Request(example=(positional, {}), dynamic=dynamic or {}, sizes=sizes)


def specs_of(inputs: Iterable[str | Spec]) -> tuple[Spec, ...]:
    """The shapes; UsageError (E0910) with a caret, and for a name given twice."""
    specs = [one if isinstance(one, Spec) else parse_spec(one) for one in inputs]
    names = [s.name for s in specs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError("E0910", f"the input `{twice.pop()}` is given twice")
    return tuple(specs)


def symbols_of(source: Source) -> list[str]:
    """The symbols of all inputs, in order, each once."""
    return list(dict.fromkeys(s for i in source.inputs for s in i.symbols))


def settled(source: Source, sizes: Mapping[str, int | range]) -> tuple[dict[str, int], Feeds]:
    """Example sizes that the source runs on, and what it was fed; those of `sizes` stand.

    UsageError (E0911) for a size of no symbol; what the source said of the first sizes where it
    takes none of those tried.
    """
    names = symbols_of(source)
    unknown = [n for n in sizes if n not in names]
    if unknown:
        known = ", ".join(names) or "none"
        raise UsageError("E0911", f"`{unknown[0]}` is no symbol of the inputs", wanted=known)
    refusal: RuntimeException | None = None
    preferred = {n: source.preferred[n] for n in names if n in source.preferred}
    for one in _candidates(names, {**preferred, **sizes}):
        feeds = Trial("", source.sample(one, 0)).feeds
        try:
            source.run(feeds)
        except RuntimeException as error:
            refusal = refusal or error
        else:
            return one, feeds
    assert refusal is not None
    raise refusal


def _candidates(names: Sequence[str], sizes: Mapping[str, int | range]) -> Iterator[dict[str, int]]:
    """Distinct primes in both orders, then equal round sizes, each within what is allowed."""
    primes = [PRIMES[i % len(PRIMES)] for i in range(len(names))]
    guesses = itertools.chain((primes, primes[::-1]), ([n] * len(names) for n in _ROUND))
    seen: list[dict[str, int]] = []
    for guess in guesses:
        one = {n: _within(size, sizes.get(n)) for n, size in zip(names, guess, strict=True)}
        if one not in seen:
            seen.append(one)
            yield one


def _within(size: int, allowed: int | range | None) -> int:
    if isinstance(allowed, range):
        return min(max(size, allowed[0]), allowed[-1])
    return size if allowed is None else allowed


def several(base: Mapping[str, int], sizes: Mapping[str, int | range]) -> Iterator[dict[str, int]]:
    """The example sizes, others above and below, and the least of each symbol alone and of all."""
    least = {n: _within(1, s) if isinstance(s := sizes.get(n), range) else 1 for n in base}
    most = {n: s[-1] for n, s in sizes.items() if isinstance(s, range) and n in base}
    tried = [dict(base)]
    tried += [{**base, name: least[name]} for name in base]
    tried.append(least)
    other = {n: size // 2 if size > PRIMES[-1] else size + 4 for n, size in base.items()}
    tried.append({n: min(max(s, least[n]), most.get(n, s)) for n, s in other.items()})
    tried += [{**base, name: size} for name, size in most.items()]
    for n, one in enumerate(tried):
        if one not in tried[:n]:
            yield one


def spelled(sizes: Mapping[str, int]) -> str:
    """`N=3, H=5`, or `as given` where nothing is open."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "as given"
