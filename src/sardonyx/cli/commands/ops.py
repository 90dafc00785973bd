"""`sardonyx ops`: the operators and how far each is supported."""

from __future__ import annotations

import inspect
from typing import Any

import click

import sardonyx.ops  # noqa: F401 - importing it makes the operators known
from sardonyx.cli.output import Output, speaks, table
from sardonyx.core.errors import NotFound
from sardonyx.core.near import near
from sardonyx.graph.op import Op, registered


@click.command()
@click.argument("names", nargs=-1)
@speaks
def command(names: tuple[str, ...], out: Output) -> None:
    """List the operators: the versions known, and whether each compiles or runs in numpy.

    \b
    sardonyx ops
    sardonyx ops Softmax Conv
    """
    known = sorted(registered().items())
    kinds = {name for (_, name), _ in known}
    for name in names:
        if name not in kinds:
            said = f"no operator is called `{name}`"
            raise NotFound("E0907", said, hint=near(name, kinds))
    rows = [
        row(domain, name, versions)
        for (domain, name), versions in known
        if not names or name in names
    ]
    columns = ("operator", "domain", "versions", "runs", "what it does")
    out.data("ops", {"operators": rows}, lambda: table(columns, [tuple(r.values()) for r in rows]))


def row(domain: str, name: str, versions: dict[int, type[Op]]) -> dict[str, Any]:
    """What is told of an operator: its versions, how it runs, and what it does in a sentence."""
    latest = versions[max(versions)]
    text = (inspect.getdoc(latest) or "").partition("\n\n")[0]
    return {
        "operator": name,
        "domain": domain or "ai.onnx",
        "versions": ", ".join(map(str, sorted(versions))),
        "runs": _runs(latest),
        "summary": " ".join(text.split()),
    }


def _runs(op: type[Op]) -> str:
    if any(op.has(way) for way in ("at", "at_output", "contract", "build")):
        return "compiled"
    if op.has("expand"):
        return "in parts"
    if op.has("enter"):
        return "its bodies"
    return "in numpy" if op.has("reference") or op.has("control") else "no"
