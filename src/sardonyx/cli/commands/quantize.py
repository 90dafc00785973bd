"""`sardonyx quantize`: an int8 model, calibrated on data."""

from __future__ import annotations

from pathlib import Path

import click

from sardonyx.cli.data import read_arrays
from sardonyx.cli.report import Output, speaks, table
from sardonyx.formats import load, save
from sardonyx.quantize.quantize import METHODS, Quantization, quantize
from sardonyx.quantize.targets import DEFAULT


@click.command()
@click.argument("model")
@click.option("--data", required=True, metavar="FILE",
              help="Calibration rows by input name (.npz), or of the only input (.npy).")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the model.")
@click.option("--method", type=click.Choice(METHODS), default="minmax", show_default=True)
@click.option("--percentile", type=float, default=99.99, show_default=True,
              help="Share of elements that the range covers.")
@click.option("--ops", default=",".join(DEFAULT), show_default=True, metavar="A,B",
              help="Operator types to quantize.")
@click.option("--exclude", multiple=True, metavar="NODE", help="A node to leave in float32.")
@click.option("--per-tensor", is_flag=True, help="One scale per weight instead of per channel.")
@click.option("--weight-bits", type=click.Choice(["7", "8"]), default="8", show_default=True)
@speaks
def command(
    model: str, data: str, output: str, method: str, percentile: float, ops: str,
    exclude: tuple[str, ...], per_tensor: bool, weight_bits: str, out: Output,
) -> None:  # fmt: skip
    """Write an int8 model, calibrated on data.

    \b
    sardonyx quantize net.onnx --data calib.npz -o net.int8.onnx
    sardonyx compare net.onnx net.int8.onnx --data test.npz
    """
    graph = load(model)
    rows = read_arrays(Path(data))
    given = next(iter(rows.values())) if Path(data).suffix == ".npy" else rows
    with out.progress("calibrating") as progress:
        made = quantize(
            graph, given, method=method, percentile=percentile, per_channel=not per_tensor,
            ops=tuple(ops.split(",")), exclude=exclude, weight_bits=int(weight_bits),
            progress=progress,
        )  # fmt: skip
    save(made.graph, output)
    out.data("quantize", {"output": output, **made.to_dict()}, lambda: _text(made, out))
    out.note(f"wrote {output}")


def _text(made: Quantization, out: Output) -> object:
    lines = f"{len(made.quantized)} nodes quantized, {len(made.skipped)} left in float32"
    if not out.verbose:
        return lines
    rows = [(name, r.low, r.high, r.scale_and_zero()[0]) for name, r in made.ranges.items()]
    out.note(lines)
    return table(("activation", "low", "high", "scale"), rows)
