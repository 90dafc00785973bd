"""`sardonyx convert`: from a trained model to ONNX, with evidence."""

from __future__ import annotations

from typing import Any

import click

from sardonyx.cli import options
from sardonyx.cli.data import check_target, save_model
from sardonyx.cli.output import Output, show, speaks
from sardonyx.convert import Conversion, convert
from sardonyx.core.dim import parse_bindings
from sardonyx.core.errors import Disagreement


@click.command()
@click.argument("source")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="x=Nx3x224x224",
    help="Name, dims and type of an input; letters are symbolic dims, as in ids=NxS:int64.",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the model.")
@click.option("--opset", type=click.IntRange(7), help="Opset of the model; the exporter's default.")
@click.option("--dim", "dims", multiple=True, metavar="H=224", help="Example size of a symbol.")
@options.data
@options.tolerance
@click.option("--keep", is_flag=True, help="Write the model even if it does not agree.")
@options.seed
@speaks
def command(
    source: str,
    inputs: tuple[str, ...],
    output: str,
    dims: tuple[str, ...],
    out: Output,
    **settings: Any,
) -> int:
    """Make an ONNX model from a trained PyTorch one, and prove that it agrees.

    \b
    sardonyx convert net.py:build --input x=Nx3x224x224 -o net.onnx
    sardonyx convert net.py:build --input ids=NxS:int64 --input mask=NxS:int64 -o net.onnx
    sardonyx convert net.py:build --input x=Nx3xHxW --dim H=224 --dim W=224 -o net.onnx

    SOURCE names a module, or a function without arguments that returns one; its file is run. The
    export is checked, and compared with the source at several sizes of every symbol, before
    anything is written. Exit code 1 when they do not agree.
    """
    check_target(output, out)
    try:
        with out.progress("converting") as progress:
            sizes = parse_bindings(dims)
            made = convert(source, inputs, dims=sizes, progress=progress, **settings)
    except Disagreement as error:
        if error.report is not None and not out.json:
            show(error.report)
        raise
    save_model(made.graph, output, out)
    out.data("convert", {**made.to_dict(), "output": output}, lambda: made)
    _next(made, output, out)
    return 0 if made.agree else 1


def _next(made: Conversion, output: str, out: Output) -> None:
    if output == "-":
        return
    out.note("next:")
    out.note(f"  sardonyx show {output}")
    out.note(f"  sardonyx bench {output} --against onnxruntime")
    if made.comparison.notes:
        out.note("  give --dim example sizes to compare at more of them")
