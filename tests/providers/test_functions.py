"""Every provider runs a model with functions of its own."""

import numpy as np
import pytest

import sardonyx as sx
from graph.sources import FUNCTIONS
from session.models import graph

NAMES = sx.get_available_providers()


@pytest.mark.parametrize("provider", NAMES)
def test_functions(provider: str) -> None:
    x = np.array([[1, 2, 3], [0, -1, 4]], np.float32)
    once = np.exp(x) / np.exp(x).sum(0) * 2
    wanted = np.exp(once) / np.exp(once).sum(1, keepdims=True) * 2
    session = sx.InferenceSession(graph(FUNCTIONS), providers=[provider])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, 1e-5)


def test_types_inside_functions_are_checked() -> None:
    text = FUNCTIONS.replace("float32[N, 3]", "int64[N, 3]")
    assert [f.code for f in sx.check(graph(text)) if f.is_error][:1] == ["E0324"]
