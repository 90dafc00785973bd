"""Has an operator compute in a wider type, between Casts, where an opset lacks the narrow one."""

from __future__ import annotations

from collections.abc import Sequence

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidGraph
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Node, Value, subgraphs
from sardonyx.graph.op import MISTAKES, Op, Trait, domain_of
from sardonyx.passes.allowed import Formal, formals, spelled

_D = DType
# Types that hold every value of another. What wraps in the narrow type is cut to it at the end.
_WIDER = {
    _D.BOOL: (_D.UINT8, _D.INT32, _D.INT64, _D.FLOAT32),
    _D.INT2: (_D.INT8, _D.INT32, _D.INT64, _D.FLOAT32),
    _D.UINT2: (_D.UINT8, _D.INT32, _D.INT64, _D.FLOAT32),
    _D.INT4: (_D.INT8, _D.INT32, _D.INT64, _D.FLOAT32),
    _D.UINT4: (_D.UINT8, _D.INT32, _D.INT64, _D.FLOAT32),
    _D.INT8: (_D.INT32, _D.INT64, _D.FLOAT32),
    _D.UINT8: (_D.INT32, _D.INT64, _D.FLOAT32),
    _D.INT16: (_D.INT32, _D.INT64, _D.FLOAT32),
    _D.UINT16: (_D.INT32, _D.UINT32, _D.INT64, _D.FLOAT32),
    _D.INT32: (_D.INT64, _D.FLOAT64),
    _D.UINT32: (_D.INT64, _D.UINT64, _D.FLOAT64),
    _D.FLOAT16: (_D.FLOAT32,),
    _D.BFLOAT16: (_D.FLOAT32,),
    _D.FLOAT8E4M3FN: (_D.FLOAT16, _D.FLOAT32),
    _D.FLOAT8E4M3FNUZ: (_D.FLOAT16, _D.FLOAT32),
    _D.FLOAT8E5M2: (_D.FLOAT16, _D.FLOAT32),
    _D.FLOAT8E5M2FNUZ: (_D.FLOAT16, _D.FLOAT32),
    _D.FLOAT4E2M1: (_D.FLOAT16, _D.FLOAT32),
    _D.FLOAT8E8M0: (_D.FLOAT32,),
}
# Their types say what they mean.
_BOUND = frozenset(
    {"QuantizeLinear", "QLinearMatMul", "QLinearConv", "Cast", "BitCast", "RandomNormalLike"}
)


def widened(node: Node, write: Body, opset: int) -> tuple[Value, ...] | str | None:
    """The node's outputs from an op on wider inputs, a text why not, None where none is wider."""
    op = node.op
    row = formals(domain_of(op), op.op_type, opset)
    wide = _choices(op, row, node.inputs)
    if not wide or op.op_type in _BOUND or subgraphs(op):
        return None
    inputs = list(node.inputs)
    for n, dtype in wide.items():
        if dtype is None:
            return None
        inputs[n] = write("Cast", inputs[n], to=dtype.value)
    try:
        made = write.all(op, *inputs)
    except (InvalidGraph, *MISTAKES):
        return "it does not take a wider type"
    return tuple(_narrowed(v, was, write) for v, was in zip(made, node.outputs, strict=False))


def _narrowed(v: Value, was: Value | None, write: Body) -> Value:
    wanted = None if was is None else was.type.dtype
    return v if wanted in (None, v.type.dtype) else write("Cast", v, to=wanted.value)


def _choices(
    op: Op, row: tuple[Formal, ...], inputs: Sequence[Value | None]
) -> dict[int, DType | None]:
    """The type to compute in for every input that is not allowed as it is, None where none is."""
    found: dict[int, DType | None] = {}
    bad: set[str] = set()
    for n, v in enumerate(inputs):
        formal = row[min(n, len(row) - 1)] if row else None
        if v is not None and formal is not None and spelled(v.type) not in formal.types:
            found[n] = _choice(op, v, formal)
            bad.add(formal.name)
    for n, v in enumerate(inputs):
        formal = row[min(n, len(row) - 1)] if row else None
        if v is not None and formal is not None and formal.name and formal.name in bad:
            found[n] = _choice(op, v, formal)
    return found


def _choice(op: Op, v: Value, formal: Formal) -> DType | None:
    dtype = v.type.dtype
    if dtype is None or v.type.kind != "tensor":
        return None
    # A float that stands for an integer must not overflow it, where the integer would wrap.
    selects = bool(op.traits & (Trait.SELECTS | Trait.CLIPS)) or op.op_type in _SELECTING
    for wide in _WIDER.get(dtype, ()):
        exact = wide.is_int or dtype.is_float or selects
        if str(wide) in formal.types and exact:
            return wide
    return None


_SELECTING = frozenset(
    {"Max", "Min", "ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "TopK", "Less", "Greater",
     "Equal", "LessOrEqual", "GreaterOrEqual", "Where", "MaxPool", "NonZero", "Sign"}
)  # fmt: skip
