"""Resampling: Resize, Upsample, GridSample and AffineGrid, CenterCropPad, against torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ops.lanes import element_by_element, symbolic
from ops.nn import agrees, close, normal
from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidGraph
from sardonyx.core.expr import const, evaluate
from sardonyx.graph.op import Op
from sardonyx.ops.move.crop import CenterCropPad
from sardonyx.ops.resample.grid import AffineGrid, GridSample
from sardonyx.ops.resample.resize import Resize, ResizeV10, Upsample, UpsampleV1, UpsampleV7

X = normal(0, 2, 3, 6, 5)


def with_known(op: Op, arrays: list[Array], known: set[int], free: Any = ((0, 2, 3),)) -> Array:
    """The reference, compared with the elements where the inputs `known` are constants."""
    wanted = op.reference(*arrays)
    for axes in ((), free):
        types, env = symbolic(arrays, axes)
        for n in known:
            t = types[n]
            assert t is not None
            assert t.dtype is not None
            value = tuple(const(v, t.dtype) for v in arrays[n].reshape(-1).tolist())
            types[n] = replace(t, value=value)
        out = op.infer(*types)
        assert tuple(evaluate(d, env) for d in out.dims) == wanted.shape
        close(element_by_element(op, types, arrays, env), wanted, 1e-4)
    return np.asarray(wanted)


def resized(op: Resize, scales: Any = None, sizes: Any = None, x: Array = X) -> Array:
    """The output for scales or sizes."""
    roi = np.array([0, 0, 0.1, 0.2, 1, 1, 0.9, 0.7], np.float32)
    if sizes is None:
        return with_known(op, [x, roi, np.array(scales, np.float32)], {1, 2})
    empty = np.zeros(0, np.float32)
    return with_known(op, [x, roi, empty, np.array(sizes, np.int64)], {1, 2, 3})


COORDINATES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
]


@pytest.mark.parametrize("scale", [(2, 3), (0.5, 0.5), (0.6, 1.7), (1 / 3, 1)])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_every_mode_says_the_same_every_way(coordinates: str, scale: tuple[float, float]) -> None:
    for mode, rounding, excluding in (
        ("nearest", "round_prefer_floor", 0),
        ("nearest", "round_prefer_ceil", 0),
        ("nearest", "floor", 0),
        ("nearest", "ceil", 0),
        ("linear", "floor", 0),
        ("cubic", "floor", 0),
        ("cubic", "floor", 1),
    ):
        op = Resize(
            mode=mode,
            coordinate_transformation_mode=coordinates,
            nearest_mode=rounding,
            exclude_outside=excluding,
            extrapolation_value=7.0,
        )
        resized(op, (1, 1, *scale))


@pytest.mark.parametrize("size", [(12, 10), (3, 3), (7, 4), (6, 5), (1, 1)])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("corners", [False, True])
def test_torchs_interpolate(mode: str, size: tuple[int, int], corners: bool) -> None:
    import torch

    if mode == "nearest" and corners:
        return
    names = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}
    settings = {} if mode == "nearest" else {"align_corners": corners}
    interpolate = torch.nn.functional.interpolate
    wanted = interpolate(torch.from_numpy(X), size, mode=names[mode], **settings).numpy()
    way = "align_corners" if corners else "half_pixel" if mode != "nearest" else "asymmetric"
    op = Resize(mode=mode, coordinate_transformation_mode=way, nearest_mode="floor")
    close(resized(op, sizes=(2, 3, *size)), wanted, 1e-4)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_torchs_antialiasing(mode: str) -> None:
    import torch

    x = normal(1, 1, 2, 17, 16)
    name = {"linear": "bilinear", "cubic": "bicubic"}[mode]
    interpolate = torch.nn.functional.interpolate
    wanted = interpolate(torch.from_numpy(x), (7, 5), mode=name, antialias=True).numpy()
    op = Resize(mode=mode, antialias=1, cubic_coeff_a=-0.5, exclude_outside=1)
    empty = np.zeros(0, np.float32)
    arrays = [x, empty, empty, np.array([1, 2, 7, 5])]
    y = with_known(op, arrays, {1, 2, 3}, ())
    close(y, wanted, 1e-4)


def test_chosen_axes_and_aspect() -> None:
    image = np.moveaxis(X, 1, 3)
    wanted = np.moveaxis(resized(Resize(mode="linear"), sizes=(2, 3, 12, 10)), 1, 3)
    op = Resize(mode="linear", axes=(1, 2))
    arrays = [image, np.zeros(0, np.float32), np.zeros(0, np.float32), np.array([12, 10])]
    close(with_known(op, arrays, {1, 2, 3}, ((0,),)), wanted)
    for policy, shape in (("not_larger", (8, 7)), ("not_smaller", (18, 15))):
        kept = Resize(axes=(2, 3), keep_aspect_ratio_policy=policy)
        empty = np.zeros(0, np.float32)
        assert kept.reference(X, empty, empty, np.array([18, 7])).shape[2:] == shape


def test_integers_are_rounded() -> None:
    x = np.array([[[[0, 10], [20, 255]]]], np.uint8)
    y = resized(Resize(mode="linear"), (1, 1, 2, 2), x=x)
    assert y.dtype == np.uint8
    assert y[0, 0, 0].tolist() == [0, 2, 8, 10]


def test_a_third_is_a_third() -> None:
    x = np.arange(9, dtype=np.float32).reshape(1, 1, 1, 9)
    op = Resize(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    assert resized(op, (1, 1, 1, 1 / 3), x=x).reshape(-1).tolist() == [0, 3, 6]


def test_older_forms() -> None:
    scales = np.array([1, 1, 2, 3], np.float32)
    wanted = X.repeat(2, axis=2).repeat(3, axis=3)
    close(with_known(ResizeV10(), [X, scales], {1}), wanted)
    close(with_known(Upsample(), [X, scales], {1}), wanted)
    close(with_known(UpsampleV7(scales=(1, 1, 2, 3)), [X], set()), wanted)
    close(with_known(UpsampleV1(height_scale=2, width_scale=3), [X], set()), wanted)


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "sinc"},
        {"coordinate_transformation_mode": "centre"},
        {"nearest_mode": "up"},
        {"axes": (1, 2)},
    ],
)
def test_resize_refuses(attributes: dict[str, Any]) -> None:
    with pytest.raises(InvalidGraph, match="E0341"):
        resized(Resize(**attributes), (1, 1, 0.6, 2))


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("corners", [0, 1])
def test_torchs_grid_sample(mode: str, padding: str, corners: int) -> None:
    import torch

    grid = normal(1, 2, 4, 3, 2)
    name = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[mode]
    sample = torch.nn.functional.grid_sample
    parts = (torch.from_numpy(a) for a in (X, grid))
    wanted = sample(*parts, mode=name, padding_mode=padding, align_corners=bool(corners)).numpy()
    op = GridSample(mode=mode, padding_mode=padding, align_corners=corners)
    agrees(op, [X, grid], [[0, 2, 3], [0]], wanted, 1e-4)


def test_grids_in_space_and_far_away() -> None:
    volume, grid = (normal(0, 1, 2, 3, 4, 5), normal(1, 1, 2, 2, 2, 3))
    agrees(GridSample(), [volume, grid], [[2]], None, 1e-4)
    grid[0, 0, 0, 0] = (np.nan, np.inf, -np.inf)
    for padding in ("zeros", "border", "reflection"):
        agrees(GridSample(padding_mode=padding), [volume, grid], [[2]], None, 1e-4)


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 3, 1, 5), (2, 1, 3, 4, 2)])
def test_torchs_affine_grid(size: tuple[int, ...], corners: int) -> None:
    import torch

    theta = normal(0, 2, len(size) - 2, len(size) - 1)
    op = AffineGrid(align_corners=corners)
    if corners and size[2] == 1:
        made = with_known(op, [theta, np.array(size)], {1}, ((0,),))
        assert (made[:, 0, 2, 1] == theta[:, 1, 2]).all()
        return
    grid = torch.nn.functional.affine_grid(torch.from_numpy(theta), size, bool(corners)).numpy()
    close(with_known(op, [theta, np.array(size)], {1}, ((0,),)), grid)


@pytest.mark.parametrize("size", [(6, 5), (4, 3), (3, 8), (9, 9), (7, 2)])
def test_centre_crop_pad(size: tuple[int, int]) -> None:
    y = with_known(CenterCropPad(axes=(2, 3)), [X, np.array(size)], {1})
    assert y.shape == (2, 3, *size)
    back = with_known(CenterCropPad(), [y, np.array(X.shape)], {1}, ((0,),))
    kept = back != 0
    assert (back[kept] == X[kept]).all()
