"""Stages edited by hand: the texts of a folder in place of the kernels that were made.

    DIR/loops-3.txt       the kernel of step 3 as fusion leaves it; strategies take it from there
    DIR/schedule-5.txt    the kernel of step 5 as strategies leave it, to be put into lanes
    DIR/vector-5.txt      the kernel of step 5 as it is compiled

`sardonyx dump --out DIR` writes them. What was not edited reads back as it was; an edited kernel
has other code, but the same buffers and symbols, since the steps around it stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sardonyx.core import knobs
from sardonyx.core.errors import EngineError, InvalidArgument, NoSuchFile
from sardonyx.core.expr import const
from sardonyx.engine.fuse.fuse import Computed, Host, Step
from sardonyx.loops.canon import canonical
from sardonyx.loops.check import check
from sardonyx.loops.ir import Kernel
from sardonyx.loops.parse import read
from sardonyx.loops.text import to_text

EDITABLE = ("loops", "schedule", "vector")
_NAME = re.compile(r"([a-z]+)-(\d+)\.txt")


def file_of(folder: Path, stage: str, step: int) -> Path:
    """Where the text of a step at a stage stands."""
    return folder / f"{stage}-{step}.txt"


def edited(steps: Sequence[Step]) -> list[Step]:
    """The steps as fusion left them, with the kernels edited at the stage `loops` in place."""
    out = list(steps)
    for n, kernel in kernels("loops", steps):
        own = steps[n]
        assert isinstance(own, Computed)
        out[n] = replace(own, kernel=kernel)
    return out


def kernels(stage: str, steps: Sequence[object]) -> Iterator[tuple[int, Kernel]]:
    """The kernels to take in place of those of the steps with these numbers.

    NoSuchFile for a folder without stages; InvalidArgument (E0916) naming file and line for a text
    that is no kernel, and for one that does not fit the step.
    """
    folder = knobs.OVERRIDE.get()
    if folder is None:
        return
    for step, path in sorted(_files(folder, stage)):
        if step >= len(steps) or isinstance(steps[step], Host):
            wanted = f"steps 0 to {len(steps) - 1}, without those that run in numpy"
            raise _refusal(path, f"there is no kernel {step} at the stage `{stage}`", wanted=wanted)
        own = getattr(steps[step], "kernel", None)
        assert isinstance(own, Kernel)
        yield step, _fitting(path, _kernel(path), own)


def _files(folder: Path, stage: str) -> list[tuple[int, Path]]:
    try:
        named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except OSError as problem:
        raise NoSuchFile("E0101", problem.strerror or str(problem), file=str(folder)) from None
    known = [(m[1], int(m[2]), path) for m, path in named if m and m[1] in EDITABLE]
    if not known:
        wanted = ", ".join(f"{name}-0.txt" for name in EDITABLE)
        raise NoSuchFile("E0101", "no stage stands in the folder", file=str(folder), wanted=wanted)
    return [(step, path) for name, step, path in known if name == stage]


def _kernel(path: Path) -> Kernel:
    try:
        kernel, lines = read(path.read_text(encoding="utf-8"))
        check(kernel, lines)
        return kernel
    except EngineError as error:
        places = {"source": error.source, "given": error.given, "wanted": error.wanted}
        raise _refusal(path, error.message, where=error.where, **places) from None


def _fitting(path: Path, kernel: Kernel, own: Kernel) -> Kernel:
    given, wanted = _heads(kernel), _heads(own)
    if given != wanted:
        said = "the kernel does not have the buffers and symbols of the step it stands for"
        given_only, wanted_only = (_told(a, b) for a, b in ((given, wanted), (wanted, given)))
        hint = "edit the stage of this very model, dumped on this machine"
        raise _refusal(path, said, given=given_only, wanted=wanted_only, hint=hint)
    return kernel


def _heads(kernel: Kernel) -> list[str]:
    """The declarations of what is passed to a kernel, names by position."""
    bare = replace(canonical(kernel), body=(), scratch=(), work=const(0))
    return to_text(bare).splitlines()[1:-1]


def _told(one: list[str], other: list[str]) -> str:
    return "; ".join(line for line in one if line not in other) or "nothing else"


def _refusal(path: Path, said: str, **places: object) -> InvalidArgument:
    return InvalidArgument("E0916", said, file=str(path)).locate(**places)
