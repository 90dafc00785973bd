"""Every way of scheduling a contraction, timed, with the way that the rules pick marked.

python benchmarks/contractions.py [WORD ...] [--all] [--seconds 0.2]

One thread. Figures are the best of many runs, in GFLOP/s, and the share of the machine's roof of
fused multiply-adds, which is measured first. WORD selects the shapes whose names contain it;
--all times every candidate, not only the pick.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roofs import multiply_add_roof
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, evaluate, symbol
from sardonyx.core.tensor import Tensor
from sardonyx.engine.code.jit import Jit
from sardonyx.engine.fuse.fuse import Computed, fuse
from sardonyx.engine.native.memory import aligned
from sardonyx.formats.onnx import to_bytes
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.op import Op, find
from sardonyx.graph.type import tensor_type
from sardonyx.kernels.filtering import F2, F4
from sardonyx.kernels.gemm import candidates
from sardonyx.kernels.pick import schedule
from sardonyx.kernels.scheduled import Scheduled
from sardonyx.kernels.winograd import filtered
from sardonyx.loops.ir import Contract, Kernel
from sardonyx.loops.target import Target, host

_CALL = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_int64)
_OPSET = 20
_QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class Shape:
    """One operator at one size: a graph of one node, its floating-point operations, the dims."""

    name: str
    graph: Graph
    work: int
    dims: dict[Expr, int]


def product(m: int, n: int, k: int) -> Shape:
    """A matrix product whose row count is a symbol."""
    rows = symbol("M")
    graph = _graph("MatMul", [(rows, k), (k, n)], (rows, n), {}, None)
    return Shape(f"MatMul {m}x{n}x{k}", graph, 2 * m * n * k, {rows: m})


def convolution(
    channels: int, filters: int, side: int, taps: int, step: int = 1, group: int = 1
) -> Shape:
    """A convolution of a batch whose size is a symbol, channels last, "same" padding."""
    images, out = symbol("N"), (side - 1) // step + 1
    pad = (taps - 1) // 2
    attributes = {
        "pads": (pad,) * 4,
        "strides": (step,) * 2,
        "group": group,
        "kernel_shape": (taps,) * 2,
    }
    order = (0, 2, 3, 1)
    graph = _graph(
        "Conv",
        [(images, channels, side, side), (filters, channels // group, taps, taps)],
        (images, filters, out, out),
        attributes,
        order,
    )
    work = 2 * out * out * filters * channels // group * taps * taps
    name = f"Conv {channels}->{filters} {taps}x{taps} /{step} {side}x{side}"
    return Shape(name + (f" groups {group}" if group > 1 else ""), graph, work, {images: 1})


def _graph(
    op: str,
    shapes: Sequence[tuple[Expr | int, ...]],
    out: tuple[Expr | int, ...],
    attributes: dict[str, Any],
    order: tuple[int, ...] | None,
) -> Graph:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal([int(d) for d in shapes[1] if isinstance(d, int)])
    kind: type[Op] | None = find("", op, _OPSET)
    assert kind is not None
    x = Value("x", tensor_type(DType.FLOAT32, shapes[0]), layout=order)
    graph = Graph("one", inputs=[x], opsets={"": _OPSET})
    w = graph.constant(Tensor.of(weights.astype(np.float32)), "w")
    y = Value("y", tensor_type(DType.FLOAT32, out), layout=order)
    graph.append(kind(**attributes), [x, w], [y])
    graph.outputs.append(y)
    return graph


SHAPES: tuple[Callable[[], Shape], ...] = (
    lambda: product(512, 512, 512),
    lambda: product(128, 768, 3072),
    lambda: product(128, 3072, 768),
    lambda: product(197, 768, 768),
    lambda: product(16, 768, 768),
    lambda: product(1, 768, 768),
    lambda: product(1, 1000, 2048),
    lambda: convolution(64, 64, 56, 3),
    lambda: convolution(256, 64, 56, 1),
    lambda: convolution(64, 256, 56, 1),
    lambda: convolution(128, 128, 28, 3),
    lambda: convolution(512, 512, 7, 3),
    lambda: convolution(256, 512, 56, 1, 2),
    lambda: convolution(3, 64, 224, 7, 2),
    lambda: convolution(24, 144, 56, 1),
    lambda: convolution(144, 24, 56, 1),
    lambda: convolution(144, 144, 56, 3, 1, 144),
    lambda: convolution(960, 960, 7, 3, 1, 960),
)


class Bound:
    """A schedule on arrays of its own, ready to be called."""

    def __init__(self, jit: Jit, step: Computed, made: Scheduled, arrays: list[Array]) -> None:
        everything = list(arrays)
        env = dict(zip(step.kernel.symbols, self.symbols(step), strict=True))
        for p in made.packed:
            room = _room(evaluate(p.count, env), p.dtype)
            self._launch(jit, p.kernel, [room, *(arrays[n] for n in p.sources)], step)()
            everything.append(room)
        kept = range(len(everything)) if made.params is None else made.params
        self.run = self._launch(jit, made.kernel, [everything[n] for n in kept], step)

    @staticmethod
    def symbols(step: Computed) -> list[int]:
        """The values of the kernel's symbols."""
        return [evaluate(s, SIZES) for s in step.symbols]

    def _launch(
        self, jit: Jit, kernel: Kernel, arrays: list[Array], step: Computed
    ) -> Callable[[], None]:
        (at,) = jit.functions([kernel])
        call = _CALL(at)
        halt = ctypes.c_int64()
        pointers = [ctypes.addressof(halt), *(a.ctypes.data for a in arrays)]
        table = (ctypes.c_void_p * len(pointers))(*pointers)
        ids = (ctypes.c_int32 * len(arrays))(*range(len(arrays)))
        values = self.symbols(step)
        syms = (ctypes.c_int64 * max(1, len(values)))(*values)
        bytes_ = sum(evaluate(b.size, {}) * b.dtype.bits // 8 + 64 for b in kernel.scratch)
        scratch = aligned(bytes_ + 64)
        given = (
            ctypes.addressof(table) + ctypes.sizeof(ctypes.c_void_p),
            ctypes.addressof(ids),
            ctypes.addressof(syms),
            scratch.ctypes.data,
            0,
            1,
        )
        keep = (halt, table, ids, syms, scratch, arrays)

        def run() -> None:
            assert keep
            call(*given)

        return run


SIZES: dict[Expr, int] = {}


def _room(count: int, dtype: DType) -> Array:
    return aligned(count * dtype.bits // 8).view(dtype.numpy)


def best(run: Callable[[], object], seconds: float) -> float:
    """The shortest of many runs, in seconds."""
    run()
    shortest, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        start = time.perf_counter()
        run()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def schedules(kernel: Kernel, target: Target, every: bool) -> Iterator[tuple[str, Scheduled]]:
    """(how, schedule), the rules' pick first."""
    made = schedule(kernel, target)
    yield f"* {made.strategy}", made
    if not every:
        return
    (top,) = kernel.body
    for by in (F2, F4):
        if not isinstance(top, Contract):
            continue
        other = filtered(kernel, top, target, by)
        if isinstance(other, Scheduled) and other.kernel != made.kernel:
            yield f"  {other.strategy}", other
    for choice, other in candidates(kernel, target):
        if other.kernel != made.kernel:
            yield f"  {choice}", other


def peers(shape: Shape, arrays: list[Array]) -> Iterator[tuple[str, Callable[[], object]]]:
    """numpy where it has the operator, ONNX Runtime where it is installed."""
    if shape.name.startswith("MatMul"):
        (rows,) = shape.dims.values()
        w = arrays[2]
        depth = len(arrays[1]) // rows
        a, b = arrays[1].reshape(rows, depth), w.reshape(depth, -1)
        yield "  numpy", lambda: np.matmul(a, b)
    if importlib.util.find_spec("onnxruntime") is None:
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = bytes(to_bytes(shape.graph))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    dims = [evaluate(d, shape.dims) for d in shape.graph.inputs[0].type.dims]
    x = np.ascontiguousarray(np.resize(arrays[1], dims))
    yield "  ONNX Runtime", lambda: session.run(None, {"x": x})


def report(shape: Shape, target: Target, top: float, options: argparse.Namespace) -> None:
    """Prints the rows of one shape."""
    SIZES.update(shape.dims)
    (step,) = (s for s in fuse(shape.graph) if isinstance(s, Computed))
    rng, jit = np.random.default_rng(1), Jit(target)
    env = dict(zip(step.kernel.symbols, Bound.symbols(step), strict=True))
    arrays = [_room(evaluate(b.size, env), b.dtype) for b in step.kernel.params]
    for a in arrays[1:]:
        a[:] = rng.standard_normal(len(a))
    print(f"\n{shape.name}")
    ways: list[tuple[str, Callable[[], object]]] = [
        (how, Bound(jit, step, made, arrays).run)
        for how, made in schedules(step.kernel, target, options.all)
    ]
    for how, run in (*ways, *peers(shape, arrays)):
        seconds = best(run, options.seconds)
        speed = shape.work / seconds / 1e9
        print(f"  {how:36s} {seconds * 1e6:10.1f} us {speed:8.1f} GFLOP/s {speed / top:6.0%}")


def main() -> None:
    """Reads the command line and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("words", nargs="*", help="parts of shapes' names")
    parser.add_argument("--all", action="store_true", help="every candidate")
    parser.add_argument("--seconds", type=float, default=0.2, help="time spent on each")
    options = parser.parse_args()
    target = host()
    top = multiply_add_roof(options.seconds, target)
    print(f"{target.level}, {target.cpu}: roof {top:.1f} GFLOP/s on one thread")
    for make in SHAPES:
        shape = make()
        if not options.words or any(w in shape.name for w in options.words):
            report(shape, target, top, options)


if __name__ == "__main__":
    if any(name not in os.environ for name in _QUIET):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **_QUIET})
    main()
