"""Whether a node's inputs have types that its operator allows in the model's opset."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from sardonyx.core.errors import InvalidGraph
from sardonyx.graph.op import Op, domain_of
from sardonyx.graph.type import Type
from sardonyx.ops.signatures import ROWS, SETS


@dataclass(frozen=True)
class Formal:
    """One input of an operator: the types it may have, and the name of those that are alike."""

    name: str
    types: frozenset[str]
    many: bool = False


def refuse_types(op: Op, opset: int | None, given: Sequence[Type | None]) -> None:
    """InvalidGraph (E0324) for a type that is not allowed, E0323 for types that must be alike."""
    opset = None if opset is None else max(opset, type(op).since)
    row = formals(domain_of(op), op.op_type, opset)
    alike: dict[str, str] = {}
    for n, t in enumerate(given):
        found = None if t is None else spelled(t)
        if found is None or not row or (n >= len(row) and not row[-1].many):
            continue
        formal = row[min(n, len(row) - 1)]
        if found not in formal.types:
            version = "" if opset is None else f" of opset {opset}"
            raise InvalidGraph(
                "E0324",
                f"{op.op_type}{version} does not take {found} as its input {n}",
                given=found,
                wanted=", ".join(sorted(formal.types)),
            )
        if formal.name and alike.setdefault(formal.name, found) != found:
            said = f"input {n} of {op.op_type} must have the type of the others"
            raise InvalidGraph("E0323", said, given=found, wanted=alike[formal.name])


@functools.cache
def formals(domain: str, name: str, opset: int | None) -> tuple[Formal, ...]:
    """The inputs of an operator; none where the standard does not have it."""
    versions = ROWS.get((domain, name), {})
    # Tools write operators into models of opsets that did not have them yet: the first version.
    usable = [v for v in versions if opset is None or v <= opset] or sorted(versions)[:1]
    return tuple(map(_formal, versions[max(usable)].split())) if usable else ()


def _formal(text: str) -> Formal:
    name, _, rest = text.partition(":")
    number = rest.rstrip("*~")
    return Formal(name, frozenset(SETS[int(number)].split()), number != rest)


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
