"""Operands of which an operator wants numbers: one, or a list, or an error that says what is wrong.

They come from whoever feeds the model: there may be none or many, and they may be no numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument


def only(a: Array, what: str) -> Array:
    """The array without dims; E0211 where it has no element or many."""
    if a.size != 1:
        raise InvalidArgument("E0211", f"{what} is one number", given=list(a.shape))
    return a.reshape(())


def single(a: Array, what: str) -> Any:
    """The only element; E0211 where there are none or many."""
    return only(a, what).item()


def finite(a: Array, what: str) -> Any:
    """`single`; E0211 where it is NaN or infinite."""
    found = single(a, what)
    if isinstance(found, float) and not math.isfinite(found):
        raise InvalidArgument("E0211", f"{what} is no number", given=found)
    return found


def whole(a: Array, what: str) -> int:
    """`finite` as a whole number."""
    return int(finite(a, what))


def wholes(a: Array, count: int, what: str, least: int = 0) -> list[int]:
    """So many whole numbers of at least `least` from a list; E0211 where it is none such."""
    if a.ndim > 1 or a.size != count:
        raise InvalidArgument("E0211", f"{what} are {count} numbers", given=list(a.shape))
    found = [int(n) for n in a.reshape(-1)]
    if min(found, default=least) < least:
        raise InvalidArgument("E0211", f"{what} are too small", given=found, wanted=least)
    return found


def wrapped(indices: Array, dim: int) -> Array:
    """Subscripts counted from 0; InvalidArgument E0210 for one outside [-dim, dim)."""
    i = indices.astype(np.int64, copy=False)
    if i.size and (i.min() < -dim or i.max() >= dim):
        bad = i.min() if i.min() < -dim else i.max()
        raise InvalidArgument(
            "E0210", f"index {bad} is out of range", given=int(bad), wanted=f"{-dim} … {dim - 1}"
        )
    return np.where(i < 0, i + dim, i)
