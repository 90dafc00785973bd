"""Made-up inputs: of the declared types, of the asked dims, the same for the same seed."""

import pytest

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, symbol
from sardonyx.graph.ir import Graph, Type, Value, tensor_type
from sardonyx.graph.sample import free_symbols, sample_feeds

N = symbol("N")
S = symbol("S")


def _graph(*types: Type) -> Graph:
    values = [Value(f"x{i}", kind) for i, kind in enumerate(types)]
    return Graph(inputs=values)


def _float32(*dims: Expr | int) -> Graph:
    kind = tensor_type(DType.FLOAT32, dims)
    return _graph(kind)


def test_symbols_take_the_given_sizes_or_one() -> None:
    first = tensor_type(DType.FLOAT32, [N, S, 3])
    second = tensor_type(DType.INT64, [N * 2 + 1])
    graph = _graph(first, second)
    feeds = sample_feeds(graph, {"S": 5})
    assert feeds["x0"].shape == (1, 5, 3)
    assert feeds["x1"].shape == (3,)
    assert free_symbols(graph) == ["N", "S"]


@pytest.mark.parametrize("dtype", list(DType))
def test_every_data_type_is_made_as_declared(dtype: DType) -> None:
    graph = _graph(tensor_type(dtype, [4]))
    found = sample_feeds(graph)["x0"]
    assert found.dtype == dtype.numpy


def test_integers_are_valid_as_indices() -> None:
    graph = _graph(tensor_type(DType.INT64, [200]))
    found = sample_feeds(graph)["x0"]
    assert set(found.tolist()) == {0, 1}


def test_seed_decides() -> None:
    graph = _float32(8)
    first = sample_feeds(graph, seed=1)["x0"].tolist()
    again = sample_feeds(graph, seed=1)["x0"].tolist()
    other = sample_feeds(graph, seed=2)["x0"].tolist()
    assert first == again
    assert first != other


def test_inputs_with_a_default_are_left_out() -> None:
    kind = tensor_type(DType.FLOAT32, [2])
    graph = _graph(kind, kind)
    graph.initializers["x1"] = graph.inputs[1]
    assert list(sample_feeds(graph)) == ["x0"]


def test_unknown_symbol_names_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match="`M` is no symbol") as caught:
        sample_feeds(_float32(N), {"M": 2})
    assert caught.value.wanted == "N"


@pytest.mark.parametrize("kind", [Type(kind="sequence"), Type(DType.FLOAT32, None), Type(None, ())])
def test_what_cannot_be_made_up_is_refused(kind: Type) -> None:
    with pytest.raises(InvalidArgument, match="cannot be made up"):
        sample_feeds(_graph(kind))


def test_negative_dims_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="would be -1"):
        sample_feeds(_float32(N), {"N": -1})
