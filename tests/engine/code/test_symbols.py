"""What machine code calls beyond itself, the linker knows: every operation on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from engine.objects import MACHINES, machine, unlinked, wanted
from sardonyx.core.dtype import DType
from sardonyx.core.expr import INDEX, Expr, cast, const, load, operate, scalar, var
from sardonyx.core.operations import OPERATIONS, Operation
from sardonyx.engine.code.object import object_of
from sardonyx.engine.emit.types import REGISTER
from sardonyx.loops.ir import Buffer, Fold, FoldKind, For, Kernel, LoopKind, Stmt, Store
from sardonyx.loops.target import Target, make

KINDS = list(REGISTER)
TRIPS = 128
AT, INNER = var("i", TRIPS), var("j", TRIPS)

Case = tuple[str, Stmt]
NOT_OF_ELEMENTS = ("any", "lookup")


def exists(row: Operation, dtype: DType) -> bool:
    """Whether an operation means something for elements of a dtype."""
    if row.name in NOT_OF_ELEMENTS:
        return False
    if row.result == "bool" and row.real is None:
        return dtype.is_bool
    meaning = row.truth if dtype.is_bool else row.whole if dtype.is_int else row.real
    return meaning is not None and row.result != "given"


def element(dtype: DType, side: int = 0, at: Expr = AT) -> Expr:
    """One element of the left or right input of a dtype."""
    return load(2 * KINDS.index(dtype) + side, [at], dtype)


def store(e: Expr) -> Store:
    return Store(2 * len(KINDS) + KINDS.index(e.dtype), AT, e)


def applied(dtype: DType, source: DType) -> Iterator[tuple[str, Expr]]:
    """Every operation on elements of a dtype that are read as another."""
    both = [cast(element(source, side), dtype) for side in (0, 1)]
    for name, row in OPERATIONS.items():
        if exists(row, dtype):
            first = both[0] if row.first is None else cast(both[0], row.first)
            operands = (first, both[1], both[0])[: row.arity]
            yield name, operate(name, operands)


def operations(dtype: DType, kind: LoopKind) -> Iterator[Case]:
    """Every operation on a dtype, and it converted to every other."""
    for op, e in applied(dtype, dtype):
        yield f"{op} of {dtype}", For(AT, (store(e),), kind)
    for to in KINDS:
        yield f"{dtype} to {to}", For(AT, (store(cast(element(dtype), to)),), kind)


def conversions(dtype: DType, kind: LoopKind) -> Iterator[Case]:
    """Every operation on a dtype between conversions, which LLVM may move through it.

    Machines differ here in the instructions that they have for halves.
    """
    half, floats = DType.FLOAT16, [d for d in KINDS if d.is_float]
    pairs = [(a, b) for a in floats for b in floats if half in (a, b) and dtype not in (a, b)]
    for source, to in pairs:
        for op, e in applied(dtype, source):
            name = f"{op} of {dtype} from {source} to {to}"
            yield name, For(AT, (store(cast(e, to)),), kind)


def reductions(dtype: DType, kind: LoopKind) -> Iterator[Case]:
    """Every reduction of a dtype."""
    total = scalar("total", dtype)
    for op, row in OPERATIONS.items():
        if row.start is not None and (row.result == "bool") == dtype.is_bool:
            way: FoldKind = "vector" if kind == "vector" else "serial"
            fold = Fold(total, op, (INNER,), element(dtype, 0, INNER), way)
            yield f"{op} over {dtype}", For(AT, (fold, store(total)))


def kernel(body: Sequence[Stmt]) -> Kernel:
    size = const(TRIPS)
    inputs = [Buffer(2 * n + side, d, size) for n, d in enumerate(KINDS) for side in (0, 1)]
    outs = [Buffer(2 * len(KINDS) + n, d, size, "out") for n, d in enumerate(KINDS)]
    return Kernel((*inputs, *outs), (), tuple(body), const(1, INDEX))


def complaints(cases: Sequence[Case], target: Target) -> dict[str, set[str]]:
    """What the code of each case wants that nobody gives; all are tried at once first."""
    if not unlinked(kernel([stmt for _, stmt in cases]), target):
        return {}
    each = {name: unlinked(kernel([stmt]), target) for name, stmt in cases}
    return {name: missing for name, missing in each.items() if missing}


@pytest.mark.parametrize("kind", ["serial", "vector"])
@pytest.mark.parametrize("name", MACHINES)
def test_operations(name: str, kind: LoopKind) -> None:
    for dtype in KINDS:
        cases = [*operations(dtype, kind), *reductions(dtype, kind)]
        assert complaints(cases, machine(name)) == {}


@pytest.mark.parametrize("kind", ["serial", "vector"])
@pytest.mark.parametrize("name", ["haswell", "skylake", "sapphirerapids"])
def test_operations_between_conversions(name: str, kind: LoopKind) -> None:
    for dtype in (DType.FLOAT32, DType.FLOAT64):
        assert complaints(list(conversions(dtype, kind)), machine(name)) == {}


def test_what_an_object_wants_is_seen() -> None:
    text = """
    declare i128 @nowhere(double)
    define i128 @f(double %x, i128 %y) {
      %a = call i128 @nowhere(double %x)
      %b = sdiv i128 %a, %y
      ret i128 %b
    }"""
    assert wanted(object_of(text, make("generic"))) == {"nowhere", "__divti3"}
