"""Kernels for other kinds of machines: their objects, and runs by emulators that are installed."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.objects import wanted as wanted_by_elf
from sardonyx.core.dtype import Array
from sardonyx.core.expr import evaluate, number
from sardonyx.engine.code.object import assembly_of, object_of
from sardonyx.engine.emit.kernel import emit
from sardonyx.engine.fuse.fuse import Computed
from sardonyx.engine.fuse.launches import Launch
from sardonyx.engine.program.interpreted import Interpreted
from sardonyx.loops.ir import Kernel
from sardonyx.loops.target import Target, make

NAME = "kernel"
DRIVERS = Path(__file__).parent / "foreign"
SECONDS = 60


@dataclass(frozen=True)
class Machine:
    """A kind of machine: its level, what inspects its objects, and what links and runs them.

    `magic` begins an object file, `vectors` matches a vector instruction in assembly, `wanted`
    gives the undefined names of an object. `link` writes a program beside an object file and gives
    the command that runs it; it needs the `programs`.
    """

    level: str
    magic: bytes
    vectors: re.Pattern[str]
    wanted: Callable[[bytes], set[str]]
    programs: tuple[str, ...]
    link: Callable[[Path], list[str]]

    @property
    def target(self) -> Target:
        """What kernels are made for."""
        return make(self.level)

    def missing(self) -> list[str]:
        """The programs that are not installed here."""
        return [name for name in self.programs if shutil.which(name) is None]

    def object(self, kernel: Kernel) -> bytes:
        """The kernel's object file."""
        return object_of(emit(kernel, self.target, NAME), self.target)

    def assembly(self, kernel: Kernel) -> str:
        """The kernel's assembly."""
        return assembly_of(emit(kernel, self.target, NAME), self.target)


def _link_arm(made: Path) -> list[str]:
    program = made.with_suffix("")
    _call("aarch64-linux-gnu-gcc", "-static", "-O1", "-o", program, DRIVERS / "main.c", made)
    return ["qemu-aarch64", str(program)]


def _link_wasm(made: Path) -> list[str]:
    program = made.with_suffix(".wasm")
    exports = [f"--export={name}" for name in (NAME, "__heap_base")]
    _call("wasm-ld", "--no-entry", *exports, "-o", program, made)
    return ["node", str(DRIVERS / "main.mjs"), str(program)]


def _call(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, timeout=SECONDS)


def _wanted_by_wasm(made: bytes) -> set[str]:
    """The imports of a WebAssembly object but what its linker itself gives."""
    given = {"__linear_memory", "__stack_pointer", "__memory_base", "__indirect_function_table"}
    return {name for name in _imports(made) if name not in given}


def _imports(made: bytes) -> Iterator[str]:
    at, imported = 8, 2
    while at < len(made):
        kind, (size, start) = made[at], _leb(made, at + 1)
        at = start + size
        if kind == imported:
            count, place = _leb(made, start)
            for _ in range(count):
                _, place = _text(made, place)
                name, place = _text(made, place)
                yield name
                place = _after_description(made, place)


def _after_description(made: bytes, at: int) -> int:
    """Past what is said of an import: a function's type, a table, a memory, or a global."""
    function, table, memory = 0, 1, 2
    kind, at = made[at], at + 1
    if kind == function:
        return _leb(made, at)[1]
    if kind not in (table, memory):
        return at + 2
    at += kind == table
    limited, at = made[at] & 1, at + 1
    for _ in range(1 + limited):
        _, at = _leb(made, at)
    return at


def _text(made: bytes, at: int) -> tuple[str, int]:
    size, at = _leb(made, at)
    return made[at : at + size].decode(), at + size


def _leb(made: bytes, at: int) -> tuple[int, int]:
    """An unsigned number in groups of seven bits, and the place after it."""
    value, shift = 0, 0
    while True:
        value |= (made[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if made[at - 1] < 0x80:
            return value, at


ARM = Machine(
    "neon",
    b"\x7fELF",
    re.compile(r"\bv\d+\.(4s|2d|8h|16b)\b"),
    wanted_by_elf,
    ("aarch64-linux-gnu-gcc", "qemu-aarch64"),
    _link_arm,
)
WASM = Machine(
    "wasm",
    b"\0asm",
    re.compile(r"\b(f32x4|f64x2|i32x4|i16x8|v128)\.\w+"),
    _wanted_by_wasm,
    ("wasm-ld", "node"),
    _link_wasm,
)


class Elsewhere(Interpreted):
    """One run of a graph's steps, every kernel by an emulator of another kind of machine."""

    machine: Machine
    folder: Path

    def _kernel(self, step: Computed | Launch) -> None:
        assert step.kernel is not None
        for v in step.params[: step.outs]:
            self.memory[v] = self._rubbish(v)
        arrays = [self._read(v).reshape(-1) for v in step.params]
        symbols = [evaluate(e, self.env) for e in step.symbols]
        run(self.machine, step.kernel, arrays, symbols, self.folder, self.threads)


def run(
    machine: Machine,
    kernel: Kernel,
    arrays: Sequence[Array],
    symbols: Sequence[int],
    folder: Path,
    threads: int = 1,
) -> None:
    """Run a kernel on flat arrays in the order of its params, writing its outputs in place."""
    made = folder / "kernel.o"
    made.write_bytes(machine.object(kernel))
    command = machine.link(made)
    head = [len(arrays), len(symbols), _scratch_bytes(kernel), threads]
    numbers = [*head, *(a.nbytes for a in arrays), *symbols]
    job = struct.pack(f"<{len(numbers)}q", *numbers) + b"".join(a.tobytes() for a in arrays)
    done = subprocess.run(command, input=job, capture_output=True, check=True, timeout=SECONDS)
    assert len(done.stdout) == sum(a.nbytes for a in arrays)
    start = 0
    for a in arrays:
        got = np.frombuffer(done.stdout, a.dtype, a.size, start)
        start += a.nbytes
        if not np.array_equal(got.view(np.uint8), a.view(np.uint8)):
            a[:] = got


def _scratch_bytes(kernel: Kernel) -> int:
    sizes = (number(b.size) or 0 for b in kernel.scratch)
    widths = (b.dtype.bits // 8 for b in kernel.scratch)
    return sum(-(-n * w // 64) * 64 for n, w in zip(sizes, widths, strict=True)) + 64
