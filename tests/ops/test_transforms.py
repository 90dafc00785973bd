"""Fourier transforms as products with their matrices, beside numpy's fast ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx import InferenceSession
from sardonyx.core.dtype import DType
from sardonyx.core.expr import symbol
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Value, tensor_type
from sardonyx.graph.op import Op
from sardonyx.ops.window.signal import DFT, DFTV17, STFT


def both(op: Op, x: Any, *constants: Any) -> tuple[Any, Any, list[Any]]:
    """The result natively and by reference, the batch being free, and the gaps."""
    graph = Graph(opsets={"": 20, "ai.sardonyx": 1})
    dims = [symbol("B"), *x.shape[1:]]
    graph.inputs = [Value("x", tensor_type(DType.from_numpy(x.dtype), dims))]
    body = Body(graph, "y")
    held = [None if c is None else graph.constant(Tensor.of(np.asarray(c)), "c") for c in constants]
    graph.outputs = [body(op, graph.inputs[0], *held)]
    native = InferenceSession(graph)
    (found,) = native.run(None, {"x": x})
    wanted = op.reference(x, *(None if c is None else np.asarray(c) for c in constants))
    return found, wanted, native.gaps()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_transform_is_numpys(data: st.DataObject) -> None:
    inverse, onesided = (data.draw(st.integers(0, 1)) for _ in range(2))
    size, parts = data.draw(st.integers(2, 20)), data.draw(st.integers(1, 2))
    length = data.draw(st.none() | st.integers(1, 24))
    first = data.draw(st.booleans())
    shape = (2, size, 3, parts) if first else (2, 3, size, parts)
    x = np.random.default_rng(size).normal(size=shape).astype(np.float32)
    axis = 1 if first else data.draw(st.sampled_from([2, -2]))
    op: Op = DFT(inverse=inverse, onesided=onesided)
    found, wanted, gaps = both(op, x, length, axis)
    assert not gaps
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("parts", [0, 1, 2])
@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("windowed", [True, False])
def test_frames_are_transformed_as_by_numpy(parts: int, onesided: int, windowed: bool) -> None:
    shape = (2, 50) if not parts else (2, 50, parts)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    window = np.hanning(16).astype(np.float32) if windowed else None
    found, wanted, gaps = both(STFT(onesided=onesided), x, 5, window, 16)
    assert not gaps
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error_of_the_longest_product(dtype: Any) -> None:
    x = np.random.default_rng(0).normal(size=(3, 1024, 1)).astype(dtype)
    found, _, gaps = both(DFTV17(onesided=1), x)
    exact = np.fft.rfft(x[..., 0].astype(np.float64))
    apart = np.abs(found[..., 0] + 1j * found[..., 1] - exact).max()
    assert not gaps
    assert (
        apart
        < 8 * np.sqrt(1024) * np.finfo(np.float64).eps * np.abs(x).max()
        + np.abs(exact).max() * np.finfo(dtype).eps
    )


def test_what_cancels_is_nothing() -> None:
    x = np.full((2, 300, 1), 1000, np.float32)
    found, _, _ = both(DFTV17(), x)
    assert np.abs(found[:, 1:]).max() < 1e-7


def test_a_longer_one_is_a_host_step() -> None:
    x = np.random.default_rng(0).normal(size=(1, 1025, 1)).astype(np.float32)
    found, wanted, gaps = both(DFTV17(), x)
    assert [gap.op for gap in gaps] == ["DFT"]
    np.testing.assert_array_equal(found, wanted)
