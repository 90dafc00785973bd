"""Shapes and small values follow through graphs with symbolic dims, loops and declarations."""

import time

import numpy as np
import pytest

from graph.sources import BRANCHES, SHAPES, node, parse
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument, InvalidGraph, LimitExceeded, SardonyxError
from sardonyx.core.expr import const, number, show, symbol
from sardonyx.core.tensor import Tensor
from sardonyx.engine.fuse.probe import sensible
from sardonyx.graph.ir import Graph, Type, Value, tensor_type
from sardonyx.graph.op import Op
from sardonyx.graph.text import from_text, show_type
from sardonyx.passes.infer import infer


def types(graph: Graph) -> dict[str, str]:
    infer(graph)
    return {v.name: show_type(v.type) for v in graph.values()}


def test_shape_arithmetic_is_followed() -> None:
    graph = from_text(SHAPES)
    graph.sort()
    found = types(graph)
    assert found["z"] == "float32[N, 2, S, 3]"
    assert [show(e) for e in node(graph, "Concat").output.type.value or ()] == ["N", "S", "2", "-1"]
    assert graph.assumed == []


def test_a_polynomial_divides_out() -> None:
    graph = parse("""
      input x: float32[N, S, 12, 64]
      const target: int64[3] = {0, -1, 768}
      const heads: int64[4] = {0, 0, 12, 64}
      y = Reshape(x, target)
      z = Reshape(y, heads)
      output z
    """)
    assert types(graph)["y"] == "float32[N, S, 768]"
    assert types(graph)["z"] == "float32[N, S, 12, 64]"


def test_int32_shape_arithmetic_is_followed() -> None:
    graph = parse("""
      input x: float32[N, 6]
      const two: int32[1] = {2}
      const back: int64[1] = {-1}
      shape = Shape(x)
      small = Cast<to=6>(shape)
      const start: int64[1] = {0}
      const end: int64[1] = {1}
      rows = Slice(small, start, end)
      twice = Mul(rows, two)
      wide = Cast<to=7>(twice)
      target = Concat<axis=0>(wide, back)
      y = Reshape(x, target)
      output y
    """)
    graph.sort()
    infer(graph)
    y = graph.outputs[0].type
    assert y.rank == 2
    assert show(y.dims[0]) == "(2 * N)"
    assert y.dims[1] is const(3)


def test_small_constants_are_computed() -> None:
    graph = parse("""
      const a: float32[2] = {1.5, 2.0}
      const b: int64[3] = {3, 1, 2}
      c = Mul(a, a)
      d = ReduceProd(b)
      output c
      output d
    """)
    infer(graph)
    assert [e.arg for e in node(graph, "Mul").output.type.value or ()] == [2.25, 4.0]
    assert [e.arg for e in node(graph, "ReduceProd").output.type.value or ()] == [6]


def test_a_reduction_of_dims_is_written_out() -> None:
    graph = parse(
        "input x: float32[N, 4, S]\n s = Shape(x)\n p = ReduceProd<keepdims=0>(s)\n output p"
    )
    infer(graph)
    value = node(graph, "ReduceProd").output.type.value
    assert value == (symbol("N") * symbol("S") * 4,)


def test_an_overridable_initializer_is_not_known() -> None:
    graph = parse("""
      input x: float32[6]
      input shape: int64[2]
      const shape: int64[2] = {2, 3}
      y = Reshape(x, shape)
      output y
    """)
    infer(graph)
    assert graph.outputs[0].type.rank == 2
    assert number(graph.outputs[0].type.dims[0]) is None


def test_declared_dims_name_what_only_the_run_tells() -> None:
    graph = parse("""
      input x: float32[N]
      y: int64[1, hits] = NonZero(x)
      z = Neg(y)
      output z
    """)
    assert types(graph)["z"] == "int64[1, hits]"


