"""The same kernels for aarch64 and WebAssembly: objects are inspected, and run where that can be.

Nothing here needs such a machine; runs need a linker and an emulator, and are skipped without.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.elsewhere import ARM, WASM, Elsewhere, Machine, run
from sardonyx.core.dtype import DType
from sardonyx.core.limits import Limits
from sardonyx.engine.code.object import object_of
from sardonyx.engine.emit.kernel import emit
from sardonyx.engine.fuse.fuse import Computed, fuse
from sardonyx.engine.fuse.launches import launches
from sardonyx.graph.evaluate import Walk
from sardonyx.kernels.pick import schedule
from sardonyx.kernels.scheduled import Scheduled
from sardonyx.loops.interp import interpret
from sardonyx.loops.vector.rewrite import vectorise
from stages.cases import CASES, Case
from stages.run import in_lanes, ready, scheduled
from stages.test_stages import agree, given
from texts import load

ALWAYS = VECTORS = {"softmaxes", "product", "attention", "image", "quantized"}
SOFTMAX = """graph rows {
opset "" 21
input x: float32[N, 37]
y = Softmax<axis=-1>(x)
output y
}"""
ROWS, DEPTH, COLUMNS = 5, 19, 37

machines = pytest.mark.parametrize("machine", [ARM, WASM], ids=lambda m: m.level)
each = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
some = pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, id=c.name, marks=() if c.name in ALWAYS else pytest.mark.exhaustive)
        for c in CASES
    ],
)


@machines
@each
def test_code_has_vectors_and_calls_nobody(case: Case, machine: Machine) -> None:
    kernels = list(scheduled(ready(load(case.text)), machine.target))
    assert kernels
    for kernel in kernels:
        made = machine.object(kernel)
        assert made.startswith(machine.magic)
        assert machine.wanted(made) == set()
        assert "x86" not in emit(kernel, machine.target, "kernel")
    if case.name in VECTORS:
        assert any(machine.vectors.search(machine.assembly(kernel)) for kernel in kernels)


@machines
@some
def test_code_computes_what_it_should(case: Case, machine: Machine, tmp_path: Path) -> None:
    _need(machine)
    graph, fed, expected = given(case)
    prepared = ready(graph)
    feeds = [fed[v.name] for v in prepared.inputs]
    one = Elsewhere(prepared, feeds, Walk(Limits.current()), threads=2)
    one.machine, one.folder = machine, tmp_path
    agree(one.run(launches(fuse(prepared), machine.target)), expected)


@machines
def test_a_softmax_equals_the_interpreter_s(machine: Machine, tmp_path: Path) -> None:
    _need(machine)
    graph = load(SOFTMAX)
    prepared = ready(graph)
    x = np.random.default_rng(2).standard_normal((3, COLUMNS)).astype(np.float32)
    one = Elsewhere(prepared, [x], Walk(Limits.current()), threads=2)
    one.machine, one.folder = machine, tmp_path
    (found,) = one.run(launches(fuse(prepared), machine.target))
    (wanted,) = in_lanes(prepared, {"x": x}, machine.target)
    # The interpreter's exp is numpy's, which differs from ours in the last places.
    np.testing.assert_array_max_ulp(found, wanted, maxulp=8)


def test_a_softmax_is_one_kernel_whose_code_differs() -> None:
    prepared = ready(load(SOFTMAX))
    arm, wasm = (list(scheduled(prepared, m.target)) for m in (ARM, WASM))
    assert arm == wasm
    assert vectorise(arm[0], ARM.target) == vectorise(wasm[0], WASM.target)
    assert ARM.object(arm[0]) != WASM.object(wasm[0])


def _product(machine: Machine) -> Scheduled:
    """A product of two inputs that are not constant, scheduled for a machine."""
    graph = load(
        f"""graph product {{
        opset "" 21
        input x: float32[{ROWS}, {DEPTH}]
        input w: float32[{DEPTH}, {COLUMNS}]
        y = MatMul(x, w)
        output y
        }}"""
    )
    (step,) = (s for s in fuse(ready(graph)) if isinstance(s, Computed))
    return schedule(step.kernel, machine.target)


def test_products_use_what_multiplies_in_vectors() -> None:
    arm, wasm = (m.assembly(_product(m).kernel) for m in (ARM, WASM))
    assert "fmla\tv" in arm
    assert "f32x4.mul" in wasm
    assert "f32x4.add" in wasm


@machines
@pytest.mark.parametrize("threads", [1, 3])
def test_a_product_of_whole_numbers_equals_the_interpreter_s(
    machine: Machine, threads: int, tmp_path: Path
) -> None:
    _need(machine)
    made, rng = _product(machine), np.random.default_rng(1)
    assert made.strategy.startswith("gemm")
    out = np.full(ROWS * COLUMNS, 77, np.float32)
    x = rng.integers(-9, 10, ROWS * DEPTH).astype(np.float32)
    w = rng.integers(-9, 10, DEPTH * COLUMNS).astype(np.float32)
    arrays = [out, x, w]
    for n, p in enumerate(made.packed):
        room = np.zeros(int(p.count.arg), p.dtype.numpy)
        mine, theirs = room.copy(), room.copy()
        run(machine, p.kernel, [mine, *(arrays[s] for s in p.sources)], [], tmp_path, threads)
        interpret(p.kernel, [theirs, *(arrays[s] for s in p.sources)], [], threads)
        np.testing.assert_array_equal(mine, theirs, err_msg=f"packed operand {n}")
        arrays.append(mine)
    kept = range(len(arrays)) if made.params is None else made.params
    run(machine, made.kernel, [arrays[n] for n in kept], [], tmp_path, threads)
    wanted = np.full_like(out, 77)
    arrays[0] = wanted
    interpret(made.kernel, [arrays[n] for n in kept], [], threads)
    np.testing.assert_array_equal(out, wanted)
    exact = x.reshape(ROWS, DEPTH) @ w.reshape(DEPTH, COLUMNS)
    np.testing.assert_array_equal(out, exact.reshape(-1))


@machines
def test_what_an_object_wants_is_seen(machine: Machine) -> None:
    text = "declare void @nowhere()\ndefine void @f() {\n  call void @nowhere()\n  ret void\n}"
    assert machine.wanted(object_of(text, machine.target)) == {"nowhere"}


@machines
def test_vectors_are_of_128_bits(machine: Machine) -> None:
    assert machine.target.lanes(DType.FLOAT32) == 4


def _need(machine: Machine) -> None:
    missing = machine.missing()
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
