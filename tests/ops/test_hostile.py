"""Operators given what no model should give them: an answer or an error of ours, in bounds.

In CI one trial in so many; `-m exhaustive` tries all.
"""

import pytest

from fuzz.worker import cache
from ops import hostile

SHARDS = 8


def _faults(provider: str, cases: range, share: int) -> tuple[int, list[str]]:
    """How many trials were made, and what those did that may not be."""
    with cache() as folder:
        return hostile.tried(provider, cases, folder, share)


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "share"), [("reference", 60), ("native", 240)])
def test_a_share_of_hostile_values(provider: str, share: int) -> None:
    tried, found = _faults(provider, range(len(hostile.names())), share)
    assert tried > 50
    assert not found, "\n".join(found)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(SHARDS))
@pytest.mark.parametrize("provider", ["reference", "native"])
def test_every_hostile_value(provider: str, first: int) -> None:
    tried, found = _faults(provider, range(first, len(hostile.names()), SHARDS), 1)
    assert tried > 500
    assert not found, "\n".join(found)
