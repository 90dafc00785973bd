"""`sardonyx dump`: any stage between the model and its machine code, as text."""

from __future__ import annotations

import click

from sardonyx.cli.report import Output, speaks
from sardonyx.core.errors import NotFound, UsageError
from sardonyx.engine.stages import STAGES, stage
from sardonyx.formats import load
from sardonyx.graph.ir import Graph
from sardonyx.graph.text import line, to_text
from sardonyx.passes.pipeline import optimize, prepare


@click.command()
@click.argument("model")
@click.option("--stage", "name", default="graph", show_default=True,
              metavar="graph|pass:NAME|loops|schedule|llvm|asm")  # fmt: skip
@click.option("--node", metavar="NAME|N", help="Only the step of this node.")
@speaks
def command(model: str, name: str, node: str | None, out: Output) -> None:
    """Print a stage between the model and its machine code.

    \b
    sardonyx dump net.onnx
    sardonyx dump net.onnx --stage pass:fold
    sardonyx dump net.onnx --stage loops --node 3
    """
    graph = load(model)
    names = chosen(graph, node)
    if name in STAGES:
        entries = [e for e in stage(prepare(optimize(graph).graph), name)
                   if names is None or any(n.name in names for n in e.nodes)]  # fmt: skip
        parts = [{"step": e.title, "text": e.text} for e in entries]
        out.data("dump", {"stage": name, "steps": parts},
                 lambda: "\n".join(f"# {p['step']}\n{p['text']}" for p in parts))  # fmt: skip
        return
    shown = _graph_text(graph, name, names)
    out.data("dump", {"stage": name, "text": shown}, lambda: shown)


def chosen(graph: Graph, node: str | None) -> set[str] | None:
    """The names of the nodes meant by a name or a number; None for all."""
    if node is None:
        return None
    nodes = graph.nodes
    if node.isdigit() and int(node) < len(nodes):
        return {nodes[int(node)].name}
    if any(n.name == node for n in nodes):
        return {node}
    raise NotFound("E0905", f"the model has no node `{node}`",
                   hint=f"a name, or a number below {len(nodes)}")  # fmt: skip


def _graph_text(graph: Graph, name: str, names: set[str] | None) -> str:
    seen: dict[str, str] = {"graph": _text(graph, names)}

    def look(at: str, g: Graph) -> None:
        seen[at] = _text(g, names)

    if name != "graph":
        prepare(optimize(graph, dump=look).graph, dump=look)
    if name not in seen:
        known = ", ".join((*seen, *STAGES))
        raise UsageError("E0906", f"there is no stage `{name}`", wanted=known)
    return seen[name]


def _text(graph: Graph, names: set[str] | None) -> str:
    if names is None:
        return to_text(graph)
    return "\n".join(line(n, graph.opsets) for n in graph.nodes if n.name in names)
