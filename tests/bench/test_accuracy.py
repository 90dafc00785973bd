"""The error of outputs, and the precision class that it earns."""

from typing import Any

import numpy as np
import pytest

from sardonyx.bench.accuracy import precision_class, relative_error, worst_error


def test_relative_error_is_root_mean_square() -> None:
    got = np.array([3.5, 4.0])
    wanted = np.array([3.0, 4.0])
    error = relative_error(got, wanted)
    assert error == pytest.approx(0.1)


def test_error_against_zeros_is_absolute() -> None:
    got = np.array([1e-3])
    wanted = np.zeros(1)
    assert relative_error(got, wanted) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        ([[1.0, 1.0]], [[1.0], [1.0]]),
        ([1.0, np.nan], [1.0, 2.0]),
        ([1.0, 2.0], [1.0, np.nan]),
        ([np.inf], [-np.inf]),
        (["a", "b"], ["a", "c"]),
    ],
)
def test_what_cannot_agree_is_infinitely_wrong(got: list[Any], wanted: list[Any]) -> None:
    error = relative_error(np.array(got), np.array(wanted))
    assert error == np.inf


@pytest.mark.parametrize("same", [[np.nan, 1.0, np.inf], ["a"], [True], []])
def test_equal_outputs_have_no_error(same: list[Any]) -> None:
    array = np.array(same)
    assert relative_error(array, array.copy()) == 0.0


def test_worst_error_is_over_all_outputs_of_all_input_sets() -> None:
    ones = np.ones(2)
    wanted = [{"a": ones, "b": ones}] * 2
    got = [{"a": ones, "b": ones}, {"a": ones, "b": ones * 1.25}]
    assert worst_error(got, wanted) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("error", "float32", "name"),
    [
        (3.0e-7, 2.0e-7, "highest"),
        (4.4e-6, 1.5e-7, "high"),
        (4.0e-3, 2.0e-7, "medium"),
        (3.0e-2, 2.0e-7, "wrong"),
        (0.5, 0.4, "wrong"),
        (float("inf"), 1e-7, "wrong"),
        (float("nan"), 1e-7, "wrong"),
        (0.0, 0.0, "highest"),
    ],
)
def test_classes_count_in_float32_errors(error: float, float32: float, name: str) -> None:
    found = precision_class(error, float32)
    assert found == name
