"""Scalar operations as instructions: spelled as their rows say, or written out by their formula.

Every operand has as many lanes as the result (None: one scalar).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from sardonyx.core.dtype import DType
from sardonyx.core.errors import CompileError
from sardonyx.core.expr import Expr
from sardonyx.core.operations import OPERATIONS
from sardonyx.engine.emit.lookup import lookup
from sardonyx.engine.emit.types import HALVES, constant, register, vector
from sardonyx.engine.emit.writer import Writer
from sardonyx.loops.math.lower import abilities, template

Types = tuple[DType, ...]
Row = Callable[[Writer, Types, DType, Sequence[str], int | None], str]


def apply(
    w: Writer,
    op: str,
    dtypes: Types,
    to: DType,
    args: Sequence[str],
    lanes: int | None,
    literal: float | None = None,
) -> str:
    """The register of an operation on operands of these types.

    `literal` is the last operand's number, where it is one and the operation may be easier for it.
    """
    # By identity: hashing a type costs more than all the rest.
    key = (op, lanes, literal, id(to), *map(id, dtypes))
    if key not in w.forms:
        w.forms[key] = template(op, dtypes, to, abilities(w.target, lanes), literal)
    form = w.forms[key]
    if form is None:
        return _instruction(w, op, dtypes, to, args, lanes)
    known = dict(zip(form.params, args, strict=True))
    _write(w, form.value, known, lanes)
    return known[form.value]


def binary(w: Writer, op: str, dtype: DType, lanes: int | None, a: str, b: str) -> str:
    """The register of `op` on two operands of a type that it gives."""
    return apply(w, op, (dtype, dtype), dtype, (a, b), lanes)


def fused(w: Writer, dtype: DType) -> bool:
    """Whether the target rounds a * b + c once."""
    return dtype.is_float and dtype not in HALVES and "fma" in abilities(w.target, None)


def _write(w: Writer, e: Expr, known: dict[Expr, str], lanes: int | None) -> None:
    """Writes what is not yet known of an expression; of a choice by a scalar, one side at last."""
    for x, dtypes, literal in _steps(e, lanes):
        if x in known:
            continue
        if literal is not None:
            known[x] = literal
        elif x.op == "lookup":
            row = [float(a.arg) for a in x.args[1:]]
            known[x] = lookup(w, row, known[x.args[0]], lanes)
        elif x.op == "where":
            known[x] = _choice(w, x, known, lanes)
        else:
            args = [known[a] for a in x.args]
            known[x] = _instruction(w, x.op, dtypes, x.dtype, args, lanes)


@functools.lru_cache(1 << 12)
def _steps(e: Expr, lanes: int | None) -> list[tuple[Expr, Types, str | None]]:
    """The parts of an expression, but tables and what only the first side of a choice needs.

    With the types of a part's operands, and what is written for a literal.
    """
    seen: dict[Expr, None] = {}
    stack = [(e, False)]
    while stack:
        x, ready = stack.pop()
        if ready:
            seen[x] = None
        elif x not in seen:
            stack.append((x, True))
            needed = x.args[:1] if x.op == "lookup" else x.args[:: 2 if x.op == "where" else 1]
            stack.extend((a, False) for a in reversed(needed) if a not in seen)
    return [
        (x, tuple(a.dtype for a in x.args), constant(x.dtype, x.arg, lanes) if x.is_const else None)
        for x in seen
    ]


def _choice(w: Writer, x: Expr, known: dict[Expr, str], lanes: int | None) -> str:
    condition, yes, no = x.args
    kind, place = register(x.dtype, lanes), w.stack(8 * (lanes or 1))
    w.line(f"store {kind} {known[no]}, ptr {place}")
    with w.branch(known[condition], guard=False, writes=frozenset()):
        inner = dict(known)
        _write(w, yes, inner, lanes)
        w.line(f"store {kind} {inner[yes]}, ptr {place}")
    return w.let(f"load {kind}, ptr {place}")


def _instruction(
    w: Writer, op: str, dtypes: Types, to: DType, args: Sequence[str], lanes: int | None
) -> str:
    dtype = dtypes[-1]
    said = OPERATIONS[op].llvm.of(dtype) if op in OPERATIONS else ""
    if not said and op in _SPECIAL:
        return _SPECIAL[op](w, dtypes, to, args, lanes)
    if not said:
        raise CompileError("E0821", f"no instructions for {op} of {dtype}")
    kind = register(dtype, lanes)
    if said == "same":
        return args[0]
    if said[0] == "@":
        return each(w, said[1:], dtype, args, lanes)
    if said.startswith("llvm."):
        return intrinsic(w, said, dtype, args, lanes)
    return w.let(f"{said} {kind} {', '.join(args)}")


def intrinsic(w: Writer, name: str, dtype: DType, args: Sequence[str], lanes: int | None) -> str:
    """LLVM's function of that name on operands of one type."""
    kind = register(dtype, lanes)
    suffix = f"{'f' if dtype.is_float else 'i'}{dtype.bits}"
    width = "" if lanes is None else f"v{lanes}"
    return w.call(f"{name}.{width}{suffix}", kind, *((kind, a) for a in args))


