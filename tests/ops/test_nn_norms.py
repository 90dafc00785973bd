"""Normalizations and losses, against torch."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from ops.lanes import symbolic
from ops.nn import agrees, close, normal, whole
from sardonyx.core.errors import InvalidGraph
from sardonyx.ops.reduce.batchnorm import LRN, BatchNormalization, BatchNormalizationV7
from sardonyx.ops.reduce.losses import NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss
from sardonyx.ops.reduce.normalization import (
    GroupNormalization,
    GroupNormalizationV18,
    InstanceNormalization,
    LayerNormalization,
    LpNormalization,
    MeanVarianceNormalization,
    RMSNormalization,
)

X = normal(0, 2, 6, 3, 4) * 3 + 1


def torch_of(function: str, *arrays: Any, **settings: Any) -> Any:
    import torch

    found = getattr(torch.nn.functional, function)
    parts = (torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays)
    return found(*parts, **settings).numpy()


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_layer_norm(axis: int) -> None:
    dims = X.shape[axis:]
    scale, bias = normal(1, *dims), normal(2, *dims)
    op = LayerNormalization(axis=axis, outputs=3)
    wanted = torch_of("layer_norm", X, dims, scale, bias)
    _, mean, inverse = agrees(op, [X, scale, bias], [[0]], wanted)
    axes = tuple(range(axis % 4, 4))
    close(mean, X.mean(axes, keepdims=True, dtype=np.float32))
    close(inverse, 1 / np.sqrt(X.var(axes, keepdims=True) + np.float32(1e-5)))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_layer_norm_of_narrow_floats_is_computed_in_float32(dtype: Any) -> None:
    x = (X * 100 + 3000).astype(dtype)
    scale = np.ones(4, dtype)
    (y,) = agrees(LayerNormalization(), [x, scale], [[0]], tolerance=1e-2)
    wide = LayerNormalization().reference(x.astype(np.float32), scale.astype(np.float32))
    assert (y == wide.astype(dtype)).all()


def test_a_large_mean_leaves_the_variance_alone() -> None:
    x = normal(0, 4, 48) + np.float32(4000)
    (y,) = agrees(LayerNormalization(), [x, np.ones(48, np.float32)], [[0]], tolerance=2e-3)
    exact = x.astype(np.float64)
    exact -= exact.mean(1, keepdims=True)
    exact /= np.sqrt(np.square(exact).mean(1, keepdims=True) + 1e-5)
    assert np.abs(y - exact).max() < 2e-3


def test_other_norms() -> None:
    scale, bias = normal(1, 6), normal(2, 6)
    rms = torch_of("rms_norm", X, (4,), normal(3, 4), eps=1e-5)
    agrees(RMSNormalization(), [X, normal(3, 4)], [[0]], rms)
    instance = torch_of("instance_norm", X, None, None, scale, bias)
    agrees(InstanceNormalization(), [X, scale, bias], [[0, 2]], instance)
    group = torch_of("group_norm", X, 3, scale, bias)
    agrees(GroupNormalization(num_groups=3), [X, scale, bias], [[0, 2]], group)
    agrees(LpNormalization(axis=1), [X], [[0]], torch_of("normalize", X, dim=1))
    agrees(LpNormalization(p=1), [X], [[0]], torch_of("normalize", X, p=1, dim=-1))
    mean, deviation = (X.mean((0, 2, 3), keepdims=True), X.std((0, 2, 3), keepdims=True))
    agrees(MeanVarianceNormalization(), [X], [[0]], (X - mean) / deviation)


def test_group_norm_of_opset_18_scales_by_group() -> None:
    scale, bias = normal(1, 3), normal(2, 3)
    wide = [np.repeat(v, 2) for v in (scale, bias)]
    wanted = GroupNormalization(num_groups=3).reference(X, *wide)
    agrees(GroupNormalizationV18(num_groups=3), [X, scale, bias], [[0]], wanted)


def test_zeros_have_no_direction() -> None:
    x = np.zeros((2, 3), np.float32)
    agrees(LpNormalization(), [x], [], x)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_local_response_norm(size: int) -> None:
    wanted = torch_of("local_response_norm", X, size, 1e-2, 0.75, 1.0) if size % 2 else None
    agrees(LRN(size=size, alpha=1e-2), [X], [[0, 2]], wanted)


def test_batch_norm() -> None:
    scale, bias, mean = (normal(n, 6) for n in (1, 2, 3))
    variance = np.abs(normal(4, 6)) + np.float32(0.1)
    wanted = torch_of("batch_norm", X, mean, variance, scale, bias)
    arrays = [X, scale, bias, mean, variance]
    agrees(BatchNormalization(), arrays, [[0, 2]], wanted)
    made = agrees(BatchNormalization(training_mode=1, outputs=3), arrays, [[0]], tolerance=1e-4)
    close(made[1], mean * np.float32(0.9) + X.mean((0, 2, 3)) * np.float32(0.1))
    close(made[2], variance * np.float32(0.9) + X.var((0, 2, 3)) * np.float32(0.1), 1e-4)
    trained = torch_of("batch_norm", X, None, None, scale, bias, training=True)
    close(made[0], trained, 1e-4)


def test_batch_norm_of_every_element() -> None:
    extras = [np.abs(normal(n, *X.shape[1:])) for n in (1, 2, 3, 4)]
    agrees(BatchNormalizationV7(spatial=0), [X, *extras], [[0]])


@pytest.mark.parametrize(
    ("op", "shapes", "code"),
    [
        (GroupNormalization(num_groups=4), [(2, 6, 3), (6,), (6,)], "E0341"),
        (BatchNormalization(), [(2, 6, 3), (5,), (6,), (6,), (6,)], "E0322"),
        (InstanceNormalization(), [(2, 6), (6,), (6,)], "E0320"),
        (LayerNormalization(axis=3), [(2, 6, 3), (3,)], "E0321"),
        (LayerNormalization(), [(2, 6, 3), (4,)], "E0322"),
        (LayerNormalization(), [(2, 6, 1), (4,)], "E0322"),
        (LayerNormalization(stash_type=7), [(2, 6), (6,)], "E0341"),
        (LpNormalization(p=3), [(2, 6)], "E0341"),
        (LRN(size=0), [(2, 6)], "E0341"),
    ],
)
def test_norms_refuse(op: Any, shapes: list[tuple[int, ...]], code: str) -> None:
    types, _ = symbolic([normal(n, *s) for n, s in enumerate(shapes)], [])
    with pytest.raises(InvalidGraph) as caught:
        op.infer(*types)
    assert caught.value.code == code


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [None, 1])
def test_losses(reduction: str, weighted: bool, ignored: int | None) -> None:
    scores, labels = (normal(0, 5, 4, 3), whole(1, 0, 4, 5, 3, dtype=np.int64))
    weight = np.abs(normal(2, 4)) if weighted else None
    shared: dict[str, Any] = {"reduction": reduction, "ignore_index": ignored}
    settings = {"reduction": reduction, "ignore_index": -100 if ignored is None else ignored}
    arrays = [scores, labels, weight]
    wanted = torch_of("nll_loss", scores, labels, weight, **settings)
    agrees(NegativeLogLikelihoodLoss(**shared), arrays, [[0]], wanted)
    wanted = torch_of("cross_entropy", scores, labels, weight, **settings)
    op = SoftmaxCrossEntropyLoss(outputs=2, **shared)
    made = agrees(op, arrays, [[0]], wanted)
    close(made[1], torch_of("log_softmax", scores, dim=1))
