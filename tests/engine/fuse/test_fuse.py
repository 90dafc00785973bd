"""Which values are stored, what is read through, and what stays on the host."""

import pytest

from graph.sources import parse
from sardonyx.engine.fuse.fuse import Computed, Host, fuse
from sardonyx.engine.fuse.launches import Launch, launches
from sardonyx.loops.ir import Contract, Fold, statements
from sardonyx.loops.target import make
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import prepare

WEIGHT = "const w: float32[3, 2] = {1, 2, 3, 4, 5, 6}\nconst b: float32[2] = {1, 2}\n"


def steps(body: str) -> list[list[str]]:
    """The operators of each step, host steps marked."""
    graph = prepare(parse(body))
    found = []
    for step in fuse(graph):
        if isinstance(step, Host):
            found.append(["host", step.node.op.op_type])
        else:
            found.append(sorted(n.op.op_type for n in step.nodes))
    return found


CHAIN = "input x: float32[N, 3]\na = Exp(x)\ny = Neg(a)\noutput y"
LAYER = (
    WEIGHT
    + """
input x: float32[N, 3]
m = MatMul(x, w)
s = Add(m, b)
y = Relu(s)
output y
"""
)
MOVED = (
    WEIGHT
    + """
input x: float32[N, 3]
t = Transpose(x)
u = Transpose(t)
v = Neg(u)
r = Transpose(v)
q = Transpose(r)
y = MatMul(q, w)
output y
"""
)
MASKED = """
input x: float32[N, 8]
s = Softmax(x)
i = IsNaN(s)
const z: float32[] = {0}
y = Where(i, z, s)
output y
"""
GATED = "input x: float32[N, 8]\ns = Sigmoid(x)\ny = Mul(x, s)\noutput y"
TWO = (
    WEIGHT
    + """
input x: float32[N, 3]
m = MatMul(x, w)
n = Neg(x)
o = MatMul(n, w)
y = Add(m, o)
output y
"""
)

FUSED = [
    (CHAIN, [["Exp", "Neg"]]),
    (LAYER, [["Add", "MatMul", "Relu"]]),
    (MOVED, [["MatMul", "Neg", *["Transpose"] * 4]]),
    (MASKED, [["IsNaN", "Softmax", "Where"]]),
    (GATED, [["Mul", "Sigmoid"]]),
]


@pytest.mark.parametrize(("body", "wanted"), FUSED)
def test_reads_through_what_repeats_no_work(body: str, wanted: list[list[str]]) -> None:
    assert steps(body) == wanted


def test_an_expensive_value_with_two_readers_is_stored() -> None:
    body = "input x: float32[N, 8]\ne = Erf(x)\na = Neg(e)\nb = Abs(e)\noutput a\noutput b"
    assert steps(body) == [["Erf"], ["Neg"], ["Abs"]]


def test_a_graph_output_is_stored_and_read_again() -> None:
    body = "input x: float32[N, 8]\na = Exp(x)\ny = Neg(a)\noutput a\noutput y"
    assert steps(body) == [["Exp"], ["Neg"]]


def test_two_contractions_do_not_share_a_kernel() -> None:
    found = steps(TWO)
    assert sum("MatMul" in s for s in found) == 2
    assert sorted(op for s in found for op in s).count("Add") == 1


def test_an_expensive_operand_is_not_recomputed_in_a_contraction() -> None:
    body = f"{WEIGHT}input x: float32[N, 3]\ne = Erf(x)\ny = MatMul(e, w)\noutput y"
    assert steps(body) == [["Erf"], ["MatMul"]]


def test_arithmetic_on_dims_leaves_no_kernel() -> None:
    body = (
        "input x: float32[N, 6]\nconst t: int64[1] = {2}\nconst r: int64[1] = {3}\n"
        "s = Shape<end=1>(x)\nn = Concat<axis=0>(s, t, r)\nz = Reshape(x, n)\n"
        "y = Neg(z)\noutput y"
    )
    (only,) = steps(body)
    assert "Reshape" in only


def test_what_decides_its_own_size_is_a_host_step() -> None:
    body = "input x: float32[N]\ni = NonZero(x)\ny = Neg(i)\noutput y"
    graph = prepare(parse(body))
    found, cut, last = fuse(graph)
    assert isinstance(found, Computed)
    assert isinstance(cut, Host)
    assert "size" in cut.reason
    assert isinstance(last, Computed)


def test_a_softmax_off_the_last_axis_folds_outside_its_own_loop() -> None:
    graph = parse("input x: float32[N, 4, 5]\ny = Softmax<axis=1>(x)\noutput y")
    infer(graph)
    (step,) = fuse(graph)
    assert isinstance(step, Computed)
    folds = [s for s in statements(step.kernel.body) if isinstance(s, Fold)]
    assert [f.op for f in folds] == ["max", "add"]


def test_batched_products_keep_their_batch() -> None:
    graph = parse("input a: float32[N, 2, S, 8]\ninput b: float32[N, 2, 8, S]\n"
                  "y = MatMul(a, b)\noutput y")  # fmt: skip
    infer(graph)
    (step,) = fuse(graph)
    assert isinstance(step, Computed)
    (contract,) = [s for s in statements(step.kernel.body) if isinstance(s, Contract)]
    assert len(contract.batch) == 2
    assert len(contract.m) == len(contract.n) == len(contract.k) == 1


LAYERS = (
    "const w: float32[40, 40] = {" + ", ".join(["0.5"] * 1600) + "}\n"
    "input x: float32[N, 40]\n"
    "a = MatMul(x, w)\nb = Relu(a)\nc = MatMul(b, w)\nd = Relu(c)\ne = MatMul(d, w)\noutput e"
)


def test_what_has_one_form_is_one_kernel() -> None:
    found = [s for s in fuse(prepare(parse(LAYERS))) if isinstance(s, Computed)]
    first, second, last = found
    assert first.kernel is second.kernel
    assert first.kernel is not last.kernel
    assert first.params != second.params


def test_signs_of_zero_make_forms() -> None:
    graph = parse("""
      input x: float32[4]
      a = LeakyRelu<alpha=0.0>(x)
      b = LeakyRelu<alpha=-0.0>(x)
      output a
      output b
    """)
    infer(graph)
    first, second = (s for s in fuse(graph) if isinstance(s, Computed))
    assert first.kernel is not second.kernel


def test_a_weight_that_several_products_share_is_packed_once() -> None:
    steps = launches(fuse(prepare(parse(LAYERS))), make("avx2"))
    found = [s for s in steps if isinstance(s, Launch)]
    packs = [s for s in found if s.strategy == "pack"]
    assert len(packs) == 1
    assert sum(packs[0].made[0] in s.params for s in found if s is not packs[0]) == 3


def test_a_join_of_many_symbolic_lengths_promises_nothing() -> None:
    inputs = "".join(f"input x{n}: float32[d{n}, 4]\n" for n in range(64))
    names = ", ".join(f"x{n}" for n in range(64))
    steps = fuse(prepare(parse(f"{inputs}y = Concat<axis=0>({names})\noutput y")))
    (joined,) = (s for s in steps if isinstance(s, Computed))
    assert joined.promises == ()
