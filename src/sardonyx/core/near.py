"""Suggestions for names that are nearly right."""

from __future__ import annotations

from collections.abc import Iterable


def near(name: str, known: Iterable[str], form: str = "`{}`", cutoff: float = 0.6) -> str | None:
    """A hint naming the known name that is spelled most like `name`, None where none is like it.

    `cutoff` from 0 to 1 is how much it must be like it.
    """
    import difflib  # noqa: PLC0415 - for what goes wrong only

    found = difflib.get_close_matches(name, list(known), 1, cutoff)
    return "did you mean " + form.replace("{}", found[0]) + "?" if found else None
