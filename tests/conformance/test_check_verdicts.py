"""Node cases spoilt in every way: ours refuses what the standard's checker refuses.

What only one of the two refuses is listed in gaps_check.txt with the reason.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from conformance import node_cases
from conformance.spoilt import WAYS, Way, spoilt
from conformance.verdicts import verdicts

GAPS = [
    line.split(None, 3)
    for line in Path(__file__).with_name("gaps_check.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
SHARE = 1600
# A fork makes this many trials, so that one that ends it costs the others nothing.
CHUNK = 2000

Trial = tuple[str, Way]


def trials(share: int) -> list[Trial]:
    """A share of all pairs of cases and ways, the same in every run."""
    return [
        (name, way)
        for name in node_cases.cases()
        for way in WAYS
        if int.from_bytes(_digest(f"{name} {way.name}"), "big") % share == 0
    ]


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=4).digest()


def tried(trial: Trial) -> tuple[str, str] | None:
    """Both verdicts; None where there was nothing to spoil."""
    name, way = trial
    model = spoilt(node_cases.cases()[name].model, way, f"{name} {way.name}")
    return None if model is None else verdicts(model)


def unexplained(trial: Trial, theirs: str, ours: str) -> str | None:
    """How the verdicts differ, where no row says why."""
    if bool(theirs) == bool(ours):
        return None
    name, way = trial
    side, tags = ("theirs", [name]) if theirs else ("ours", re.findall(r"\bE\d{4}\b", ours))
    for who, pattern, tag, _ in GAPS:
        if who == side and fnmatchcase(way.name, pattern):
            if tag == "*" or any(fnmatchcase(t, tag) for t in tags):
                return None
    return f"{name} {way.name}: theirs `{theirs[:200]}` ours `{ours[:200]}`"


def in_forks(work: list[Trial]) -> Iterator[tuple[Trial, Any]]:
    """Every trial with its verdicts, or None where the standard's checker ended the process."""
    done = 0
    while done < len(work):
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            _report(work[done : done + CHUNK], writer)
        os.close(writer)
        with os.fdopen(reader) as lines:
            for line in lines:
                yield work[done], json.loads(line)
                done += 1
        if os.waitpid(child, 0)[1]:
            yield work[done], None
            done += 1


def _report(work: list[Trial], writer: int) -> None:
    """Writes the verdicts of each trial as a line, and ends this process."""
    faulthandler.disable()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    with os.fdopen(writer, "w") as lines:
        for trial in work:
            lines.write(json.dumps(tried(trial)) + "\n")
            lines.flush()
    os._exit(0)


def differences(share: int) -> tuple[Counter[str], list[str]]:
    """How often the checkers said what, and the differences that no row explains."""
    counts: Counter[str] = Counter()
    wrong = []
    for trial, found in in_forks(trials(share)):
        if found is None:
            counts["theirs ended the process"] += 1
        elif found:
            counts[f"theirs {bool(found[0])} ours {bool(found[1])}"] += 1
            wrong.append(unexplained(trial, *found))
    return counts, [w for w in wrong if w]


def test_a_share_has_the_same_verdicts() -> None:
    counts, wrong = differences(SHARE)
    assert counts.total() > 300
    assert not wrong


@pytest.mark.exhaustive
def test_all_have_the_same_verdicts() -> None:
    counts, wrong = differences(1)
    print(dict(counts))
    assert not wrong[:50]
