"""The text of a graph reads back as the same graph, names and all."""

import numpy as np
import pytest

from graph.sources import BRANCHES, FUNCTIONS, SHAPES, parse
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import maximum, symbol
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Type, Value, tensor_type
from sardonyx.graph.op import find
from sardonyx.graph.text import from_text, tensors, to_text


@pytest.mark.parametrize("text", [SHAPES, BRANCHES, FUNCTIONS])
def test_text_reads_back(text: str) -> None:
    printed = to_text(from_text(text))
    assert to_text(from_text(printed)) == printed


def test_print_of_a_small_graph() -> None:
    graph = parse("""
      input x: float32[N, 3]   ; a comment
      const w: float32[3, 2] = {1.0, 2.0, 3.0, 4.0, 5.0, -inf}
      [fc, "a"="b"] y: float32[N, 2] layout(1, 0) = Gemm<alpha=0.5, transB=0>(x, w, _)
      output y
    """)
    assert to_text(graph) == (
        "graph g {\n"
        '  opset "" 20\n'
        "  input x: float32[N, 3]\n"
        "  const w: float32[3, 2] = {1.0, 2.0, 3.0, 4.0, 5.0, -inf}\n"
        '  [fc, "a"="b"] y: float32[N, 2] layout(1, 0) ='
        " Gemm<alpha=0.5, beta=1.0, transA=0, transB=0>(x, w, _)\n"
        "  output y\n"
        "}\n"
    )
    assert '"a"' not in to_text(graph, meta=False)


@pytest.mark.parametrize(
    "name", ["", "_", "graph", "12", "1.5", "//", "a b", 'q"uote', "\x1b[31m", "é", "-x", "a:0"]
)
def test_any_name_reads_back(name: str) -> None:
    graph = Graph(name, opsets={"": 20})
    x = Value(name, tensor_type(DType.FLOAT32, (symbol(name or "N"),)))
    graph.inputs, y = [x], Value(f"{name}!", Type())
    relu = find("", "Relu", 20)
    assert relu is not None
    graph.append(relu(), [x], [y], name, meta={name: name})
    graph.outputs = [y]
    printed = to_text(graph)
    assert printed.isprintable() or set(printed) - {"\n"} <= set(map(chr, range(32, 127)))
    again = from_text(printed)
    assert to_text(again) == printed
    assert again.inputs[0].name == name
    assert again.inputs[0].shape == x.shape


def test_dims_are_expressions() -> None:
    n, s = symbol("N"), symbol("_data_0", 0)
    dims = (n * 2 + s - 3, (n + 1) // 2, n % 7, maximum(n, s), symbol("odd name"))
    graph = Graph("g", inputs=[Value("x", tensor_type(DType.INT8, dims))])
    assert from_text(to_text(graph)).inputs[0].shape == dims


def test_every_kind_of_type_and_constant() -> None:
    graph = parse("""
      input a: ?
      input b: float32[?]
      input c: sequence(int64[N])
      input d: optional(sequence(string[]))
      input e: map<string>(float32[])
      input f: sparse float32[3, N]
      const g: bool[2] = {1, 0}
      const h: bfloat16[2] = {1.5, nan}
      const i: string[1] = {"a\\"b"}
      const j: int4[3] = {-8, 7, 0}
      input k: float32[N]
      const k: float32[N] = float32[2] {1.0, 2.0}
    """)
    printed = to_text(graph)
    assert to_text(from_text(printed)) == printed
    assert graph.inputs[3].type.elem == Type(kind="sequence", elem=tensor_type(DType.STRING, ()))
    assert graph.initializers["j"].const is not None
    assert graph.initializers["j"].const.numpy().tolist() == [-8, 7, 0]


def test_large_tensors_are_named_by_digest() -> None:
    graph = parse("")
    graph.constant(Tensor.of(np.arange(100, dtype=np.float32)), "w")
    printed = to_text(graph)
    table = tensors(graph)
    assert len(table) == 1
    assert next(iter(table)) in printed
    assert from_text(printed, table).initializers["w"].const is graph.initializers["w"].const
    with pytest.raises(InvalidArgument, match="digest"):
        from_text(printed)


def test_an_op_of_another_version_says_so() -> None:
    graph = parse("input x: float32[N]\n y = Softmax(x)\n output y")
    old = find("", "Softmax", 11)
    assert old is not None
    graph.set_op(graph.nodes[0], old())
    printed = to_text(graph)
    assert "Softmax@1<" in printed
    assert type(from_text(printed).nodes[0].op) is old


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("graph g {\n  input x: float33[N]\n}", 2, "data type"),
        ("graph g {\n  y = Relu(x\n}", 3, "expected `,`"),
        ("graph g {\n  const x: float32[2] = {1.0}\n}", 2, "do not fit"),
        ("graph g {\n  y = Relu<a=$>(x)\n}", 2, "means nothing"),
        ("graph g {\n  input x: float32[foo(N)]\n}", 2, "an operation of 1 operands"),
        ("graph g {}\n}", 2, "the end"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text: str, line: int, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        from_text(text)
    assert caught.value.code == "E0345"
    assert f"line {line}:" in caught.value.message
    assert said in caught.value.message
    assert "^" in caught.value.message
