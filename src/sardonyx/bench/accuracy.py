"""The error of a contender's outputs, and the name of the precision that such an error deserves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

HIGHEST, HIGH, MEDIUM = 2.0, 2.0**7, 2.0**16
FLOAT32_FLOOR = 2.0**-22
COARSEST = 0.2


def relative_error(got: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Root mean square of got − wanted over that of wanted; infinite where they cannot agree.

    Equal NaN and equal infinities are agreement. Non-numeric outputs agree or do not.
    """
    if got.shape != wanted.shape:
        return float("inf")
    if got.dtype.kind in "OSUT" or wanted.dtype.kind in "OSUT":
        return 0.0 if bool(np.all(got == wanted)) else float("inf")
    found, exact = got.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(exact)
    if not np.array_equal(found[~finite], exact[~finite], equal_nan=True):
        return float("inf")
    difference, scale = found[finite] - exact[finite], exact[finite]
    if not difference.size:
        return 0.0
    if not np.all(np.isfinite(difference)):
        return float("inf")
    size = float(np.sqrt(np.mean(np.square(scale))))
    distance = float(np.sqrt(np.mean(np.square(difference))))
    return distance / size if size else distance


OutputSets = Sequence[Mapping[str, NDArray[Any]]]


def worst_error(got: OutputSets, wanted: OutputSets) -> float:
    """The largest relative error over every output of every input set."""
    return max(
        (
            relative_error(found[name], expected[name])
            for found, expected in zip(got, wanted, strict=True)
            for name in expected
        ),
        default=0.0,
    )


def precision_class(error: float, float32_error: float) -> str:
    """`highest`, `high`, `medium` or `wrong`, by how many times a float32 run's error this is.

    `float32_error` is the error of an ordinary float32 run of the same model against float64, never
    taken below one unit in the last place.
    """
    if not error <= COARSEST:
        return "wrong"
    times = error / max(float32_error, FLOAT32_FLOOR)
    for limit, name in ((HIGHEST, "highest"), (HIGH, "high"), (MEDIUM, "medium")):
        if times <= limit:
            return name
    return "wrong"
