"""What every error code means and how to mend it: the text behind `sardonyx explain E0203`.

The rows are prose and stand in `codes.toml`, which is read when somebody asks for the first time.
Ranges: E01 files and formats, E02 feeds and run arguments, E03 graphs and shapes, E04 operators,
E05 limits, E06 convert, E07 quantize, compare and bench, E08 engine, E09 command line.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import NamedTuple


class Explanation(NamedTuple):
    """A code's `title`, its `meaning` in a few sentences, and how to `mend` it."""

    title: str
    meaning: str
    mend: str


@functools.cache
def explanations() -> dict[str, Explanation]:
    """The explanation of every code."""
    text = resources.files("sardonyx.core").joinpath("codes.toml").read_text(encoding="utf-8")
    return {code: Explanation(**row) for code, row in tomllib.loads(text).items()}
