"""Loads and stores: scalars, whole vectors, strided and gathered lanes, under a mask where needed.

How an index moves with the lane decides: not at all, one scalar is read and splat; by one, a vector
is read; else lanes are read one by one or gathered. A lane that is off touches no memory: a masked
access skips it, a scalar one is sent to memory of our own.
"""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.core.errors import CompileError
from sardonyx.core.expr import Expr, const, number, polynomial, substitute, walk, within
from sardonyx.engine.emit.choice import Choices
from sardonyx.engine.emit.types import memory, splat, vector
from sardonyx.engine.emit.values import Lanes, Value
from sardonyx.loops.ir import Buffer, Kernel, Store
from sardonyx.loops.target import Target


class Memory(Choices):
    """Values that come from memory and go there."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        super().__init__(kernel, target)
        self._bases: dict[int, str] = {}
        self._inside: dict[tuple[int, Expr], bool] = {}
        self._scratch_at = _layout(kernel)
        self._sink: str | None = None
        self._positions = {b.number: i for i, b in enumerate(kernel.params)}

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
        """The address of an element (that of lane 0 where the index varies)."""
        if index is None or number(index) == 0:
            return self.base(buffer)
        return self._address(buffer, self.value(self._first_lane(index)))

    def _address(self, buffer: int, index: Value) -> str:
        base, kind = self.base(buffer), memory(self.buffers[buffer].dtype)
        return self.let(f"getelementptr {kind}, ptr {base}, i64 {index.operand}", "p")

    def _first_lane(self, index: Expr) -> Expr:
        if self.lane is None or self.lane.var not in index.free:
            return index
        return substitute(index, {self.lane.var: self.lane.first})

    def stride(self, index: Expr) -> Expr | None:
        """By how many elements an index moves from lane to lane; None if not by a fixed number."""
        lane = self.lane
        if lane is None or not self.varies(index):
            return const(0)
        step: Expr = const(0)
        for monomial, coefficient in polynomial(index).items():
            free = [a for a in monomial if self.varies(a)]
            if not free:
                continue
            if free != [lane.var]:
                return None
            rest = const(coefficient)
            for atom in monomial:
                rest = rest if atom is lane.var else rest * atom
            step = step + rest
        return step

    def inside(self, buffer: int, index: Expr) -> bool:
        """Whether an index is provably within the buffer while its variables keep their ranges."""
        key = (buffer, index)
        if key not in self._inside:
            self._inside[key] = within(index, self.buffers[buffer].size)
        return self._inside[key]

    def faults(self, e: Expr) -> bool:
        """Whether some load in an expression, not yet made, might be out of bounds."""
        loads = (p for p in walk(e) if p.op == "load" and not self.made(p))
        return any(not self.inside(p.arg, p.args[0]) for p in loads)

    # Loads

    def load(self, x: Expr) -> Value:
        """The value of a load expression."""
        buffer, index = x.arg, x.args[0]
        if buffer not in self.buffers or len(x.args) != 1:
            raise CompileError("E0823", f"`{x}` is not an element of a buffer of the kernel")
        if self.buffers[buffer].dtype is not x.dtype:
            raise CompileError("E0823", f"`{x}` reads {x.dtype} from another type of buffer")
        stride = self.stride(index)
        step = None if stride is None else number(stride)
        if step == 0:
            return self._load_scalar(x, buffer, index)
        assert self.lane is not None
        mask = self.lane.mask if self.inside(buffer, index) else self.predicate
        if step == 1:
            return self._load_vector(x, self.lane, mask)
        return self._load_lanes(x, self.lane, stride, mask)

    def _place(self, buffer: int, index: Expr, value: Value) -> int:
        """The outermost level at which memory may be read at an index."""
        level = max(value.level, self.write_level(buffer))
        return level if self.inside(buffer, index) else max(level, self.guard_level())

    def _reads(self, buffer: int, value: Value) -> frozenset[int]:
        return value.reads | ({buffer} & self.stored)

    def _load_scalar(self, x: Expr, buffer: int, index: Expr) -> Value:
        at = self.value(index)
        level = self._place(buffer, index, at)
        unsure = self.predicate is not None and self.predicate != (self.lane and self.lane.mask)
        guarded = unsure and not self.inside(buffer, index)
        kind = memory(x.dtype)
        with self.at(level):
            address = self._address(buffer, at)
            if guarded:
                address = self._or_sink(self._some(), address)
            out = self.let(f"load {kind}, ptr {address}, align {x.dtype.bits // 8}")
            out = self._from_memory(out, x.dtype, None)
        return Value(out, None, level, self._reads(buffer, at))

    def _some(self) -> str:
        """Whether any lane is on."""
        assert self.lane is not None
        width = self.lane.width
        packed = self.let(f"bitcast <{width} x i1> {self.predicate} to i{width}")
        return self.let(f"icmp ne i{width} {packed}, 0")

    def _or_sink(self, condition: str, address: str) -> str:
        return self.let(f"select i1 {condition}, ptr {address}, ptr {self.sink()}")

    def sink(self) -> str:
        """Memory of our own, which a lane that is off reads and writes in place of a buffer's."""
        if self._sink is None:
            self._sink = self.stack(64)
            self.entry.append(f"store <8 x i64> zeroinitializer, ptr {self._sink}, align 64")
        return self._sink

    def _load_vector(self, x: Expr, lane: Lanes, mask: str | None) -> Value:
        buffer, index = x.arg, x.args[0]
        at = self.value(self._first_lane(index))
        level = max(self._place(buffer, index, at), lane.level)
        kind, align = memory(x.dtype, lane.width), x.dtype.bits // 8
        with self.at(level):
            address = self._address(buffer, at)
            if mask is None:
                out = self.let(f"load {kind}, ptr {address}, align {align}")
            else:
                out = self._masked_load(kind, address, align, mask, lane.width)
            out = self._from_memory(out, x.dtype, lane.width)
        return Value(out, lane.width, level, self._reads(buffer, at))

    def _masked_load(self, kind: str, address: str, align: int, mask: str, width: int) -> str:
        name = f"llvm.masked.load.{_mangled(kind)}.p0"
        self.declare(f"declare {kind} @{name}(ptr, i32 immarg, <{width} x i1>, {kind})")
        return self.let(
            f"call {kind} @{name}(ptr {address}, i32 {align}, <{width} x i1> {mask}, "
            f"{kind} zeroinitializer)"
        )

    def _from_memory(self, out: str, dtype: DType, lanes: int | None) -> str:
        if not dtype.is_bool:
            return out
        return self.let(f"icmp ne {vector('i8', lanes)} {out}, {splat('i8', '0', lanes)}")

    def _addresses(
        self, buffer: int, index: Expr, stride: Expr | None, lane: Lanes, mask: str | None
    ) -> tuple[Value, list[str]]:
        """The address of every lane's element; that of memory of our own where it is off."""
        kind, base = memory(self.buffers[buffer].dtype), self.base(buffer)
        if stride is None:
            found = self.value(index)
            wide = vector("i64", lane.width)
            places = [
                (base, self.let(f"extractelement {wide} {found.operand}, i64 {k}"))
                for k in range(lane.width)
            ]
        else:
            found = self.value(self._first_lane(index))
            places = self._spaced(self._address(buffer, found), stride, lane.width)
        out = []
        for k, (start, offset) in enumerate(places):
            address = self.let(f"getelementptr {kind}, ptr {start}, i64 {offset}")
            if mask is not None:
                on = self.let(f"extractelement <{lane.width} x i1> {mask}, i64 {k}")
                address = self._or_sink(on, address)
            out.append(address)
        return found, out

    def _spaced(self, start: str, stride: Expr, width: int) -> list[tuple[str, str]]:
        """Address and offset of elements `stride` apart."""
        step = number(stride)
        if step is not None:
            return [(start, str(k * step)) for k in range(width)]
        operand = self.value(stride).operand
        return [(start, self.let(f"mul i64 {operand}, {k}")) for k in range(width)]

    def _load_lanes(self, x: Expr, lane: Lanes, stride: Expr | None, mask: str | None) -> Value:
        """One scalar load for each lane, at the innermost level."""
        dtype, level = x.dtype, len(self.scopes) - 1
        step = None if stride is None else number(stride)
        if mask is None and step is not None and abs(step) <= 4 and lane.width > 2:
            return self._load_spread(x, lane, step)
        found, addresses = self._addresses(x.arg, x.args[0], stride, lane, mask)
        kind, one = memory(dtype, lane.width), memory(dtype)
        out = "poison"
        for k, address in enumerate(addresses):
            item = self.let(f"load {one}, ptr {address}, align {dtype.bits // 8}")
            out = self.let(f"insertelement {kind} {out}, {one} {item}, i64 {k}")
        out = self._from_memory(out, dtype, lane.width)
        return Value(out, lane.width, level, self._reads(x.arg, found))

    def _load_spread(self, x: Expr, lane: Lanes, step: int) -> Value:
        """Lanes a few elements apart: whole vectors from the first lane's to the last's, permuted.

        Vector v holds the elements from v * width on, the last one those up to the last lane's.
        """
        width, dtype, level = lane.width, x.dtype, len(self.scopes) - 1
        at = self.value(self._first_lane(x.args[0]))
        kind, span = memory(dtype, width), abs(step) * (width - 1) + 1
        low = 0 if step > 0 else 1 - span
        starts = sorted({min(v * width, span - width) for v in range(abs(step))})
        address, out = self._address(x.arg, at), "poison"
        taken: list[int] = []
        for start in starts:
            place = f"getelementptr {memory(dtype)}, ptr {address}, i64 {low + start}"
            loaded = f"load {kind}, ptr {self.let(place)}, align {dtype.bits // 8}"
            part, order = self.let(loaded), []
            for k in range(width):
                element = k * step - low
                fresh = k not in taken and start <= element < start + width
                order.append(width + element - start if fresh else k)
                taken += [k] * fresh
            picks = ", ".join(f"i32 {p}" for p in order)
            both = f"{kind} {out}, {kind} {part}"
            out = self.let(f"shufflevector {both}, <{width} x i32> <{picks}>")
        out = self._from_memory(out, dtype, width)
        return Value(out, width, level, self._reads(x.arg, at))

    # Stores

    def store(self, stmt: Store) -> None:
        """Writes one element, or the lanes that are on."""
        buffer = self.buffers.get(stmt.buffer)
        if buffer is None or buffer.dtype is not stmt.value.dtype:
            raise CompileError("E0823", f"buffer {stmt.buffer} cannot take `{stmt.value}`")
        stride = self.stride(stmt.index)
        step = None if stride is None else number(stride)
        lane = self.lane
        if lane is None or (step == 0 and not self.varies(stmt.value)):
            self._store_scalar(stmt, buffer)
        elif step == 1:
            self._store_vector(stmt, buffer, lane)
        else:
            self._store_lanes(stmt, buffer, lane, stride)
        self.written(frozenset({stmt.buffer}))

    def _to_memory(self, operand: str, dtype: DType, lanes: int | None) -> str:
        if not dtype.is_bool:
            return operand
        return self.let(f"zext {vector('i1', lanes)} {operand} to {vector('i8', lanes)}")

    def _store_scalar(self, stmt: Store, buffer: Buffer) -> None:
        operand = self._to_memory(self.expr(stmt.value), buffer.dtype, None)
        address = self.pointer(stmt.buffer, stmt.index)
        align = buffer.dtype.bits // 8
        self.line(f"store {memory(buffer.dtype)} {operand}, ptr {address}, align {align}")

    def _store_vector(self, stmt: Store, buffer: Buffer, lane: Lanes) -> None:
        width, dtype = lane.width, buffer.dtype
        operand = self._to_memory(self.expr(stmt.value, width), dtype, width)
        address = self.pointer(stmt.buffer, stmt.index)
        kind, align = memory(dtype, width), dtype.bits // 8
        if lane.mask is None:
            self.line(f"store {kind} {operand}, ptr {address}, align {align}")
            return
        if _first_only(lane.mask):
            item = self.let(f"extractelement {kind} {operand}, i64 0")
            self.line(f"store {memory(dtype)} {item}, ptr {address}, align {align}")
            return
        name = f"llvm.masked.store.{_mangled(kind)}.p0"
        self.declare(f"declare void @{name}({kind}, ptr, i32 immarg, <{width} x i1>)")
        self.line(
            f"call void @{name}({kind} {operand}, ptr {address}, i32 {align}, "
            f"<{width} x i1> {lane.mask})"
        )

    def _store_lanes(self, stmt: Store, buffer: Buffer, lane: Lanes, stride: Expr | None) -> None:
        """One scalar store for each lane, in the order of the lanes."""
        dtype, width = buffer.dtype, lane.width
        operand = self._to_memory(self.expr(stmt.value, width), dtype, width)
        _, addresses = self._addresses(stmt.buffer, stmt.index, stride, lane, lane.mask)
        kind = memory(dtype)
        for k, address in enumerate(addresses):
            item = self.let(f"extractelement {vector(kind, width)} {operand}, i64 {k}")
            self.line(f"store {kind} {item}, ptr {address}, align {dtype.bits // 8}")

    # Masks

    def mask(self, count: str, width: int) -> str:
        """`<width x i1>`: the first `count` lanes (i64 operand >= 0) hold."""
        small = self.let(f"icmp ult i64 {count}, {width}")
        return self.mask_below(self.let(f"select i1 {small}, i64 {count}, i64 {width}"), width)

    def mask_below(self, count: str, width: int) -> str:
        """As `mask`, of a count that is at most the width."""
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
