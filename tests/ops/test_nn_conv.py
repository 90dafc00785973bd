"""Convolutions, transposed ones and pooling, against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ops.lanes import symbolic
from ops.nn import agrees, close, contracts, normal, whole
from sardonyx.core.errors import InvalidGraph
from sardonyx.ops.quantized.conv import ConvInteger, QLinearConv
from sardonyx.ops.window.conv import Conv
from sardonyx.ops.window.conv_transpose import ConvTranspose
from sardonyx.ops.window.deform import DeformConv
from sardonyx.ops.window.pooling import (
    AveragePool,
    GlobalAveragePool,
    GlobalLpPool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
)
from sardonyx.ops.window.unpool import MaxUnpool

SETTINGS: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, tuple[int, ...]]] = [
    ((1, 1), (1, 1, 1, 1), (1, 1), 1, (3, 3)),
    ((2, 2), (0, 0, 0, 0), (1, 1), 1, (1, 1)),
    ((2, 2), (1, 1, 1, 1), (1, 1), 1, (3, 3)),
    ((2, 1), (0, 1, 2, 1), (1, 2), 2, (3, 2)),
    ((1, 1), (0, 0, 0, 0), (1, 1), 4, (3, 3)),
    ((2, 2), (0, 0, 1, 1), (1, 1), 4, (3, 3)),
]


def torch_conv(x: Any, w: Any, b: Any, op: Conv) -> Any:
    import torch
    from torch.nn import functional

    count = x.ndim - 2
    pads = op.pads or (0,) * 2 * count
    padded = np.pad(x, [(0, 0), (0, 0), *zip(pads[:count], pads[count:], strict=True)])
    call = (functional.conv1d, functional.conv2d, functional.conv3d)[count - 1]
    parts = (torch.from_numpy(a) for a in (padded, w, b))
    return call(*parts, op.strides or 1, 0, op.dilations or 1, op.group).numpy()


@pytest.mark.parametrize(("strides", "pads", "dilations", "group", "size"), SETTINGS)
def test_conv(strides: Any, pads: Any, dilations: Any, group: int, size: Any) -> None:
    x, w, b = (normal(0, 2, 4, 9, 8), normal(1, 8, 4 // group, *size), normal(2, 8))
    op = Conv(strides=strides, pads=pads, dilations=dilations, group=group, kernel_shape=size)
    agrees(op, [x, w, b], [[0, 2, 3]], torch_conv(x, w, b, op), 1e-4)
    assert contracts(op, symbolic([x, w, b], [[0, 2, 3]])[0]) == (group < 4)


@pytest.mark.parametrize("rank", [1, 3])
def test_conv_of_other_ranks(rank: int) -> None:
    x, w, b = (normal(0, 2, 4, *[5] * rank), normal(1, 6, 4, *[3] * rank), normal(2, 6))
    op = Conv(pads=(1,) * 2 * rank, strides=(2,) * rank)
    agrees(op, [x, w, b], [[0, 2]], torch_conv(x, w, b, op), 1e-4)


@pytest.mark.parametrize("way", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv_keeps_the_size_divided_by_the_stride(way: str, stride: int) -> None:
    x, w = normal(0, 1, 2, 7, 8), normal(1, 3, 2, 3, 4)
    op = Conv(auto_pad=way, strides=(stride, stride))
    (y,) = agrees(op, [x, w], [[0, 2, 3]])
    assert y.shape == (1, 3, -(-7 // stride), -(-8 // stride))


@pytest.mark.parametrize(
    ("shape", "attributes", "code"),
    [
        ((8, 3, 3, 3), {}, "E0322"),
        ((8, 4, 3), {}, "E0320"),
        ((8, 4, 3, 3), {"strides": (1,)}, "E0341"),
        ((8, 4, 3, 3), {"strides": (0, 1)}, "E0341"),
        ((8, 4, 3, 3), {"pads": (0, -1, 0, 0)}, "E0341"),
        ((8, 4, 3, 3), {"auto_pad": "SAME"}, "E0341"),
        ((8, 4, 11, 3), {}, "E0342"),
        ((7, 2, 3, 3), {"group": 2}, "E0341"),
        ((8, 4, 3, 3), {"kernel_shape": (5, 5)}, "E0322"),
    ],
)
def test_conv_refuses(shape: tuple[int, ...], attributes: dict[str, Any], code: str) -> None:
    types, _ = symbolic([normal(0, 2, 4, 9, 8), normal(1, *shape)], [])
    with pytest.raises(InvalidGraph) as caught:
        Conv(**attributes).infer(*types)
    assert caught.value.code == code


@pytest.mark.parametrize("group", [1, 2, 4])
def test_integer_convolution(group: int) -> None:
    x = whole(0, 0, 256, 2, 4, 6, 5, dtype=np.uint8)
    w = whole(1, -128, 128, 8, 4 // group, 3, 3)
    zx, zw = np.asarray(np.uint8(7)), whole(2, -9, 9, 8)
    op = ConvInteger(group=group, pads=(1, 1, 1, 1))
    exact = Conv(group=group, pads=(1, 1, 1, 1)).reference(
        x.astype(np.float64) - 7, w.astype(np.float64) - zw.reshape(-1, 1, 1, 1)
    )
    agrees(op, [x, w, zx, zw], [[0, 2]], exact.astype(np.int32), 0)


def test_quantized_convolution_is_exact_until_it_is_rounded() -> None:
    x = whole(0, 0, 256, 2, 4, 6, 5, dtype=np.uint8)
    w, b = (whole(1, -128, 128, 8, 4, 3, 3), whole(2, -900, 900, 8, dtype=np.int32))
    scales = np.linspace(0.001, 0.004, 8, dtype=np.float32)
    arrays = [
        x,
        np.float32(0.02),
        np.uint8(128),
        w,
        scales,
        np.zeros(8, np.int8),
        np.float32(0.03),
        np.uint8(100),
        b,
    ]
    given = [np.asarray(a) for a in arrays]
    wide = (x.astype(np.float64) - 128, w.astype(np.float64), b.astype(np.float64))
    sums = Conv(pads=(1, 1, 1, 1)).reference(*wide)
    factors = np.float64(given[1]) * scales / np.float64(given[6])
    wanted = sums * factors.reshape(-1, 1, 1) + 100
    assert np.abs(wanted % 1 - 0.5).min() > 1e-4, "no sum is near a tie"
    rounded = np.clip(np.rint(wanted), 0, 255)
    agrees(QLinearConv(pads=(1, 1, 1, 1)), given, [[0, 2]], rounded, 0)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("pad", [0, 1])
def test_transposed_conv(stride: int, size: int, pad: int) -> None:
    import torch

    if (4 - 1) * stride + size - 2 * pad < 1:
        return
    x, w, b = (normal(0, 2, 4, 4, 5), normal(1, 4, 3, size, size), normal(2, 3))
    parts = (torch.from_numpy(a) for a in (x, w, b))
    wanted = torch.nn.functional.conv_transpose2d(*parts, stride, pad).numpy()
    op = ConvTranspose(strides=(stride, stride), pads=(pad,) * 4)
    agrees(op, [x, w, b], [[0, 2, 3]], wanted, 1e-4)


@pytest.mark.parametrize(
    "attributes",
    [
        {"dilations": (2, 1), "strides": (2, 2)},
        {"group": 2, "strides": (2, 2), "output_padding": (1, 1), "pads": (1, 1, 1, 1)},
        {"auto_pad": "SAME_UPPER", "strides": (2, 3)},
        {"auto_pad": "SAME_LOWER", "strides": (3, 2)},
        {"output_shape": (10, 8), "strides": (2, 2)},
        {"group": 4, "strides": (2, 2)},
    ],
)
def test_transposed_conv_says_the_same_every_way(attributes: dict[str, Any]) -> None:
    group = attributes.get("group", 1)
    x, w = normal(0, 2, 4, 4, 3), normal(1, 4, 6 // group, 3, 3)
    agrees(
        ConvTranspose(**attributes), [x, w], [[0, 2]] if "output_shape" not in attributes else []
    )


def test_a_transposed_conv_of_even_outputs_does_no_work_in_vain() -> None:
    from ops.lanes import Given
    from sardonyx.core.expr import number, product

    types, _ = symbolic([normal(0, 1, 4, 5, 5), normal(1, 4, 3, 4, 4)], [])
    op = ConvTranspose(strides=(2, 2), pads=(1, 1, 1, 1))
    operands = [Given(n, t) for n, t in enumerate(types) if t is not None]
    c = op.contract(op.infer(*types), *operands)
    assert c is not None
    assert number(product((*c.batch, *c.m, *c.n, *c.k))) == 10 * 10 * 3 * (2 * 2 * 4)


POOLS: list[dict[str, Any]] = [
    {"pads": (1, 1, 1, 1)},
    {"ceil_mode": 1},
    {"ceil_mode": 1, "pads": (1, 0, 1, 1)},
    {"dilations": (2, 1)},
    {"auto_pad": "SAME_LOWER"},
    {"auto_pad": "SAME_UPPER"},
]


@pytest.mark.parametrize("attributes", POOLS)
def test_pools_say_the_same_every_way(attributes: dict[str, Any]) -> None:
    x = normal(0, 2, 3, 9, 8)
    shared = {"kernel_shape": (3, 2), "strides": (2, 2), **attributes}
    for op in (
        MaxPool(outputs=2, **shared),
        MaxPool(outputs=2, storage_order=1, **shared),
        AveragePool(**shared),
        AveragePool(count_include_pad=1, **shared),
        LpPool(**shared),
        LpPool(p=3, **shared),
    ):
        agrees(op, [x], [[0, 2, 3]])


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("pad", [0, 1])
def test_pools_agree_with_torch(ceil: int, pad: int) -> None:
    import torch
    from torch.nn import functional

    x = normal(0, 2, 3, 10, 9)
    t = torch.from_numpy(x)
    shared: dict[str, Any] = {"kernel_shape": (3, 3), "strides": (2, 2)}
    op = MaxPool(pads=(pad,) * 4, ceil_mode=ceil, outputs=2, **shared)
    y, at = functional.max_pool2d(t, 3, 2, pad, 1, bool(ceil), True)
    made = op.reference(x)
    close(made[0], y.numpy())
    offsets = np.arange(6).reshape(2, 3, 1, 1) * 90
    assert (made[1] == at.numpy() + offsets).all()
    for include in (0, 1):
        mean = functional.avg_pool2d(t, 3, 2, pad, bool(ceil), bool(include)).numpy()
        average = AveragePool(pads=(pad,) * 4, ceil_mode=ceil, count_include_pad=include, **shared)
        close(average.reference(x), mean)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float16, np.float64])
def test_max_pool_of_other_types(dtype: Any) -> None:
    x = whole(0, 0, 100, 1, 2, 6, 6, dtype=dtype)
    agrees(MaxPool(kernel_shape=(3, 3), pads=(1, 1, 1, 1), outputs=2), [x], [[2]], None, 0)


def test_global_pools() -> None:
    x = normal(0, 2, 3, 5, 4)
    agrees(GlobalAveragePool(), [x], [[0, 2]], x.mean((2, 3), keepdims=True))
    agrees(GlobalMaxPool(), [x], [[0, 2]], x.max((2, 3), keepdims=True))
    agrees(GlobalLpPool(), [x], [[0, 2]], np.sqrt((x * x).sum((2, 3), keepdims=True)))


def test_unpooling_undoes_pooling_at_the_maxima() -> None:
    x = normal(0, 2, 3, 8, 6)
    y, at = MaxPool(kernel_shape=(2, 2), strides=(2, 2), outputs=2).reference(x)
    back = MaxUnpool(kernel_shape=(2, 2), strides=(2, 2)).reference(y, at)
    assert (back.reshape(-1)[at.reshape(-1)] == y.reshape(-1)).all()
    assert (back != 0).sum() == y.size


def test_a_deformable_conv_without_offsets_is_a_conv() -> None:
    x, w, b = (normal(0, 2, 4, 7, 6), normal(1, 6, 2, 3, 3), normal(2, 6))
    shared: dict[str, Any] = {"group": 2, "pads": (1, 0, 1, 2), "strides": (2, 1)}
    wanted = Conv(**shared).reference(x, w, b)
    offset = np.zeros((2, 2 * 9 * 2, *wanted.shape[2:]), np.float32)
    close(DeformConv(offset_group=2, **shared).reference(x, w, offset, b), wanted)
    moved = offset.copy()
    moved.reshape(2, 2, 9, 2, *wanted.shape[2:])[:, :, :, 1] = 1
    shifted = np.pad(x[..., 1:], [(0, 0), (0, 0), (0, 0), (0, 1)])
    inner = DeformConv(offset_group=2, **shared).reference(x, w, moved, b)
    close(inner[..., 1:], Conv(**shared).reference(shifted, w, b)[..., 1:])


@pytest.mark.parametrize("most", [1, 500, 3000])
def test_a_large_convolution_is_computed_in_parts(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sardonyx.ops.window import conv

    x, w = normal(0, 3, 4, 9, 8), normal(1, 8, 2, 3, 3)
    op = Conv(group=2, pads=(1, 1, 1, 1))
    wanted = op.reference(x, w)
    monkeypatch.setattr(conv, "_MOST_COLUMNS", most)
    close(op.reference(x, w), wanted)
