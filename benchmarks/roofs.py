"""What this machine can do at best, measured: multiply-adds, reading and copying, by threads."""

from __future__ import annotations

import ctypes
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from sardonyx.core.dtype import Array, DType
from sardonyx.engine.code.jit import Jit
from sardonyx.engine.code.link import Unit
from sardonyx.engine.native.memory import aligned
from sardonyx.loops.target import Target, host

KIB, MIB = 1 << 10, 1 << 20
SIZES = (32 * KIB, 128 * KIB, 512 * KIB, 2 * MIB, 8 * MIB, 32 * MIB, 128 * MIB)
LEAST = 4 * MIB  # bytes of one call at least, beside which the call itself costs nothing
TRIPS = 100_000
TRIES = 3
UNROLL = 8
_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)

Call = Callable[[], object]
Work = tuple[Call, int]


@dataclass(frozen=True)
class Roofs:
    """The best rates of some threads together: GFLOP/s, and GB/s by the bytes worked on.

    `copy` counts what is read and what is written. `sizes` are the bytes, ascending, that `read`
    and `copy` belong to.
    """

    threads: int
    fma: float
    sizes: tuple[int, ...]
    read: tuple[float, ...]
    copy: tuple[float, ...]

    def bound(self, flops: int, read: int, written: int, working: int) -> tuple[float, str]:
        """The least seconds that such work takes, and the roof that says so: fma, read or copy.

        `working` is how many bytes the runs of a benchmark go through in turns.
        """
        place = min(bisect_left(self.sizes, working), len(self.sizes) - 1)
        return max(
            (flops / self.fma / 1e9, "fma"),
            (read / self.read[place] / 1e9, "read"),
            ((read + written) / self.copy[place] / 1e9, "copy"),
        )

    def __str__(self) -> str:
        rates = ", ".join(
            f"{_size(size)} {read:.0f}/{copy:.0f}"
            for size, read, copy in zip(self.sizes, self.read, self.copy, strict=True)
        )
        told = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"roofs, {told}: {self.fma:.0f} GFLOP/s; GB/s read/copied in {rates}"

    def to_dict(self) -> dict[str, object]:
        """The same as plain data."""
        return {
            "threads": self.threads,
            "fma_gflops": self.fma,
            "set_bytes": list(self.sizes),
            "read_gbs": list(self.read),
            "copy_gbs": list(self.copy),
        }


