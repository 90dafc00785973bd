"""The mode of floats: what a run or a fold computes does not depend on its caller's."""

import ctypes
import math

import numpy as np
import pytest

from modes import MODES, mode
from sardonyx.core import floats


@pytest.mark.parametrize("name", MODES)
def test_arithmetic_is_standard_inside_and_the_callers_after(name: str) -> None:
    tiny = np.array([1e-38], np.float32)
    one, ulp = np.float64(1), np.float64(2**-53)
    with mode(name):
        before = (tiny / 4)[0], one + ulp, ctypes.CDLL(None).fegetround()
        with floats.standard():
            assert (tiny / 4)[0] != 0
            assert one + ulp == 1
            assert -one - ulp == -1
        assert ((tiny / 4)[0], one + ulp, ctypes.CDLL(None).fegetround()) == before
    assert math.fsum([1, 2**-53]) == 1
