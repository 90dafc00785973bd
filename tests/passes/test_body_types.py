"""Branches, loop states and outputs have the types that are declared, or the model is refused."""

import pytest

import sardonyx as sx
from sardonyx.core.errors import InvalidGraph
from session.models import graph

HEAD = 'opset "" 21\n input x: float32[2]\n input go: bool[]\n input n: int64[]'
IF = """y = If<then_branch=graph t {{ p = {then}
    output p }}, else_branch=graph e {{ q = {other}
    output q }}>(go)
    output y{declared}"""
LOOP = """y{made} = Loop<body=graph b {{ input i: int64[]
    input c: bool[]
    input s{state}
    k = {cond}
    p = {body}
    output k
    output p }}>(n, go, x)
    output y{declared}"""
SCAN = """y, _ = Scan<num_scan_inputs=1, body=graph b {{ input s{state}
    input e: float32[]
    p = {body}
    r = Neg(e)
    output p
    output r }}>(x, x)
    output y{declared}"""
MAP = """w = SequenceConstruct(x, x)
    z = SequenceMap<body=graph b {{ input e{state}
        p = {body}
        output p }}>(w)
    const a: int64[] = {{0}}
    y = SequenceAt(z, a)
    output y{declared}"""
GOOD = {
    "then": "Neg(x)", "other": "Abs(x)", "cond": "Identity(c)", "body": "Neg(s)", "state": "",
    "declared": ": float32[2]", "made": "",
}  # fmt: skip
CAST, F64 = "Cast<to=7>", ": float64[2]"
WRONG = [
    (IF, {"other": f"{CAST}(x)"}),
    (IF, {"then": f"{CAST}(x)"}),
    (IF, {"then": "SequenceConstruct(x, x)"}),
    (IF, {"declared": F64}),
    (IF, {"then": f"{CAST}(x)", "other": f"{CAST}(x)"}),
    (LOOP, {"body": f"{CAST}(s)"}),
    (LOOP, {"state": F64}),
    (LOOP, {"declared": F64}),
    (LOOP, {"body": "SequenceConstruct(s, s)"}),
    (LOOP, {"cond": "Cast<to=1>(c)"}),
    (SCAN, {"body": f"{CAST}(s)"}),
    (SCAN, {"state": F64}),
    (SCAN, {"declared": F64}),
    (MAP, {"declared": F64, "body": "Neg(e)"}),
    (MAP, {"state": ": float64[2]", "body": "Neg(e)"}),
    (MAP, {"body": f"{CAST}(e)"}),
]


def _text(form: str, changes: dict[str, str]) -> str:
    body = "Neg(e)" if form is MAP else GOOD["body"]
    return f"graph g {{ {HEAD}\n{form.format(**{**GOOD, 'body': body, **changes})} }}"


@pytest.mark.parametrize("form", [IF, LOOP, SCAN, MAP])
def test_what_agrees_is_taken(form: str) -> None:
    model = graph(_text(form, {}))
    assert not any(f.is_error for f in sx.check(model))
    sx.InferenceSession(model)


@pytest.mark.parametrize(("form", "changes"), WRONG)
@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "ReferenceExecutionProvider"])
def test_what_does_not_is_refused(form: str, changes: dict[str, str], provider: str) -> None:
    model = graph(_text(form, changes))
    assert any(f.is_error for f in sx.check(model))
    with pytest.raises(InvalidGraph, match=r"E03(23|24|32)"):
        sx.InferenceSession(model, providers=[provider])
