"""Loads and stores: one element, whole vectors, elements apart, a place for each lane, under masks.

A lane that is off touches no memory: a masked access skips it, a scalar one is sent to memory of
our own.
"""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.core.errors import CompileError
from sardonyx.core.expr import Expr, number, within
from sardonyx.engine.emit.choice import Choices
from sardonyx.engine.emit.types import memory, splat, vector
from sardonyx.engine.emit.values import Value
from sardonyx.loops.ir import Buffer, Kernel, Store
from sardonyx.loops.target import Target

_SPREAD = 4


class Memory(Choices):
    """Values that come from memory and go there."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        super().__init__(kernel, target)
        self._bases: dict[int, str] = {}
        self._inside: dict[Expr, bool] = {}
        self._scratch_at = _layout(kernel)
        self._sinks: dict[bool, str] = {}
        self._positions = {b.number: i for i, b in enumerate(kernel.params)}
        self.rows |= {"load": self._load, "span": self._load_span, "below": self._below}

    def base(self, buffer: int) -> str:
        """The address of a buffer's first element."""
        if buffer not in self._bases:
            with self.at(0):
                self._bases[buffer] = self._base(buffer)
        return self._bases[buffer]

    def _base(self, buffer: int) -> str:
        if buffer in self._scratch_at:
            return self.let(f"getelementptr i8, ptr %scratch, i64 {self._scratch_at[buffer]}")
        slot = self.let(f"getelementptr i32, ptr %ids, i64 {self._positions[buffer]}")
        position = self.let(f"load i32, ptr {slot}, align 4")
        wide = self.let(f"sext i32 {position} to i64")
        entry = self.let(f"getelementptr ptr, ptr %table, i64 {wide}")
        return self.let(f"load ptr, ptr {entry}, align 8", "p")

    def pointer(self, buffer: int, index: Expr | None = None) -> str:
        """The address of an element."""
        if index is None or number(index) == 0:
            return self.base(buffer)
        return self._address(buffer, self.value(index))

    def _address(self, buffer: int, index: Value) -> str:
        base, kind = self.base(buffer), memory(self.buffers[buffer].dtype)
        return self.let(f"getelementptr {kind}, ptr {base}, i64 {index.operand}", "p")

    def inside(self, x: Expr) -> bool:
        """Whether all that a load reads is provably within the buffer."""
        if x not in self._inside:
            ends = [x.args[0]]
            if x.op == "span":
                ends.append(x.args[0] + x.args[1] * (x.arg[1] - 1))
            buffer = x.arg if x.op == "load" else x.arg[0]
            size = self.buffers[buffer].size
            self._inside[x] = all(within(end, size) for end in ends)
        return self._inside[x]

    def _buffer(self, x: Expr, number: int) -> Buffer:
        buffer = self.buffers.get(number)
        if buffer is None or buffer.dtype is not x.dtype:
            raise CompileError("E0823", f"`{x}` is not an element of a buffer of the kernel")
        return buffer

    # Loads

    def _placed(self, x: Expr, buffer: int) -> Value:
        """Level and reads of a load: the outermost level at which memory may be read."""
        _, level, reads = self.combine(self.known(a) for a in x.args)
        level = max(level, self.write_level(buffer))
        guard = self.guard_level()
        if guard > level and not self.inside(x):
            level = guard
        return Value("", None, level, reads | ({buffer} & self.stored))

    def _load(self, x: Expr) -> Value:
        """One element, or one for each lane of the index."""
        self._buffer(x, x.arg)
        place, at = self._placed(x, x.arg), self.known(x.args[0])
        mask = self._mask(x.args[1:], at.lanes)
        with self.at(place.level):
            if at.lanes is None:
                address = self._address(x.arg, at)
                if mask is not None:
                    address = self._or_sink(mask, address, False)
                out = self._read_one(x.dtype, address)
                return place._replace(operand=self._from_memory(out, x.dtype, None))
            out = self._read_each(x.dtype, self._scattered(x.arg, at), mask)
            out = self._from_memory(out, x.dtype, at.lanes)
        return place._replace(operand=out, lanes=at.lanes)

    def _load_span(self, x: Expr) -> Value:
        """Elements a fixed number apart."""
        buffer, width = x.arg
        self._buffer(x, buffer)
        place, step = self._placed(x, buffer), number(x.args[1])
        mask = self._mask(x.args[2:], width)
        with self.at(place.level):
            address = self._address(buffer, self.known(x.args[0]))
            if step == 1:
                out = self._read_vector(x.dtype, address, width, mask)
            elif mask is None and step is not None and abs(step) <= _SPREAD and width > 2:
                out = self._read_spread(x.dtype, address, width, step)
            else:
                places = self._spaced(address, x.args[1], width)
                out = self._read_each(x.dtype, self._lane_addresses(buffer, places), mask)
            out = self._from_memory(out, x.dtype, width)
        return place._replace(operand=out, lanes=width)

    def _read_one(self, dtype: DType, address: str) -> str:
        return self.let(f"load {memory(dtype)}, ptr {address}, align {dtype.bits // 8}")

    def _read_vector(self, dtype: DType, address: str, width: int, mask: str | None) -> str:
        kind, align = memory(dtype, width), dtype.bits // 8
        if mask is None:
            return self.let(f"load {kind}, ptr {address}, align {align}")
        name = f"llvm.masked.load.{_mangled(kind)}.p0"
        self.declare(f"declare {kind} @{name}(ptr, i32 immarg, <{width} x i1>, {kind})")
        return self.let(
            f"call {kind} @{name}(ptr {address}, i32 {align}, <{width} x i1> {mask}, "
            f"{kind} zeroinitializer)"
        )

    def _read_each(self, dtype: DType, addresses: list[str], mask: str | None) -> str:
        """One scalar load for each lane."""
        kind, one, out = memory(dtype, len(addresses)), memory(dtype), "poison"
        for k, address in enumerate(self._allowed(addresses, mask, False)):
            item = self._read_one(dtype, address)
            out = self.let(f"insertelement {kind} {out}, {one} {item}, i64 {k}")
        return out

    def _read_spread(self, dtype: DType, address: str, width: int, step: int) -> str:
        """Lanes a few elements apart: whole vectors from the first lane's to the last's, permuted.

        Vector v holds the elements from v * width on, the last one those up to the last lane's.
        """
        kind, span = memory(dtype, width), abs(step) * (width - 1) + 1
        low = 0 if step > 0 else 1 - span
        starts = sorted({min(v * width, span - width) for v in range(abs(step))})
        out, taken = "poison", set[int]()
        for start in starts:
            place = f"getelementptr {memory(dtype)}, ptr {address}, i64 {low + start}"
            part, order = self._read_vector(dtype, self.let(place), width, None), []
            for k in range(width):
                element = k * step - low
                fresh = k not in taken and start <= element < start + width
                order.append(width + element - start if fresh else k)
                taken |= {k} if fresh else set()
            picks = ", ".join(f"i32 {p}" for p in order)
            both = f"{kind} {out}, {kind} {part}"
            out = self.let(f"shufflevector {both}, <{width} x i32> <{picks}>")
        return out

    def _from_memory(self, out: str, dtype: DType, lanes: int | None) -> str:
        if not dtype.is_bool:
            return out
        return self.let(f"icmp ne {vector('i8', lanes)} {out}, {splat('i8', '0', lanes)}")

    # Addresses of lanes

    def _scattered(self, buffer: int, index: Value) -> list[str]:
        """The address of each lane's element."""
        width = index.lanes or 0
        wide, base = vector("i64", width), self.base(buffer)
        take = "extractelement {} {}, i64 {}".format
        offsets = [self.let(take(wide, index.operand, k)) for k in range(width)]
        return self._lane_addresses(buffer, [(base, offset) for offset in offsets])

    def _spaced(self, start: str, stride: Expr, width: int) -> list[tuple[str, str]]:
        """Address and offset of elements `stride` apart."""
        step = number(stride)
        if step is not None:
            return [(start, str(k * step)) for k in range(width)]
        operand = self.known(stride).operand
        return [(start, self.let(f"mul i64 {operand}, {k}")) for k in range(width)]

    def _lane_addresses(self, buffer: int, places: list[tuple[str, str]]) -> list[str]:
        kind = memory(self.buffers[buffer].dtype)
        return [self.let(f"getelementptr {kind}, ptr {p}, i64 {offset}") for p, offset in places]

    def _allowed(self, addresses: list[str], mask: str | None, writes: bool) -> list[str]:
        """The addresses, that of memory of our own where the lane is off."""
        if mask is None:
            return addresses
        kind, out = vector("i1", len(addresses)), []
        for k, address in enumerate(addresses):
            on = self.let(f"extractelement {kind} {mask}, i64 {k}")
            out.append(self._or_sink(on, address, writes))
        return out

    def _or_sink(self, condition: str, address: str, writes: bool) -> str:
        return self.let(f"select i1 {condition}, ptr {address}, ptr {self._sink(writes)}")

    def _sink(self, writes: bool) -> str:
        """Memory of our own that a lane that is off writes, or reads zeros from."""
        if writes not in self._sinks:
            self._sinks[writes] = self.stack(64)
            if not writes:
                zeros = "store <8 x i64> zeroinitializer"
                self.entry.append(f"{zeros}, ptr {self._sinks[writes]}, align 64")
        return self._sinks[writes]

    # Stores

    def store(self, s: Store) -> None:
        """Writes one element, or the lanes that are on."""
        buffer = self.buffers.get(s.buffer)
        if buffer is None or buffer.dtype is not s.value.dtype:
            raise CompileError("E0823", f"buffer {s.buffer} cannot take `{s.value}`")
        value, index = self.value(s.value), self.value(s.index)
        lanes = index.lanes if s.span is None else s.span.lanes
        if lanes is None and value.lanes is not None:
            raise CompileError("E0822", f"`{s.value}` varies where one value is stored")
        operand, dtype = self.matched(value, s.value.dtype, lanes), buffer.dtype
        if dtype.is_bool:
            operand = self.let(f"zext {vector('i1', lanes)} {operand} to {vector('i8', lanes)}")
        mask = None if s.mask is None else self.expr(s.mask, lanes)
        if lanes is None:
            self._write_one(dtype, operand, self._address(s.buffer, index))
        elif s.span is None:
            self._write_each(dtype, operand, self._scattered(s.buffer, index), mask)
        else:
            stride, address = self.value(s.span.stride), self._address(s.buffer, index)
            if stride.operand == "1":
                self._write_vector(dtype, operand, address, lanes, mask)
            else:
                places = self._spaced(address, s.span.stride, lanes)
                self._write_each(dtype, operand, self._lane_addresses(s.buffer, places), mask)
        self.written(frozenset({s.buffer}))

    def _write_one(self, dtype: DType, operand: str, address: str) -> None:
        self.line(f"store {memory(dtype)} {operand}, ptr {address}, align {dtype.bits // 8}")

    def _write_vector(
        self, dtype: DType, operand: str, address: str, width: int, mask: str | None
    ) -> None:
        kind, align = memory(dtype, width), dtype.bits // 8
        if mask is None:
            self.line(f"store {kind} {operand}, ptr {address}, align {align}")
            return
        if _first_only(mask):
            item = self.let(f"extractelement {kind} {operand}, i64 0")
            self._write_one(dtype, item, address)
            return
        name = f"llvm.masked.store.{_mangled(kind)}.p0"
        self.declare(f"declare void @{name}({kind}, ptr, i32 immarg, <{width} x i1>)")
        self.line(
            f"call void @{name}({kind} {operand}, ptr {address}, i32 {align}, "
            f"<{width} x i1> {mask})"
        )

    def _write_each(
        self, dtype: DType, operand: str, addresses: list[str], mask: str | None
    ) -> None:
        """One scalar store for each lane, in the order of the lanes."""
        kind = memory(dtype, len(addresses))
        for k, address in enumerate(self._allowed(addresses, mask, True)):
            item = self.let(f"extractelement {kind} {operand}, i64 {k}")
            self._write_one(dtype, item, address)

    # Masks

    def _mask(self, mask: tuple[Expr, ...], lanes: int | None) -> str | None:
        """The operand of what may be a mask."""
        return self.matched(self.known(mask[0]), DType.BOOL, lanes) if mask else None

    def _below(self, x: Expr) -> Value:
        """The first lanes; made where it is used, for a register kept over a loop costs more."""
        count, literal = self.known(x.args[0]).operand, number(x.args[0])
        level = 0 if literal is not None else len(self.scopes) - 1
        return Value(self.mask_below(count, x.arg), x.arg, level)

    def mask_below(self, count: str, width: int) -> str:
        """`<width x i1>`: the first `count` lanes hold, a count that is at most the width."""
        if count[0] != "%":
            return f"<{', '.join(f'i1 {str(k < int(count)).lower()}' for k in range(width))}>"
        if not self.target.has("avx512f"):
            bits = min(64, max(8, self.target.vector_bits // width))
            return self._compared(count, width, bits)
        if width == 64:
            left = self.let(f"sub i64 64, {count}")
            moved = self.let(f"lshr i64 -1, {left}")
            none = self.let(f"icmp eq i64 {count}, 0")
            low = self.let(f"select i1 {none}, i64 0, i64 {moved}")
        else:
            one = self.let(f"shl i64 1, {count}")
            ones = self.let(f"add i64 {one}, -1")
            low = self.let(f"trunc i64 {ones} to i{width}")
        return self.let(f"bitcast i{width} {low} to <{width} x i1>")

    def _compared(self, count: str, width: int, bits: int) -> str:
        kind = f"i{bits}"
        short = count if bits == 64 else self.let(f"trunc i64 {count} to {kind}")
        wide = vector(kind, width)
        first = self.let(f"insertelement {wide} poison, {kind} {short}, i64 0")
        order = f"<{width} x i32> zeroinitializer"
        limit = self.let(f"shufflevector {wide} {first}, {wide} poison, {order}")
        steps = ", ".join(f"{kind} {k}" for k in range(width))
        return self.let(f"icmp slt {wide} <{steps}>, {limit}")


def _first_only(mask: str) -> bool:
    """Whether a mask is known to hold for lane 0 alone.

    LLVM 22 writes twice the bytes for the one lane of a masked store of truncated integers.
    """
    return mask.startswith("<i1 true, i1 false")


def _mangled(kind: str) -> str:
    lanes, _, scalar = kind[1:-1].partition(" x ")
    return f"v{lanes}" + {"float": "f32", "double": "f64"}.get(scalar, scalar)


def _layout(kernel: Kernel) -> dict[int, int]:
    """Where each scratch buffer lies in the thread's own memory, in bytes."""
    at, out = 0, {}
    for buffer in kernel.scratch:
        out[buffer.number] = at
        size = number(buffer.size)
        if size is None:
            raise CompileError("E0823", f"scratch buffer {buffer.number} has no constant size")
        at += -(-size * buffer.dtype.bits // 8 // 64) * 64
    return out
