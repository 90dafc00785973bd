"""What one error code means: the row that the tables of `core.codes` are made of."""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """A code's `title`, its `meaning` in a few sentences, and how to `mend` it."""

    title: str
    meaning: str
    mend: str
