"""Every rule against finite differences in float64, and against torch's own gradients."""

from __future__ import annotations

import numpy as np
import pytest

from gradient.cases import ALL, LAYERS
from gradient.models import Case, gradients, slope


@pytest.mark.parametrize("case", [*ALL, *LAYERS], ids=str)
def test_gradients_are_those_of_finite_differences(case: Case) -> None:
    feeds = case.feeds("float64")
    found = gradients(case, feeds, "float64")
    rng = np.random.default_rng(1)
    for name, grad in found.items():
        assert grad.shape == feeds[name].shape
        for _ in range(2):
            along = rng.standard_normal(grad.shape)
            wanted = slope(case, feeds, name, along)
            assert np.sum(grad * along) == pytest.approx(wanted, rel=1e-6, abs=1e-7)
