"""`sardonyx quantize`: an int8 model, calibrated on data."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Group
from rich.text import Text

from sardonyx.cli.data import check_target, open_model, save_model
from sardonyx.cli.output import Output, speaks, table
from sardonyx.compare.data import read
from sardonyx.compare.metrics import Difference
from sardonyx.quantize.quantize import METHODS, Quantization, agreement, quantize
from sardonyx.quantize.targets import DEFAULT


@click.command()
@click.argument("model")
@click.option(
    "--data",
    required=True,
    metavar="FILE",
    help="Calibration rows by input name (.npz), or of the only input (.npy).",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the model.")
@click.option("--method", type=click.Choice(METHODS), default="minmax", show_default=True)
@click.option(
    "--percentile",
    type=float,
    default=99.99,
    show_default=True,
    help="Share of elements that the range covers.",
)
@click.option(
    "--ops",
    default=",".join(DEFAULT),
    show_default=True,
    metavar="A,B",
    help="Operator types to quantize.",
)
@click.option("--exclude", multiple=True, metavar="NODE", help="A node to leave in float32.")
@click.option("--per-tensor", is_flag=True, help="One scale per weight instead of per channel.")
@click.option("--weight-bits", type=click.Choice(["7", "8"]), default="8", show_default=True)
@speaks
def command(model: str, data: str, output: str, out: Output, **choices: Any) -> None:
    """Write an int8 model, calibrated on data.

    \b
    sardonyx quantize net.onnx --data calib.npz -o net.int8.onnx
    sardonyx compare net.onnx net.int8.onnx --data test.npz
    """
    check_target(output, out)
    graph = open_model(model)
    given = read(data, graph)
    with out.progress("calibrating") as progress:
        made = quantize(graph, given, progress=progress, **_settings(**choices))
    with out.progress("comparing"):
        found = agreement(graph, made, given)
    save_model(made.graph, output, out)
    rows = [d.to_dict() for d in found]
    values = {"output": output, **made.to_dict(), "agreement": rows}
    out.data("quantize", values, lambda: _text(made, found, out.verbose))


def _settings(
    method: str,
    percentile: float,
    ops: str,
    exclude: tuple[str, ...],
    per_tensor: bool,
    weight_bits: str,
) -> dict[str, Any]:
    return {
        "method": method,
        "percentile": percentile,
        "per_channel": not per_tensor,
        "ops": tuple(op for op in ops.split(",") if op),
        "exclude": exclude,
        "weight_bits": int(weight_bits),
    }


def _text(made: Quantization, found: list[Difference], verbose: bool) -> Group:
    parts: list[Any] = []
    if verbose:
        ranges = made.ranges.items()
        rows = [(name, r.low, r.high, r.scale_and_zero()[0]) for name, r in ranges]
        parts.append(table(("activation", "low", "high", "scale"), rows))
        if made.skipped:
            parts.append(table(("left in float32", "because"), made.skipped.items()))
    left = len(made.skipped)
    parts.append(Text(f"{len(made.quantized)} nodes quantized, {left} left in float32"))
    columns = ("output", "max abs", "cosine", "same largest element")
    parts.append(table(columns, [_difference(d) for d in found]))
    parts.append(Text("int8 against float32, on the first batch of the calibration data"))
    return Group(*parts)


def _difference(d: Difference) -> tuple[str, str, str, str]:
    share = "" if d.argmax is None else f"{d.argmax:.1%} of {d.rows}"
    return d.name, f"{d.max_abs:.3g}", f"{d.cosine:.6f}", share
