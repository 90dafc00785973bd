"""Recurrent kernels on the interpreter and as machine code, against the op's reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - makes the operators known
from kernels import native
from kernels.agree import LEVELS, needed
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import symbol
from sardonyx.graph.ir import tensor_type
from sardonyx.kernels.pick import explain, spelled_out
from sardonyx.loops import target
from sardonyx.loops.build import Closed, close
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import Contract, Tile, statements
from sardonyx.ops.recurrent.layers import GRU, LSTM, RNN
from sardonyx.ops.recurrent.recurrence import Recurrence


def normal(seed: int, *shape: int) -> Array:
    made = np.random.default_rng([seed, *shape]).standard_normal(shape) / 2
    return made.astype(np.float32)


class Case:
    """A Recurrence of a cell, its operands, and its raw kernel with symbolic steps and batch."""

    def __init__(
        self, cell: Any, direction: str, full: bool, hidden: int, batch: int, **extra: Any
    ) -> None:
        layer = cell(direction=direction, **extra)
        self.op: Recurrence = layer.recurrence(direction, layer.functions()[0])
        count, gates, steps = self.op.directions, self.op.gates, 4
        self.arrays: list[Any] = [
            normal(0, steps, batch, count * gates * hidden),
            normal(1, count, gates * hidden, hidden),
        ]
        if full:
            after = extra.get("linear_before_reset")
            lengths = np.random.default_rng(3).integers(0, steps + 1, batch).astype(np.int32)
            state = (count, batch, hidden)
            self.arrays += [
                normal(2, count, hidden) if after else None,
                lengths,
                normal(4, *state),
                normal(5, *state) if cell is LSTM else None,
                normal(6, count, 3 * hidden) if cell is LSTM else None,
            ]
        self.sizes = {"S": steps, "B": batch}
        self.closed = self._closed()

    def _closed(self) -> Closed:
        s, b = symbol("S"), symbol("B")
        types: list[Any] = []
        for n, a in enumerate(self.arrays):
            dims: list[Any] = [] if a is None else list(a.shape)
            if n == 0:
                dims[:2] = [s, b]
            elif a is not None and n in (3, 4, 5):
                dims[0 if n == 3 else 1] = b
            types.append(None if a is None else tensor_type(DType.from_numpy(a.dtype), dims))
        outs = self.op.infer(*types)
        kernel = self.op.build(outs, *types)
        assert kernel is not None
        params = [*outs, *(t for t in types if t is not None)]
        sizes = {f"p{n}": (t.dtype, t.count) for n, t in enumerate(params)}
        return close(kernel.body, list(sizes), sizes, len(outs), kernel.scratch)

    def buffers(self) -> list[Array]:
        """Zeroed outputs, then the operands, flat and aligned."""
        wanted = self.op.reference(*self.arrays)
        found = [native.aligned(w.size, w.dtype) for w in wanted]
        for a in self.arrays:
            if a is not None:
                found.append(native.aligned(a.size, a.dtype))
                found[-1][:] = a.reshape(-1)
        return found

    def symbols(self) -> list[int]:
        return [self.sizes[x.arg[0]] for x in self.closed.symbols]

    def check(self, buffers: list[Array]) -> None:
        for wanted, found in zip(self.op.reference(*self.arrays), buffers, strict=False):
            np.testing.assert_allclose(found, wanted.reshape(-1), 1e-4, 1e-5)


CELLS: list[tuple[Any, dict[str, Any]]] = [
    (LSTM, {}),
    (LSTM, {"clip": 0.4, "input_forget": 1}),
    (GRU, {}),
    (GRU, {"linear_before_reset": 1}),
    (RNN, {"activations": ("Relu",) * 2}),
]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("cell", "extra"), CELLS)
def test_kernel(cell: Any, extra: dict[str, Any], direction: str, full: bool) -> None:
    case = Case(cell, direction, full, hidden=5, batch=5, **extra)
    check(case.closed.kernel)
    buffers = case.buffers()
    interpret(spelled_out(case.closed.kernel), buffers, case.symbols(), threads=2)
    case.check(buffers)
    machine = target.host()
    made, _ = explain(case.closed.kernel, machine)
    assert made.strategy == "recurrent"
    check(made.kernel)
    assert not any(isinstance(s, Contract) for s in statements(made.kernel.body))
    buffers = case.buffers()
    native.run(machine, case.closed.kernel, made, buffers, case.symbols(), threads=2)
    case.check(buffers)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("batch", [1, 4, 9])
def test_machine_code_of_every_level(level: str, batch: int) -> None:
    case = Case(LSTM, "bidirectional", True, hidden=20, batch=batch)
    machine = needed(level)
    made, _ = explain(case.closed.kernel, machine)
    assert any(isinstance(s, Tile) for s in statements(made.kernel.body))
    for threads in (1, 2, 3):
        buffers = case.buffers()
        native.run(machine, case.closed.kernel, made, buffers, case.symbols(), threads)
        case.check(buffers)
