"""`sardonyx show`: what is in a model, and what running it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Group

from sardonyx.cli.data import open_model
from sardonyx.cli.output import Output, speaks, table
from sardonyx.core.dim import parse_bindings
from sardonyx.core.escape import sanitise
from sardonyx.core.expr import Expr, name_of, show
from sardonyx.session.figures import Figures, bound, examine


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
    sizes = parse_bindings(dims)
    with out.progress("examining"):
        shown = examine(open_model(model), sizes)
    out.data("show", shown.to_dict(), lambda: _text(shown))


def _text(shown: Figures) -> Any:
    g = shown.graph
    rows = [("input", v.name, str(v.type)) for v in g.inputs if v.const is None]
    rows += [("output", v.name, str(v.type)) for v in g.outputs]
    opsets = ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in g.opsets.items())
    lines = [
        f"opsets       {opsets}",
        f"nodes        {len(g)}",
        f"parameters   {shown.parameters:,} ({_bytes(shown.parameter_bytes)})",
        *_work(shown),
    ]
    text = "\n".join(sanitise(line) for line in lines)
    ports = table(("", "name", "type"), rows)
    return Group(ports, table(("operator", "count"), shown.operators), text)


def _work(shown: Figures) -> list[str]:
    f = shown.work
    if f is None:
        return [f"work         not known: {shown.refusal}"]
    lines = [
        f"operations   {_formula(f.operations, shown.sizes)}",
        f"peak memory  {_formula(f.peak_bytes, shown.sizes, ' bytes')}, weights not counted",
        f"packed       {_bytes(f.packed_bytes)} of weights, at load",
        f"kernels      {f.kernels}, host steps {f.host_steps}",
    ]
    lines += [f"  host step {node}: {reason}" for node, reason in f.gaps[:10]]
    if len(f.gaps) > 10:
        lines.append(f"  and {len(f.gaps) - 10} more")
    return lines


def _formula(e: Expr, sizes: Mapping[str, int], unit: str = "") -> str:
    """The expression, and its value where the symbols are bound (all 1 otherwise)."""
    if e.is_const:
        return f"{e.arg:,}{unit}"
    given = {name_of(v): sizes.get(name_of(v), 1) for v in e.free}
    value = bound(e, given)
    where = ", ".join(f"{k}={v}" for k, v in sorted(given.items()))
    return f"{show(e)}{unit} ({value:,} at {where})"


def _bytes(n: int) -> str:
    size = float(n)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"
