"""`sardonyx convert`: from a trained model to ONNX, with evidence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from sardonyx.cli import options
from sardonyx.cli.data import check_target, save_model
from sardonyx.cli.output import Output, show, speaks
from sardonyx.convert import Controls, Conversion, convert, load_object
from sardonyx.core.dim import parse_ranges
from sardonyx.core.errors import Disagreement


def _controls(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the exporter's controls, which the command gets as `controls`."""

    @click.option(
        "--opset", type=click.IntRange(7), help="Opset of the model; the exporter's default."
    )
    @click.option(
        "--capture",
        type=click.Choice(["export", "trace", "script"]),
        help="How PyTorch reads the model: torch.export, or TorchScript by tracing or scripting.",
    )
    @click.option("--training", is_flag=True, help="Keep dropout and batch norms trainable.")
    @click.option("--no-fold", is_flag=True, help="Leave constants as the model computes them.")
    @click.option(
        "--parameters",
        type=click.Choice(["inside", "outside", "inputs"]),
        help="Where weights go: in the file, beside it, or both in it and among the inputs.",
    )
    @click.option(
        "--output-name", "names", multiple=True, metavar="NAME", help="Of each output, in order."
    )
    @click.option(
        "--function",
        "functions",
        multiple=True,
        metavar="CLASS",
        help="Modules of this class stay functions of the model.",
    )
    @click.option(
        "--translation",
        metavar="FILE.py:TABLE",
        help="A mapping of the framework's operators to functions in onnxscript.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        training: bool,
        no_fold: bool,
        names: tuple[str, ...],
        functions: tuple[str, ...],
        translation: str | None,
        **settings: Any,
    ) -> Any:
        given = {name: settings.pop(name) for name in ("opset", "capture", "parameters")}
        controls = Controls(
            **given,
            training=training or None,
            fold=False if no_fold else None,
            output_names=names,
            functions=functions,
            translations=None if translation is None else load_object(translation),
        )
        return command(*args, controls=controls, **settings)

    return wrapped


def _proof(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what the model is compared on, and what is written when."""
    for option in (
        options.seed,
        click.option("--keep", is_flag=True, help="Write the model even if it does not agree."),
        click.option("--trust", is_flag=True, help="Load files that run code, such as pickles."),
        click.option(
            "--in-process",
            is_flag=True,
            help="Run the framework here, instead of in an environment of its own.",
        ),
        click.option(
            "--contract/--no-contract",
            default=True,
            help="Whether the evidence goes into the model's metadata.",
        ),
        options.tolerance,
        options.data,
    ):
        command = option(command)
    return command


@click.command()
@click.argument("source")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="x=Nx3x224x224",
    help="Name, dims and type of an input; letters are symbolic dims, as in ids=NxS:int64.",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the model.")
@click.option(
    "--dim",
    "dims",
    multiple=True,
    metavar="H=224",
    help="Example size of a symbol, or the range that it may have: N=1..64.",
)
@_controls
@_proof
@speaks
def command(
    source: str,
    inputs: tuple[str, ...],
    output: str,
    dims: tuple[str, ...],
    out: Output,
    **settings: Any,
) -> int:
    """Make an ONNX model from a trained one, and prove that it agrees.

    \b
    sardonyx convert net.py:build --input x=Nx3x224x224 -o net.onnx
    sardonyx convert net.py:build --input ids=NxS:int64 --input mask=NxS:int64 -o net.onnx
    sardonyx convert net.py:build --input x=Nx3xHxW --dim N=1..64 --dim H=224 -o net.onnx
    sardonyx convert net.py:build --input batch.ids=NxS:int64 --capture trace -o net.onnx
    sardonyx convert net.pt2 -o net.onnx
    sardonyx convert model.keras -o net.onnx

    SOURCE names a model (or a function without arguments that returns one) in a Python file, which
    is run, or is a file that a framework wrote. The export is checked, and compared with the source
    at several sizes of every symbol, before anything is written. Exit code 1 when they do not
    agree.
    """
    check_target(output, out)
    try:
        with out.progress("converting") as progress:
            sizes = parse_ranges(dims)
            made = convert(
                source, inputs or None, dims=sizes, progress=progress, told=out.note, **settings
            )
    except Disagreement as error:
        if error.report is not None and not out.json:
            show(error.report)
        raise
    save_model(made.graph, output, out, made.external)
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
