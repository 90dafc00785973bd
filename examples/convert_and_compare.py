"""Convert a PyTorch module with a symbolic batch, with the evidence that it says the same."""

import torch
from rich import print  # noqa: A004 - shows tables
from torch import nn

import sardonyx as sx

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 4))

print(sx.convert(net, ["input=Nx16"], "net.onnx"))
print(sx.compare("net.onnx", against_provider="onnxruntime"))