def test_a_declared_dim_that_has_a_meaning_is_not_reused() -> None:
    graph = parse("input x: float32[N]\n y: int64[1, N] = NonZero(x)\n output y")
    infer(graph)
    assert graph.outputs[0].type.dims[1] is not symbol("N")


def test_inference_again_gives_the_same() -> None:
    graph = parse("input x: float32[N]\n y = NonZero(x)\n z = Transpose(y)\n output z")
    first = types(graph)
    assert types(graph) == first


def test_declared_numbers_that_contradict_are_findings() -> None:
    graph = parse("input x: float32[N, 3]\n y: float64[N, 4] = Relu(x)\n output y")
    found = infer(graph, strict=False)
    assert {e.code for e in found} == {"E0332", "E0333"}
    assert {(e.op, e.tensor) for e in found} == {("Relu", "y")}
    assert show_type(graph.outputs[0].type) == "float32[N, 3]"


def test_a_declared_type_that_contradicts_is_refused_and_a_dim_is_not() -> None:
    assert [e.code for e in infer(parse("input x: float32[3]\n y: float32[4] = Relu(x)"))] == [
        "E0333"
    ]
    with pytest.raises(InvalidGraph, match="E0332"):
        infer(parse("input x: float32[3]\n y: float64[3] = Relu(x)\n output y"))


def test_the_first_impossible_node_is_named_or_collected() -> None:
    text = "input x: float32[2, 3]\n input y: float32[2, 4]\n [bad] z = Add(x, y)\n output z"
    with pytest.raises(InvalidGraph) as caught:
        infer(parse(text))
    assert (caught.value.node, caught.value.op) == ("bad", "Add")
    assert [e.node for e in infer(parse(text), strict=False)] == ["bad"]


def test_dims_that_must_agree_are_assumed_once() -> None:
    graph = parse("""
      input x: float32[N, 4]
      input y: float32[4, M]
      input w: float32[K, 5]
      a = MatMul(x, y)
      b = MatMul(a, w)
      c = MatMul(a, w)
      d = Add(b, c)
      output d
    """)
    infer(graph)
    infer(graph)
    assert len(graph.assumed) == 1
    assert {show(e) for e in graph.assumed[0]} == {"M", "K"}


def test_an_unknown_rank_survives() -> None:
    graph = parse("opset far 1\n input x: float32[N]\n y = far::Away(x)\n z = Relu(y)\n output z")
    infer(graph)
    assert graph.outputs[0].type.shape is None


def test_branches_meet() -> None:
    graph = from_text(BRANCHES)
    infer(graph)
    assert show_type(graph.outputs[0].type) == "float32[N]"


LOOP = """
  input x: float32[N, 2]
  const trips: int64[] = {{3}}
  y, all = Loop<body=graph body {{
      opset "" 20
      input i: int64[]
      input go: bool[]
      input s: float32[?]
      more = {step}
      same = Identity(go)
      output same
      output more
      output more
    }}>(trips, _, x)
  output y
  output all
"""


@pytest.mark.parametrize(
    ("step", "y"), [("Neg(s)", ["N", "2"]), ("Concat<axis=0>(s, s)", [None, "2"])]
)
def test_loops_keep_the_dims_that_stay(step: str, y: list[str | None]) -> None:
    graph = parse(LOOP.format(step=step))
    infer(graph)
    dims = graph.outputs[0].type.dims
    assert [show(d) if want is not None else None for d, want in zip(dims, y, strict=True)] == y
    assert y[0] is not None or dims[0].op == "var"
    assert graph.outputs[1].type.rank == 3


