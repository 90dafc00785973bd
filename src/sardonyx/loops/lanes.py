"""The words of the stage `vector`: values of several lanes, their masks and their memory.

    lane.w()                    0, 1, .. w - 1
    below.w(n)                  lane k holds where k < n
    b0[i : w by s if m]         lane k is element i + k * s where the mask m holds, else 0
    b0[i if m]                  element i where m holds, else 0; a lane for each of a vector i
    select(c, x, y)             as `where`, both sides being computed
    fma(a, b, c)                a * b + c rounded once
    any(m)                      whether a lane of m holds
    across.op(v)                all lanes of v reduced to one, halves with halves
    turn.k(u, v, ..)            lane k of each of as many vectors as they have lanes

Where a scalar meets a vector it stands in every lane. How many lanes an expression has follows
from its leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, operate, var
from sardonyx.core.operations import is_reduction
from sardonyx.core.term import make

# No loop variable may have this name.
LANE = "lane()"
WORDS = frozenset({"select", "any", "across", "below", "span", "turn"})
Memo = dict[Expr, int | None]


def lane(width: int) -> Expr:
    """The number of each lane: a variable that nothing needs to bind."""
    return var(LANE, width)


def is_lane(e: Expr) -> bool:
    """Whether this is `lane(w)`."""
    return e.op == "var" and bool(e.args) and e.arg[0] == LANE


def vector(name: str, dtype: DType, lanes: int | None) -> Expr:
    """A named value of `dtype` in lanes (a scalar for None)."""
    arg = (name, None) if lanes is None else (name, None, lanes)
    return make("var", (), arg, dtype)


def below(count: Expr, width: int) -> Expr:
    """The mask of the first `count` lanes, 0 <= count <= width."""
    return make("below", (count,), width, DType.BOOL)


def span(
    buffer: int, index: Expr, width: int, stride: Expr, dtype: DType, mask: Expr | None = None
) -> Expr:
    """The elements `stride` apart from `index` on, one for each lane."""
    args = (index, stride) if mask is None else (index, stride, mask)
    return make("span", args, (buffer, width), dtype)


def loaded(buffer: int, index: Expr, dtype: DType, mask: Expr | None = None) -> Expr:
    """The element at an index, or at each lane's where it is a vector."""
    return make("load", (index,) if mask is None else (index, mask), buffer, dtype)


def select(condition: Expr, yes: Expr, no: Expr) -> Expr:
    """`yes` where the condition holds, else `no`; both are computed."""
    if condition.op == "const":
        return yes if condition.arg else no
    if _is_zero(no) and _reads_under(yes, condition):
        return yes
    return operate("select", (condition, yes, no))


def _is_zero(e: Expr) -> bool:
    return e.op == "const" and not e.arg and str(e.arg) != "-0.0"


def _reads_under(e: Expr, condition: Expr) -> bool:
    """Whether an expression is 0 in the lanes where a condition does not hold, being masked."""
    if e.op not in ("load", "span") or not e.args[-1].dtype.is_bool:
        return False
    mask = e.args[-1]
    return mask is condition or (mask.op == "and" and condition in mask.args)


def fma(a: Expr, b: Expr, c: Expr) -> Expr:
    """a * b + c rounded once."""
    return operate("fma", (a, b, c))


def some(mask: Expr) -> Expr:
    """Whether any lane of a mask holds."""
    return operate("any", (mask,))


def across(op: str, value: Expr) -> Expr:
    """All lanes of a vector reduced to one."""
    return make("across", (value,), op, value.dtype)


def turned(k: int, vectors: Sequence[Expr]) -> Expr:
    """Lane k of each of as many vectors as they have lanes."""
    return make("turn", tuple(vectors), k, vectors[0].dtype)


def shown(x: Expr, args: Sequence[str]) -> str | None:
    """A word of this stage as text, given its operands'; None for all other expressions."""
    match x.op:
        case "load":
            masked = len(args) == 2 and x.args[1].dtype.is_bool
            return f"b{x.arg}[{args[0] + _masked(args[1:]) if masked else ', '.join(args)}]"
        case "span":
            step = "" if x.args[1] is const(1) else f" by {args[1]}"
            return f"b{x.arg[0]}[{args[0]} : {x.arg[1]}{step}{_masked(args[2:])}]"
        case "below" | "across" | "turn":
            return f"{x.op}.{x.arg}({', '.join(args)})"
    return f"lane({x.args[0].arg})" if is_lane(x) else None


def _masked(mask: Sequence[str]) -> str:
    return f" if {mask[0]}" if mask else ""


def word(name: str, args: tuple[Expr, ...]) -> Expr | None:
    """The word written `name(args)`, None where there is none."""
    op, _, arg = name.partition(".")
    match op, len(args):
        case "lane", 1:
            return var(LANE, args[0])
        case "below", 1 if arg.isdecimal():
            return below(args[0], int(arg))
        case "across", 1 if is_reduction(arg):
            return across(arg, args[0])
        case "turn", count if arg.isdecimal() and int(arg) < count:
            return turned(int(arg), args)
    return None


def width_of(v: Expr) -> int | None:
    """How many lanes a variable has; None for a scalar."""
    if is_lane(v):
        found: int = v.args[0].arg
        return found
    return v.arg[2] if len(v.arg) > 2 else None


def lanes_of(e: Expr, memo: Memo) -> int | None:
    """How many lanes an expression has; None for a scalar. `memo` keeps what has been found."""
    stack = [e]
    while stack:
        x = stack[-1]
        if x in memo:
            stack.pop()
            continue
        missing = [a for a in _leading(x) if a not in memo]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        memo[x] = _lanes(x, memo)
    return memo[e]


def _leading(x: Expr) -> Iterable[Expr]:
    """The operands that decide how many lanes an operation has."""
    if x.op in ("var", "span", "below", "any", "across"):
        return ()
    if x.op == "load":
        return x.args[:1]
    return x.args


def _lanes(x: Expr, memo: Memo) -> int | None:
    match x.op:
        case "var":
            return width_of(x)
        case "span":
            return int(x.arg[1])
        case "below":
            return int(x.arg)
        case "any" | "across":
            return None
    return next((n for n in (memo[a] for a in _leading(x)) if n is not None), None)
