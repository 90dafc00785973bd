"""`sardonyx upgrade`: the same model at another opset."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from rich.console import Group
from rich.text import Text

from sardonyx.cli.data import check_target, open_model, save_model
from sardonyx.cli.output import Output, speaks, table
from sardonyx.core.errors import UsageError
from sardonyx.core.escape import sanitise
from sardonyx.passes.version import Upgraded, upgrade


@click.command()
@click.argument("model")
@click.option("-o", "--output", metavar="FILE", help="Where to write the model.")
@click.option("--opset", type=int, help="The opset of ai.onnx; the newest if none is given.")
@click.option("--ml", type=int, metavar="OPSET", help="The opset of ai.onnx.ml.")
@click.option("--dry-run", is_flag=True, help="List what would change, and write nothing.")
@speaks
def command(
    model: str, output: str | None, opset: int | None, ml: int | None, dry_run: bool, out: Output
) -> int:
    """Move a model to another opset, newer or older; exit code 1 where a node cannot follow.

    \b
    sardonyx upgrade net.onnx -o net.new.onnx
    sardonyx upgrade net.onnx --opset 13 -o net.13.onnx
    sardonyx upgrade net.onnx --opset 9 --dry-run
    """
    if dry_run == (output is not None):
        raise UsageError("E0900", "say where to write the model, -o, or --dry-run")
    if output is not None:
        check_target(output, out)
    graph = open_model(model)
    with out.progress("upgrading"):
        made = upgrade(graph, opset, ml)
    if output is not None and not made.refused:
        save_model(made.graph, output, out)
    values = {
        "output": None if made.refused else output,
        "opsets": {d or "ai.onnx": n for d, n in made.graph.opsets.items()},
        "nodes": [len(graph), len(made.graph)],
        "changes": [{"way": r.rule, "node": r.node, "op": r.op} for r in made.log.changes],
        "refused": [{k: v for k, v in asdict(r).items() if k != "rule"} for r in made.refused],
    }
    out.data("upgrade", values, lambda: _text(made, out.quiet))
    return 1 if made.refused else 0


def _text(made: Upgraded, quiet: bool) -> Any:
    parts: list[Any] = []
    changes = made.log.changes
    if changes and not quiet:
        rows = [(sanitise(r.node), sanitise(r.op), r.rule) for r in changes]
        parts.append(table(("node", "operator", "way"), rows))
    if made.refused:
        rows = [(sanitise(r.node), sanitise(r.op), sanitise(r.reason)) for r in made.refused]
        parts.append(table(("node", "operator", "cannot follow"), rows))
    parts.append(Text(f"{len(changes)} changes, {len(made.refused)} nodes cannot follow"))
    return Group(*parts)
