"""`sardonyx dump`: any stage between the model and its machine code, as text."""

from __future__ import annotations

from pathlib import Path

import click

from sardonyx.cli import options
from sardonyx.cli.data import open_model
from sardonyx.cli.output import Output, speaks, table
from sardonyx.core.errors import NotFound, UsageError
from sardonyx.core.near import near
from sardonyx.engine.fuse.edits import EDITABLE
from sardonyx.engine.stages import STAGES, StepText, stage, write
from sardonyx.graph.ir import Graph
from sardonyx.graph.text import line, to_text
from sardonyx.passes.pipeline import optimize, prepare


@click.command()
@click.argument("model")
@click.option(
    "--stage",
    "name",
    default="graph",
    show_default=True,
    metavar="graph|pass:NAME|loops|schedule|vector|llvm|asm",
)
@click.option("--node", metavar="NAME|N", help="Only the steps of this node of the model.")
@click.option("--out", "folder", metavar="DIR", help="Write each kernel to a file, to be edited.")
@options.override
@speaks
def command(model: str, name: str, node: str | None, folder: str | None, out: Output) -> None:
    """Print a stage between the model and its machine code.

    \b
    sardonyx dump net.onnx
    sardonyx dump net.onnx --stage pass:fold
    sardonyx dump net.onnx --stage loops --node 3
    sardonyx dump net.onnx --stage schedule --out edited
    sardonyx run net.onnx --override edited
    """
    if folder is not None and name not in EDITABLE:
        raise UsageError("E0906", f"`{name}` is not taken back", wanted=", ".join(EDITABLE))
    graph = open_model(model)
    names = chosen(graph, node)
    if name not in STAGES:
        shown = _graph_text(graph, name, names)
        out.data("dump", {"stage": name, "text": shown}, lambda: shown)
        return
    entries = [
        e
        for e in stage(prepare(optimize(graph).graph), name)
        if names is None or any(n.name in names for n in e.nodes)
    ]
    if not entries:
        out.note(f"no step is left of node {node}: it was folded or merged into others")
    if folder is not None:
        _write(Path(folder), name, entries, out)
        return
    parts = [{"number": e.number, "step": e.title, "text": e.text} for e in entries]
    out.data(
        "dump",
        {"stage": name, "steps": parts},
        lambda: "\n".join(f"# {p['number']}: {p['step']}\n{p['text']}" for p in parts),
    )


def _write(folder: Path, name: str, entries: list[StepText], out: Output) -> None:
    made = write(folder, name, entries)
    rows = [{"file": str(path), "step": title} for path, title in made]
    values = {"stage": name, "folder": str(folder), "files": rows}
    out.data("dump", values, lambda: table(("file", "step"), [tuple(r.values()) for r in rows]))


def chosen(graph: Graph, node: str | None) -> set[str] | None:
    """The names of the nodes meant by a name or a number; None for all."""
    if node is None:
        return None
    nodes = graph.nodes
    if node.isdecimal() and int(node) < len(nodes):
        return {nodes[int(node)].name}
    names = [n.name for n in nodes]
    if node in names:
        return {node}
    hint = near(node, names) or f"a name, or a number below {len(nodes)}"
    raise NotFound("E0905", f"the model has no node `{node}`", hint=hint)


def _graph_text(graph: Graph, name: str, names: set[str] | None) -> str:
    seen: dict[str, str] = {"graph": _text(graph, names)}

    def look(at: str, g: Graph) -> None:
        seen[at] = _text(g, names)

    if name != "graph":
        prepare(optimize(graph, dump=look).graph, dump=look)
    if name not in seen:
        known = (*seen, *STAGES)
        said = f"there is no stage `{name}`"
        raise UsageError("E0906", said, wanted=", ".join(known), hint=near(name, known))
    return seen[name]


def _text(graph: Graph, names: set[str] | None) -> str:
    if names is None:
        return to_text(graph)
    return "\n".join(line(n, graph.opsets) for n in graph.nodes if n.name in names)