def each(w: Writer, function: str, dtype: DType, args: Sequence[str], lanes: int | None) -> str:
    """The C library's scalar `function`, called lane by lane."""
    kind, whole = register(dtype), register(dtype, lanes)
    name = function if dtype is DType.FLOAT64 else f"{function}f"
    if lanes is None:
        return w.call(name, kind, *((kind, a) for a in args))
    out = "poison"
    for lane in range(lanes):
        scalars = [(kind, w.let(f"extractelement {whole} {a}, i32 {lane}")) for a in args]
        one = w.call(name, kind, *scalars)
        out = w.let(f"insertelement {whole} {out}, {kind} {one}, i32 {lane}")
    return out


def _select(w: Writer, dtypes: Types, to: DType, args: Sequence[str], lanes: int | None) -> str:
    del dtypes
    kind, mask = register(to, lanes), vector("i1", lanes)
    return w.let(f"select {mask} {args[0]}, {kind} {args[1]}, {kind} {args[2]}")


def _any(w: Writer, dtypes: Types, to: DType, args: Sequence[str], lanes: int | None) -> str:
    """Whether the mask holds in any lane, as a scalar i1."""
    del dtypes, to
    if lanes is None:
        return args[0]
    packed = w.let(f"bitcast {vector('i1', lanes)} {args[0]} to i{lanes}")
    return w.let(f"icmp ne i{lanes} {packed}, 0")


def _bitcast(w: Writer, dtypes: Types, to: DType, args: Sequence[str], lanes: int | None) -> str:
    before, after = register(dtypes[0], lanes), register(to, lanes)
    return args[0] if before == after else w.let(f"bitcast {before} {args[0]} to {after}")


def _cast(w: Writer, dtypes: Types, to: DType, args: Sequence[str], lanes: int | None) -> str:
    """A conversion that LLVM has an instruction for."""
    source, a = dtypes[0], args[0]
    before, after = register(source, lanes), register(to, lanes)
    if DType.FLOAT16 in (source, to):
        return _half(w, source, a, lanes)
    if source.is_float and to.is_float:
        name = "fpext" if to.bits > source.bits else "fptrunc"
    elif source.is_float:
        name = "fptosi" if to.is_signed else "fptoui"
    elif to.is_float:
        name = "sitofp" if source.is_signed else "uitofp"
    elif before == after:
        return a
    else:
        wider = source.is_bool or to.bits > source.bits
        name = ("sext" if source.is_signed else "zext") if wider else "trunc"
    return w.let(f"{name} {before} {a} to {after}")


def _half(w: Writer, source: DType, a: str, lanes: int | None) -> str:
    """Between FLOAT16, whose register holds bits, and FLOAT32."""
    bits, half, floats = (vector(kind, lanes) for kind in ("i16", "half", "float"))
    if source is DType.FLOAT16:
        return w.let(f"fpext {half} {w.let(f'bitcast {bits} {a} to {half}')} to {floats}")
    # Unfenced, LLVM may turn what made the float into arithmetic on halves, which has no
    # instructions below AVX512-FP16 and becomes calls.
    a = intrinsic(w, "llvm.arithmetic.fence", source, [a], lanes)
    return w.let(f"bitcast {half} {w.let(f'fptrunc {floats} {a} to {half}')} to {bits}")


def _power(w: Writer, dtypes: Types, to: DType, args: Sequence[str], lanes: int | None) -> str:
    """An integer's, by squaring; a negative exponent gives 1/a rounded to zero."""
    (a, b), kind = args, register(to, lanes)

    def op(name: str, *sides: str) -> str:
        return apply(w, name, (to,) * len(sides), to, sides, lanes)

    def ask(name: str, *sides: str) -> str:
        return apply(w, name, (to, to), DType.BOOL, sides, lanes)

    def pick(mask: str, yes: str, no: str) -> str:
        return _select(w, dtypes, to, (mask, yes, no), lanes)

    zero, one = (constant(to, k, lanes) for k in (0, 1))
    start = [(kind, one), (kind, a), (kind, b)]
    with w.loop(str(to.bits), start, nonempty=True, writes=frozenset()) as trip:
        out, base, rest = trip.values
        odd = ask("ne", op("bitand", rest, one), zero)
        halved = w.let(f"lshr {kind} {rest}, {one}")
        trip.next([pick(odd, op("mul", out, base), out), op("mul", base, base), halved])
    out = trip.results[0]
    if not to.is_signed:
        return out
    unit = ask("eq", op("abs", a), one)
    return pick(ask("lt", b, zero), pick(unit, out, zero), out)


def _scale(w: Writer, dtypes: Types, to: DType, args: Sequence[str], lanes: int | None) -> str:
    """AVX-512's scaling of a whole register."""
    kind, mask = register(to, lanes), f"i{lanes}"
    name = f"llvm.x86.avx512.mask.scalef.{'ps' if to is DType.FLOAT32 else 'pd'}.512"
    w.declare(f"declare {kind} @{name}({kind}, {kind}, {kind}, {mask}, i32 immarg)")
    del dtypes
    vectors = f"{kind} {args[0]}, {kind} {args[1]}, {kind} zeroinitializer"
    rounding = 4
    return w.let(f"call {kind} @{name}({vectors}, {mask} -1, i32 {rounding})")


_SPECIAL: dict[str, Row] = {
    "select": _select,
    "any": _any,
    "bitcast": _bitcast,
    "cast": _cast,
    "truncate": _cast,
    "toint": _cast,
    "tofloat": _cast,
    "pow": _power,
    "scale": _scale,
}
