"""`sardonyx explain`: an error code, or how a node is compiled."""

from __future__ import annotations

import re
from typing import Any

import click

from sardonyx.cli.commands.dump import chosen
from sardonyx.cli.data import open_model
from sardonyx.cli.output import Output, speaks
from sardonyx.core.codes import explanations
from sardonyx.core.errors import NotFound, UsageError
from sardonyx.core.escape import sanitise
from sardonyx.core.near import near
from sardonyx.engine.stages import reasons
from sardonyx.passes.pipeline import optimize, prepare


@click.command()
@click.argument("what")
@click.option("--node", metavar="NAME|N", help="Only what became of this node.")
@speaks
def command(what: str, node: str | None, out: Output) -> None:
    """Explain an error code, or which rules and strategies took a model's nodes and why.

    \b
    sardonyx explain E0203
    sardonyx explain net.onnx --node /conv1/Conv
    """
    if re.fullmatch(r"[EeWw]\d+", what):
        _code(what.upper(), out)
        return
    if "." not in what and "/" not in what and what != "-":
        raise UsageError("E0901", f"`{what}` is neither an error code nor a model file")
    graph = open_model(what)
    better = optimize(graph)
    names = chosen(graph, node)
    entries: list[dict[str, Any]] = []
    prepared = prepare(better.graph, log=better.log)
    for entry, lines in reasons(prepared):
        if names is None or any(n.name in names for n in entry.nodes):
            entries.append({"step": entry.title, "strategies": lines})
    rules = [
        {"rule": r.rule, "op": r.op, "node": r.node, "refused": r.reason}
        for r in better.log.records
        if names is None or r.node in names
    ]
    out.data("explain", {"rules": rules, "steps": entries}, lambda: _text(rules, entries))


def _text(rules: list[dict[str, Any]], entries: list[dict[str, Any]]) -> str:
    lines = ["rules"] if rules else []
    for r in rules:
        became = f"refused, {r['refused']}" if r["refused"] else "changed"
        lines.append(f"  {r['rule']}: {r['op']} `{sanitise(r['node'])}`: {became}")
    for e in entries:
        lines.append(e["step"])
        lines += [f"  {line}" for line in e["strategies"]]
    return "\n".join(lines)


def _code(code: str, out: Output) -> None:
    known = explanations()
    found = known.get(code)
    if found is None:
        others = [other for other in known if other[:3] == code[:3]] or known
        hint = near(code, others, "{}", cutoff=0.0)
        raise NotFound("E0904", f"there is no error `{code}`", hint=hint)
    out.data(
        "explain",
        {"code": code, **found._asdict()},
        lambda: f"{code}: {found.title}\n\n{found.meaning}\n\n{found.mend}",
    )
