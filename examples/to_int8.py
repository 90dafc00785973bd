"""Quantize to int8 on calibration data, and see how far the outputs moved."""

import numpy as np
import torch
from rich import print  # noqa: A004 - shows tables
from torch import nn

import sardonyx as sx

torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 4))
sx.convert(net, ["input=Nx3x8x8"], "net.onnx")

rng = np.random.default_rng(0)
rows = rng.standard_normal((128, 3, 8, 8)).astype(np.float32)
calibration, test = rows[:64], rows[64:]

made = sx.quantize("net.onnx", calibration, method="percentile")
sx.save(made.graph, "net.int8.onnx")
print(f"{len(made.quantized)} nodes in int8")
print(sx.compare("net.onnx", "net.int8.onnx", data=test))
