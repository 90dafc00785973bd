"""`sardonyx show`: what is in a model, and what running it takes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from sardonyx.cli.report import Output, speaks, table
from sardonyx.core.dim import parse_bindings
from sardonyx.core.expr import Expr, evaluate, name_of, number, show
from sardonyx.engine.analysis import Analysis, analyse
from sardonyx.formats import load
from sardonyx.graph.ir import Graph, Value
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import optimize, prepare


@click.command()
@click.argument("model")
@click.option("--dim", "dims", multiple=True, metavar="N=8", help="Bind a symbol in the figures.")
@speaks
def command(model: str, dims: tuple[str, ...], out: Output) -> None:
    """Show inputs, outputs, operators, parameters, work and peak memory.

    \b
    sardonyx show net.onnx
    sardonyx show net.onnx --dim N=8
    """
    graph = load(model)
    infer(graph, strict=False)
    sizes = parse_bindings(dims)
    figures = analyse(prepare(optimize(graph).graph))
    out.data("show", _values(graph, figures, sizes), lambda: _print(graph, figures, sizes))


def _parameters(graph: Graph) -> tuple[int, int]:
    count = size = 0
    for v in graph.initializers.values():
        shape = v.type.static_shape
        total = number(v.type.count) if shape is not None else 0
        count += total or 0
        size += v.const.nbytes if v.const is not None and hasattr(v.const, "nbytes") else 0
    return count, size


def _at(e: Expr, sizes: dict[str, int]) -> int | None:
    free = {v: sizes[name_of(v)] for v in e.free if name_of(v) in sizes}
    return evaluate(e, free) if len(free) == len(e.free) else None


def _values(graph: Graph, figures: Analysis, sizes: dict[str, int]) -> dict[str, Any]:
    count, size = _parameters(graph)
    return {
        "name": graph.name,
        "opsets": graph.opsets,
        "inputs": [_port(v) for v in graph.inputs],
        "outputs": [_port(v) for v in graph.outputs],
        "nodes": len(graph),
        "operators": dict(Counter(n.op.op_type for n in graph.nodes).most_common()),
        "parameters": count,
        "parameter_bytes": size,
        "operations": show(figures.operations),
        "operations_at": _at(figures.operations, sizes),
        "peak_bytes": show(figures.peak_bytes),
        "peak_bytes_at": _at(figures.peak_bytes, sizes),
        "packed_bytes": figures.packed_bytes,
        "kernels": figures.kernels,
        "host_steps": [{"node": n, "reason": r} for n, r in figures.gaps],
    }


def _port(v: Value) -> dict[str, str]:
    return {"name": v.name, "type": str(v.type)}


def _print(graph: Graph, figures: Analysis, sizes: dict[str, int]) -> str | None:
    from sardonyx.cli.report import show as put

    count, size = _parameters(graph)
    rows = [("input", v.name, str(v.type)) for v in graph.inputs if v.const is None]
    rows += [("output", v.name, str(v.type)) for v in graph.outputs]
    put(table(("", "name", "type"), rows))
    ops = Counter(n.op.op_type for n in graph.nodes).most_common()
    put(table(("operator", "count"), ops))
    opsets = ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in graph.opsets.items())
    lines = [
        f"opsets       {opsets}",
        f"nodes        {len(graph)}",
        f"parameters   {count:,} ({_bytes(size)}); {_bytes(figures.packed_bytes)} packed at load",
        f"operations   {_formula(figures.operations, sizes)}",
        f"peak memory  {_formula(figures.peak_bytes, sizes, ' bytes')}, weights not counted",
        f"kernels      {figures.kernels}, host steps {figures.host_steps}",
    ]
    put("\n".join(lines))
    for node, reason in figures.gaps[:10]:
        put(f"  host step {node}: {reason}")
    return None


def _formula(e: Expr, sizes: dict[str, int], unit: str = "") -> str:
    """The expression, and its value where the symbols are bound (all 1 otherwise)."""
    if e.is_const:
        return f"{e.arg:,}{unit}"
    given = {name_of(v): sizes.get(name_of(v), 1) for v in e.free}
    value = _at(e, given)
    where = ", ".join(f"{k}={v}" for k, v in sorted(given.items()))
    return f"{show(e)}{unit} ({value:,} at {where})"


def _bytes(n: int) -> str:
    size = float(n)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"
