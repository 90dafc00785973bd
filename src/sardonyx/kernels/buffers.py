"""Which buffers a schedule's kernels take as parameters, and their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, load, transform
from sardonyx.kernels.linear import loads
from sardonyx.kernels.scheduled import Packed, Scheduled
from sardonyx.loops.build import map_statement
from sardonyx.loops.ir import Buffer, Kernel, Stmt, Store, Tile, expressions, statements


def closed(kernel: Kernel, body: tuple[Stmt, ...], size: Expr, dtype: DType) -> Packed:
    """A kernel writing parameter 0 whose loads are numbered as in the raw kernel."""
    sources = used_buffers(body)
    numbers = {old: new + 1 for new, old in enumerate(sources)}
    params = [Buffer(0, dtype, size, "out")]
    for old in sources:
        b = kernel.buffers[old]
        params.append(Buffer(numbers[old], b.dtype, b.size))
    done = tuple(map_statement(s, lambda e: renumber_buffers(e, numbers)) for s in body)
    return Packed(size, dtype, Kernel(tuple(params), kernel.symbols, done, size * 8), sources)


def used_buffers(body: tuple[Stmt, ...]) -> tuple[int, ...]:
    """The numbers of the buffers that statements load from, sorted."""
    read = {x.arg for s in statements(body) for e in expressions(s) for x in loads(e)}
    return tuple(sorted(read))


def renumber_buffers(e: Expr, numbers: Mapping[int, int]) -> Expr:
    """An expression whose loads name buffers by new numbers."""

    def visit(x: Expr) -> Expr | None:
        if x.op != "load":
            return None
        return load(numbers[x.arg], [renumber_buffers(i, numbers) for i in x.args], x.dtype)

    return transform(e, visit)


def trimmed(main: Kernel, packed: tuple[Packed, ...], strategy: str) -> Scheduled:
    """The schedule without the parameters that only the packing reads."""
    used = set(used_buffers(main.body))
    for s in statements(main.body):
        if isinstance(s, Store):
            used.add(s.buffer)
        elif isinstance(s, Tile):
            used |= {s.a, s.b}
    kept = tuple(b for b in main.params if b.number in used or b.role == "out")
    everything = (*kept, *main.scratch)
    numbers = {b.number: new for new, b in enumerate(everything)}
    renamed = [replace(b, number=numbers[b.number]) for b in everything]
    made = replace(
        main,
        params=tuple(renamed[: len(kept)]),
        scratch=tuple(renamed[len(kept) :]),
        body=tuple(_moved(s, numbers) for s in main.body),
    )
    return Scheduled(made, strategy, packed, tuple(b.number for b in kept))


def _moved(stmt: Stmt, numbers: dict[int, int]) -> Stmt:
    return map_statement(stmt, lambda e: renumber_buffers(e, numbers), lambda n: numbers.get(n, n))
