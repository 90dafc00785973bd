"""Say why a model differs from the module that it was exported from."""

import torch
from rich import print  # noqa: A004 - shows tables
from torch import nn

import sardonyx as sx


def net(corners: bool) -> nn.Module:
    """A convolution, and an image of twice the size."""
    torch.manual_seed(0)
    larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=corners)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), larger)


sx.convert(net(corners=False), ["image=Nx3x16x16"], "source.onnx")
sx.convert(net(corners=True), ["image=Nx3x16x16"], "other.onnx")
found = sx.compare("source.onnx", "other.onnx")
print(found)
assert [reason.cause for reason in found.reasons] == ["resize rule"]
