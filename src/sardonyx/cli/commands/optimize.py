"""`sardonyx optimize`: an equal model that runs faster anywhere."""

from __future__ import annotations

from typing import Any

import click

from sardonyx.cli.data import check_target, open_model, save_model
from sardonyx.cli.output import Output, speaks, table
from sardonyx.compare.operators import changes
from sardonyx.graph.ir import Graph
from sardonyx.passes.pipeline import optimize

LEVELS = ("off", "basic", "extended", "all")


@click.command()
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the model.")
@click.option("--level", type=click.Choice(LEVELS), default="all", show_default=True)
@click.option("--opset", type=int, help="Raise the model to this opset of ai.onnx.")
@speaks
def command(model: str, output: str, level: str, opset: int | None, out: Output) -> None:
    """Write an equal model that runs faster; standard ONNX, for any runtime.

    \b
    sardonyx optimize net.onnx -o net.opt.onnx
    sardonyx compare net.onnx net.opt.onnx
    sardonyx optimize net.onnx --level off --opset 21 -o net.21.onnx
    """
    check_target(output, out)
    graph = open_model(model)
    with out.progress("optimizing"):
        better = optimize(graph, level, opset=opset)
    save_model(better.graph, output, out)
    rows = changes(graph, better.graph)
    values = {
        "output": output,
        "nodes": [len(graph), len(better.graph)],
        "operators": [{"op": op, "before": a, "after": b} for op, a, b in rows],
        "rules": better.log.counts(),
    }
    out.data("optimize", values, lambda: changes_table(graph, better.graph))
    for record in better.log.changes:
        out.more(f"{record.rule}: {record.op} `{record.node}`")


def changes_table(before: Graph, after: Graph) -> Any:
    """The counts of operators before and after as a table."""
    rows = [(op, a, b, f"{b - a:+d}" if b != a else "") for op, a, b in changes(before, after)]
    less = len(after) - len(before)
    rows.append(("all", len(before), len(after), f"{less:+d}" if less else ""))
    return table(("operator", "before", "after", "change"), rows)
