"""Options that several commands have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sardonyx.core import knobs

inputs = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="x=x.npy",
    help="An input from a .npy, .npz or .json file; made up when absent.",
)
dims = click.option(
    "--dim", "dims", multiple=True, metavar="N=4", help="The size of a symbol in made-up inputs."
)
seed = click.option("--seed", type=int, default=0, show_default=True, help="Of made-up inputs.")
provider = click.option(
    "--provider",
    default="CPUExecutionProvider",
    show_default=True,
    metavar="NAME",
    help="Who runs the model.",
)
threads = click.option(
    "--threads", type=click.IntRange(1), help="Threads of the run; by default all."
)
data = click.option(
    "--data", metavar="FILE", help="Rows by input name (.npz), or of the only input."
)
tolerance = click.option(
    "--tolerance",
    metavar="NAME|NUMBER",
    help="exact, float64, float32, float16, bfloat16, quantized, or the share of the "
    "largest value that may differ; chosen by the models when absent.",
)


def override(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --override, which is in force while the command runs."""

    @click.option(
        "--override",
        "edited",
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Compile the edited stages of this folder (see dump --out).",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, edited: Path | None, **kwargs: Any) -> Any:
        with knobs.override(**({} if edited is None else {"override": edited})):
            return command(*args, **kwargs)

    return wrapped
