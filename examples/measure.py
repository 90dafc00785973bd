"""Measure a model beside ONNX Runtime: each in a process of its own, in turns, with its error."""

import numpy as np
from rich import print  # noqa: A004 - shows tables

import sardonyx as sx
from sardonyx.bench import Plan

MODEL = """graph dense {
  opset "" 20
  input x: float32[N, 64]
  input w: float32[64, 128]
  h: float32[N, 128] = MatMul(x, w)
  y: float32[N, 128] = Gelu(h)
  output y
}"""

rng = np.random.default_rng(0)
feeds = {"x": rng.standard_normal((64, 64)), "w": rng.standard_normal((64, 128))}
feeds = {name: array.astype(np.float32) for name, array in feeds.items()}
quick = Plan(pairs=6, restarts=2, block=0.01)  # leave it out to measure with patience
print(sx.bench(sx.from_text(MODEL), ["onnxruntime"], feeds=feeds, plan=quick))