def _size(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def measure_roofs(
    threads: int, seconds: float = 0.03, sizes: Sequence[int] = SIZES, target: Target | None = None
) -> Roofs:
    """Measure this machine at the level in force; `seconds` is spent on each of three tries."""
    kernels = _Kernels(target or host())
    return Roofs(
        threads,
        _best([kernels.multiplying() for _ in range(threads)], seconds),
        tuple(sizes),
        tuple(
            _best([kernels.reading(size // threads) for _ in range(threads)], seconds)
            for size in sizes
        ),
        tuple(
            _best([kernels.copying(size // threads) for _ in range(threads)], seconds)
            for size in sizes
        ),
    )


def multiply_add_roof(seconds: float, target: Target) -> float:
    """GFLOP/s of fused multiply-adds between the registers of one core."""
    return _best([_Kernels(target).multiplying()], seconds)


def _best(works: Sequence[Work], seconds: float) -> float:
    """Work per nanosecond by the median call, each on a thread of its own; the best of tries."""
    return max(_rate(works, seconds) for _ in range(TRIES))


def _rate(works: Sequence[Work], seconds: float) -> float:
    begin = threading.Barrier(len(works))
    rates = [0.0] * len(works)

    def run(number: int) -> None:
        call, amount = works[number]
        call()
        begin.wait()
        times = [time.perf_counter()]
        while len(times) < 2 or times[-1] - times[0] < seconds:
            call()
            times.append(time.perf_counter())
        rates[number] = amount / median(b - a for a, b in pairwise(times)) / 1e9

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


class _Kernels:
    """Native loops over memory and registers; each gives a call and the work that it does."""

    def __init__(self, target: Target) -> None:
        self.jit = Jit(target)
        self.lanes, self.chains = target.lanes(DType.FLOAT32), target.registers - 4
        texts = {
            "read": _walk("read", _reading(target), target),
            "copy": _walk("copy", _copying(target), target),
            "fma": _multiplying(self.lanes, self.chains),
        }
        units = [Unit(name, text, text.__str__) for name, text in texts.items()]
        self.calls = dict(zip(texts, map(_CALL, self.jit.load(units)), strict=True))

    def reading(self, size: int) -> Work:
        """Reads a room of that many bytes."""
        count = max(size, LEAST)
        return self._on(aligned(size), "read", 0, size, count), count

    def copying(self, size: int) -> Work:
        """Copies the lower half of a room of that many bytes to its upper half."""
        half = size // 2
        count = max(half, LEAST)
        return self._on(aligned(size), "copy", half, half, count), 2 * count

    def multiplying(self) -> Work:
        """Multiplies and adds between registers."""
        room = aligned(4 * KIB)
        return self._on(room, "fma", 0, 0, TRIPS), 2 * self.lanes * self.chains * TRIPS

    def _on(self, room: Array, name: str, second: int, size: int, count: int) -> Call:
        room[:] = 0
        first = room.ctypes.data

        def run() -> None:  # holds self and the room, whose memory it works on
            self.calls[name](first, first + second, size, count)
            assert room is not None

        return run


@dataclass(frozen=True)
class _Body:
    """Lines of a loop over memory: what it carries around, does, and leaves."""

    carried: list[str]
    done: list[str]
    left: list[str]


def _reading(target: Target) -> _Body:
    """Ors every vector into one of a few registers, which are stored at the end."""
    kind = _kind(target)
    return _Body(
        [f"%c{n} = phi {kind} [ zeroinitializer, %start ], [ %d{n}, %loop ]" for n in _EACH],
        [f"%d{n} = or {kind} %c{n}, %v{n}" for n in _EACH],
        [f"store {kind} %d{n}, ptr %to, align 4" for n in _EACH],
    )


def _copying(target: Target) -> _Body:
    kind, lines = _kind(target), []
    for n in _EACH:
        lines.append(f"%q{n} = getelementptr i8, ptr %to, i64 %a{n}")
        lines.append(f"store {kind} %v{n}, ptr %q{n}, align 4")
    return _Body([], lines, [])


_EACH = range(UNROLL)


def _kind(target: Target) -> str:
    return f"<{target.vector_bits // 32} x i32>"


def _walk(name: str, body: _Body, target: Target) -> str:
    """`name(from, to, size, count)`: goes through `size` bytes round and round, `count` in all."""
    kind, width = _kind(target), target.vector_bits // 8
    loads = []
    for n in _EACH:
        loads.append(f"%a{n} = add i64 %at, {n * width}")
        loads.append(f"%p{n} = getelementptr i8, ptr %from, i64 %a{n}")
        loads.append(f"%v{n} = load {kind}, ptr %p{n}, align 4")
    step = f"""
        %after = add i64 %at, {UNROLL * width}
        %over = icmp uge i64 %after, %size
        %next = select i1 %over, i64 0, i64 %after
        %less = sub i64 %rest, {UNROLL * width}
        %more = icmp sgt i64 %less, 0
        br i1 %more, label %loop, label %done"""
    counters = [
        "%at = phi i64 [ 0, %start ], [ %next, %loop ]",
        "%rest = phi i64 [ %count, %start ], [ %less, %loop ]",
    ]
    return _function(name, [*counters, *body.carried, *loads, *body.done, step], body.left)


def _multiplying(lanes: int, chains: int) -> str:
    """Independent chains of multiply-adds, `count` trips."""
    kind = f"<{lanes} x float>"
    fma = f"@llvm.fmuladd.v{lanes}f32"
    trip = ["%i = phi i64 [ 0, %start ], [ %next, %loop ]"]
    trip += [f"%c{n} = phi {kind} [ %x, %start ], [ %d{n}, %loop ]" for n in range(chains)]
    given = f"{kind} %x, {kind} %x, {kind}"
    trip += [f"%d{n} = call {kind} {fma}({given} %c{n})" for n in range(chains)]
    trip += ["%next = add i64 %i, 1", "%more = icmp ult i64 %next, %count"]
    trip += ["br i1 %more, label %loop, label %done"]
    left = [f"store {kind} %d{n}, ptr %to, align 4" for n in range(chains)]
    declared = f"declare {kind} {fma}({kind}, {kind}, {kind})"
    return _function("fma", trip, left, f"%x = load {kind}, ptr %from, align 4") + declared


def _function(name: str, loop: list[str], left: list[str], first: str = "") -> str:
    head = f"define void @{name}(ptr %from, ptr %to, i64 %size, i64 %count) {{"
    lines = [head, "start:", first, "br label %loop", "loop:", *loop, "done:", *left, "ret void"]
    return "\n".join([*lines, "}", ""])
