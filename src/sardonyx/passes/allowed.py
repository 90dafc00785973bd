"""Whether a node has the inputs and outputs, and their types, that its operator allows."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sardonyx.core.errors import InvalidGraph
from sardonyx.graph.op import Op, domain_of
from sardonyx.graph.type import Type
from sardonyx.ops.signatures import ROWS, SETS


@dataclass(frozen=True)
class Formal:
    """One input or output of an operator: the types it may have, the name of those alike.

    `many` is any number of them; one that is not `needed` may be left out.
    """

    name: str
    types: frozenset[str]
    many: bool = False
    needed: bool = True


@dataclass(frozen=True)
class Side:
    """The inputs of a version of an operator, or its outputs: `most` is None without an end."""

    formals: tuple[Formal, ...]
    least: int
    most: int | None

    def wrong(self, given: Sequence[object | None], word: str) -> Iterator[str]:
        """What is wrong with how many are given, and with which of them are left out (None)."""
        if len(given) < self.least:
            yield f"takes {self.least} {word}s at least, this has {len(given)}"
        if self.most is not None and len(given) > self.most:
            yield f"takes {self.most} {word}s at most, this has {len(given)}"
        for n, (formal, one) in enumerate(zip(self.formals, given, strict=False)):
            if one is None and formal.needed and not formal.many:
                yield f"needs its {word} {n}"


@dataclass(frozen=True)
class Signature:
    """What the standard's version `since` of an operator takes and gives."""

    since: int
    inputs: Side
    outputs: Side


def refuse_types(
    op: Op, opset: int | None, given: Sequence[Type | None], made: Sequence[Type | None] = ()
) -> None:
    """InvalidGraph for types of inputs, or of outputs `made`.

    E0324 for one that is not allowed, E0323 for types that must be alike.
    """
    opset = None if opset is None else max(opset, type(op).since)
    found = signature(domain_of(op), op.op_type, opset)
    if found is None:
        return
    alike: dict[str, str] = {}
    version = "" if opset is None else f" of opset {opset}"
    for side, types, verb, word in (
        (found.inputs, given, "take", "input"), (found.outputs, made, "give", "output"),
    ):  # fmt: skip
        for n, formal, held in _pairs(side.formals, types):
            if held not in formal.types:
                raise InvalidGraph(
                    "E0324",
                    f"{op.op_type}{version} does not {verb} {held} as its {word} {n}",
                    given=held,
                    wanted=", ".join(sorted(formal.types)),
                )
            if formal.name and alike.setdefault(formal.name, held) != held:
                said = f"{word} {n} of {op.op_type} must have the type of the others"
                raise InvalidGraph("E0323", said, given=held, wanted=alike[formal.name])


def _pairs(
    row: Sequence[Formal], types: Sequence[Type | None]
) -> Iterator[tuple[int, Formal, str]]:
    for n, t in enumerate(types):
        found = None if t is None else spelled(t)
        if found is not None and row and (n < len(row) or row[-1].many):
            yield n, row[min(n, len(row) - 1)], found


def formals(domain: str, name: str, opset: int | None) -> tuple[Formal, ...]:
    """The inputs of an operator; none where the standard does not have it."""
    found = signature(domain, name, opset)
    return () if found is None else found.inputs.formals


@functools.cache
def signature(domain: str, name: str, opset: int | None) -> Signature | None:
    """The version in force; None where the standard does not have it."""
    versions = {since: row for since, row in ROWS.get((domain, name), {}).items() if row}
    # Tools write operators into models of opsets that did not have them yet: the first version.
    usable = [v for v in versions if opset is None or v <= opset] or sorted(versions)[:1]
    return _read(max(usable), versions[max(usable)]) if usable else None


def since(domain: str, name: str, opset: int) -> int | None:
    """The version of an operator in force, None where there is none or it is deprecated."""
    versions = ROWS.get((domain, name), {})
    first = max((v for v in versions if v <= opset), default=None)
    return first if first is not None and versions[first] else None


def _read(first: int, row: str) -> Signature:
    sides, counts = row.split(" | ")
    inputs, outputs = sides.split(">")
    ends = [int(n) for n in counts.split()]
    return Signature(first, _side(inputs, *ends[:2]), _side(outputs, *ends[2:]))


def _side(text: str, least: int, most: int) -> Side:
    formals = tuple(map(_formal, text.split()))
    return Side(formals, least, None if not most and formals else most)


def _formal(text: str) -> Formal:
    name, _, rest = text.partition(":")
    number = rest.rstrip("*~?")
    mark = rest[len(number) :]
    return Formal(name, frozenset(SETS[int(number)].split()), mark in ("*", "~"), not mark)


def spelled(t: Type) -> str | None:
    """A type as the table spells it; None where something of it is not known."""
    if t.kind == "tensor":
        return None if t.dtype is None else str(t.dtype)
    inner = None if t.elem is None else spelled(t.elem)
    if t.kind not in ("sequence", "optional", "map") or inner is None:
        return None
    if t.kind == "map":
        return None if t.dtype is None else f"map({t.dtype},{inner})"
    return f"{'seq' if t.kind == 'sequence' else 'optional'}({inner})"