def test_dims_beyond_sense_are_refused() -> None:
    rows = "\n".join(f"n{k + 1} = Mul(n{k}, n{k})" for k in range(40))
    graph = parse(f"input x: float32[N, M]\n n0 = Size(x)\n{rows}\n"
                  "const one: int64[1] = {1}\n t = Reshape(n40, one)\n"
                  "const v: float32[1] = {1.0}\n y = Expand(v, t)\n output y")  # fmt: skip
    graph.sort()
    start = time.thread_time()
    infer(graph)
    assert time.thread_time() - start < 2
    assert graph.outputs[0].type.rank == 1
    step = "x{1} = Concat<axis=0>(x{0}, y{0}, x{0})\ny{1} = Tile(y{0}, r{0})\n r{0} = Shape(x{0})"
    doubled = "\n".join(step.format(k, k + 1) for k in range(30))
    wide = parse(f"input x0: float32[N]\n input y0: float32[M]\n{doubled}\n output x30")
    wide.sort()
    start = time.thread_time()
    with pytest.raises(LimitExceeded) as caught:
        infer(wide)
    assert caught.value.code == "E0510"
    assert time.thread_time() - start < 2


def test_large_constants_are_not_read() -> None:
    class Lazy:
        def read(self) -> np.ndarray:
            raise AssertionError("read")

    graph = parse("input x: float32[N, 4096]\n output x")
    w = graph.constant(Tensor(DType.FLOAT32, (4096, 4), Lazy()), "w")
    assert w.type.value is None
    infer(graph)


def test_time_is_linear() -> None:
    def seconds(count: int) -> float:
        rows = "\n".join(f"x{n + 1} = Add(x{n}, x0)" for n in range(count))
        graph = parse(f"input x0: float32[N, S]\n{rows}\n output x{count}")
        start = time.thread_time()
        infer(graph)
        return time.thread_time() - start

    small = min(seconds(500) for _ in range(5))
    assert min(seconds(4000) for _ in range(3)) < 40 * small


def test_equal_nodes_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["input x: float32[N, 8]", "v0 = Relu(x)"]
    lines += [f"v{n} = Relu(v{n - 1})" for n in range(1, 50)]
    graph = parse("\n".join([*lines, "output v49"]))
    kind, asked = type(graph.nodes[0].op), list[object]()

    def infer_one(op: object, x: object) -> object:
        asked.append(op)
        return x

    monkeypatch.setattr(kind, "infer", infer_one)
    assert types(graph)["v49"] == "float32[N, 8]"
    assert len(asked) == 1


def test_equal_nodes_that_make_dims_of_their_own_share_none() -> None:
    graph = parse("""
      input x: float32[N]
      a = NonZero(x)
      b = NonZero(x)
      output a
      output b
    """)
    infer(graph)
    a, b = (v.type.dims[1] for v in graph.outputs)
    assert a is not b


def test_a_hundred_products_of_dims_are_a_size() -> None:
    inputs = "".join(f"input x{n}: float32[d{n}, e{n}]\n" for n in range(100))
    flat = "".join(f"r{n} = Reshape(x{n}, whole)\n" for n in range(100))
    names = ", ".join(f"r{n}" for n in range(100))
    found = types(
        parse(
            f"{inputs}const whole: int64[1] = {{-1}}\n{flat}y = Concat<axis=0>({names})\noutput y"
        )
    )
    assert found["y"].count("*") == 100


class Picky(Op, abstract=True):
    """Refuses every operand in its own words, or makes a mistake."""

    ours: bool = True

    def infer(self, x: Type) -> Type:
        if self.ours:
            raise InvalidArgument("E0211", "the operand does not please")
        raise ValueError("a mistake")


@pytest.mark.parametrize(("ours", "code"), [(True, "E0211"), (False, "E0344")])
def test_what_an_operator_says_of_its_operands_is_kept(ours: bool, code: str) -> None:
    graph = Graph(opsets={"": 21})
    x, y = Value("x", tensor_type(DType.FLOAT32, [2])), Value("y")
    graph.inputs, graph.outputs = [x], [y]
    graph.append(Picky(ours=ours), [x], [y])
    (error,) = infer(graph, strict=False)
    assert error.code == code
    with pytest.raises(SardonyxError) as caught, sensible(graph.nodes[0]):
        graph.nodes[0].op.infer(x.type)
    assert caught.value.code == code
