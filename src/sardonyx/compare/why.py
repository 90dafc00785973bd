"""Why two sides do not agree: every cause is tested on both, and what explains it is told."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sardonyx.compare.comparison import Reason
from sardonyx.compare.data import Case
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.compare.sides import Side
from sardonyx.compare.tolerance import Tolerance

SECONDS = 60.0
_FOLDER = Path(__file__).parent / "causes"


@functools.cache
def causes() -> tuple[Cause, ...]:
    """Every cause of `compare.causes`, in the order in which they are tested."""
    names = sorted(m.name for m in pkgutil.iter_modules([str(_FOLDER)]))
    modules = [importlib.import_module(f"sardonyx.compare.causes.{name}") for name in names]
    return tuple(sorted((m.CAUSE for m in modules), key=lambda c: c.rank))


def reasons(
    left: Side, right: Side, cases: Sequence[Case], judge: Tolerance, node: str = "", at: str = ""
) -> tuple[tuple[Reason, ...], str]:
    """The first cause that explains all of the difference, on the second side or on the first.

    `cases` are inputs that show the difference; `node` is the one whose value differs first.
    `at` names the inner value that both sides end with: only causes within the models are tested
    then. Empty where no cause is proven; the text tells where the search ended before all were
    tested.
    """
    until = time.monotonic() + SECONDS
    doubts = [
        Doubt(right, left, cases, judge, until=until, node=node),
        Doubt(left, right, cases, judge, reference=True, until=until, node=node),
    ]
    for cause in (c for c in causes() if not at or c.inner):
        for doubt in (d for d in doubts if not d.before.agree):
            found = tuple(cause.found(doubt))
            if found:
                return tuple(replace(r, at=at) for r in found), ""
    late = time.monotonic() > until
    return (), f"the search for causes ended after {SECONDS:g} seconds" if late else ""
