"""ONNX models to graphs and back: the whole backend test data, and every part of the standard."""

import io
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from formats.models import everything, nested_ifs, small
from formats.test_wire import fill
from sardonyx import formats
from sardonyx.core.dtype import DType
from sardonyx.core.errors import (
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    LimitExceeded,
    NoSuchFile,
    SardonyxError,
)
from sardonyx.core.expr import symbol
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.formats import onnx as onnx_format
from sardonyx.graph.ir import Graph, Type, Value, tensor_type
from sardonyx.graph.make import AttributeRef, make_op
from sardonyx.graph.op import Opaque

DATA = Path(onnx.__file__).parent / "backend/test/data"
FILES = sorted(DATA.rglob("*.onnx"))


def round_trip(model: Any) -> Graph:
    """Loads the model, asserts that it is saved equal to what it was, and gives its graph."""
    graph = formats.load(model)
    saved = formats.to_bytes(graph)
    if saved != model.SerializeToString():
        assert onnx.ModelProto.FromString(saved) == model
    return graph


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_files_of_the_backend_tests_are_saved_equal(path: Path) -> None:
    graph = formats.load(path)
    assert formats.to_bytes(graph) == path.read_bytes()
    assert graph.source == str(path)


def test_every_node_case_is_saved_equal() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        cases = load_model_tests(kind="node")
    assert len(cases) >= 1884
    for case in cases:
        graph = round_trip(case.model)
        assert len(graph.outputs) == len(case.model.graph.output)
        assert len(graph) == len(case.model.graph.node)


def test_the_graph_says_what_the_model_says() -> None:
    graph = round_trip(small(producer_name="me", doc_string="a model"))
    x, y = graph.inputs[0], graph.outputs[0]
    assert str(x.type) == "float32[N,3,?x.2]"
    assert x.type.dims[0] is symbol("N")
    node = graph.nodes[0]
    assert (node.name, node.doc, node.op.op_type) == ("sum", "adds", "Add")
    assert node.inputs == (x, graph.initializers["w"])
    assert y.producer is node
    assert x.uses == {node: 1}
    assert graph.opsets == {"": 20}
    info = onnx_format.info(graph)
    assert (info.producer_name, info.doc, info.graph_doc) == ("me", "a model", "a graph")


def test_sources_of_every_kind(tmp_path: Path) -> None:
    model = small()
    data = model.SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert formats.to_bytes(formats.load(source)) == data
    assert formats.to_proto(formats.load(model)) == model
    with pytest.raises(InvalidArgument) as caught:
        formats.load(3)  # type: ignore[arg-type]
    assert caught.value.code == "E0104"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"PK\x03\x04....", "zip"),
        (b"\x80\x02}q\x00", "pickle"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x1c\0\0\0ORTM", "ORT format"),
        (b"\x08\x0a", "no graph"),
        (b"\xff\xff", "other bytes"),
    ],
)
def test_other_files_are_named_for_what_they_are(data: bytes, says: str) -> None:
    with pytest.raises(InvalidProtobuf, match=says) as caught:
        formats.load(data)
    assert caught.value.code == "E0102"


def test_unreadable_paths(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.onnx", tmp_path, Path("/dev/zero"), "a\0b"):
        with pytest.raises(NoSuchFile) as caught:
            formats.load(path)
        assert caught.value.code == "E0101"


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(small().SerializeToString())
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        with pytest.raises(LimitExceeded) as caught:
            formats.load(source, Limits(file_bytes=10))
        assert caught.value.code == "E0501"


def test_everything_survives() -> None:
    graph = round_trip(everything())
    branch, strange = graph.nodes
    assert branch.meta == {"pkg.torch.onnx.stack_trace": "net.py:3"}
    then, other = branch.op.attributes()["then_branch"], branch.op.attributes()["else_branch"]
    assert then.nodes[0].inputs == (graph.inputs[0], graph.initializers["scale"])
    assert graph.inputs[0].uses[branch] == 2
    assert isinstance(strange.op, Opaque)
    assert strange.op.attributes() == {"k": (1, 2)}
    assert strange.inputs == (graph.outputs[0], None)
    assert strange.outputs == (graph.outputs[1], None)
    assert graph.outputs[1].type.kind == "sequence"
    held = graph.initializers["sp"].const
    assert isinstance(held, SparseTensor)
    assert held.numpy().tolist() == [0, 1, 0, 2]
    call = other.nodes[0].op
    assert isinstance(call, Opaque)
    assert (call.space, call.kind, call.overload) == ("my", "twice", "fast")
    function = graph.functions["my", "twice", "fast"]
    assert function.attributes == ("beta",)
    assert function.defaults == {"alpha": 0.25}
    leaky = function.body.nodes[2].op
    assert leaky.attributes() == {"alpha": AttributeRef("alpha", "FLOAT")}
    assert function.body.opsets[""] == 18
    assert graph.meta == {"author": "me", "": ""}


def test_random_models_survive() -> None:
    rng = random.Random(11)
    kept, refused = 0, set[str]()
    for _ in range(400):
        model = onnx.ModelProto()
        fill(model, "ModelProto", rng, rng.randrange(2, 5))
        model.graph.SetInParent()
        try:
            round_trip(model)
            kept += 1
        except SardonyxError as problem:
            refused.add(problem.code)
    assert kept > 50
    assert refused <= {"E0110", "E0111", "E0112", "E0113", "E0120", "E0122", "E0130", "E0131"}


def test_an_attribute_of_an_old_model_needs_no_type() -> None:
    model = small()
    attribute = model.graph.node[0].attribute.add()
    attribute.name, attribute.i = "axis", 3
    graph = round_trip(model)
    assert graph.nodes[0].op.attributes()["axis"] == 3


def test_names_that_nothing_produces_become_values_without_producer() -> None:
    model = small()
    model.graph.node[0].input[0] = "nowhere"
    graph = round_trip(model)
    ghost = graph.nodes[0].inputs[0]
    assert ghost is not None
    assert ghost.producer is None
    assert ghost not in graph.inputs


def test_nodes_out_of_order_are_joined() -> None:
    model = small()
    first = helper.make_node("Abs", ["late"], ["x2"])
    model.graph.node.insert(0, first)
    model.graph.node.append(helper.make_node("Neg", ["y"], ["late"]))
    graph = round_trip(model)
    late = graph.nodes[0].inputs[0]
    assert late is not None
    assert late.producer is graph.nodes[2]


def test_two_initializers_of_one_name_are_refused() -> None:
    model = small()
    model.graph.initializer.append(model.graph.initializer[0])
    with pytest.raises(InvalidGraph) as caught:
        formats.load(model)
    assert (caught.value.code, caught.value.tensor) == ("E0130", "w")


def test_counts_are_limited() -> None:
    model = everything()
    for name in ("nodes", "initializers"):
        with pytest.raises(LimitExceeded) as caught:
            formats.load(model, Limits().changed({name: 1}))
        assert caught.value.code == "E0503"
        formats.load(model, Limits().changed({name: 10}))


def test_rec_subgraph_depth_is_bounded() -> None:
    data = nested_ifs(32)
    assert formats.to_bytes(formats.load(data)) == data
    for levels, limits in ((34, None), (40, None), (3000, Limits(depth=100_000))):
        with pytest.raises(LimitExceeded) as caught:
            formats.load(nested_ifs(levels), limits)
        assert caught.value.code == "E0502"


class TestChanges:
    """What is changed is written, what is not stays as it came."""

    def test_another_op_keeps_the_node(self) -> None:
        graph = formats.load(small())
        node = graph.nodes[0]
        graph.set_op(node, make_op("", "Mul", 20, {}))
        read = formats.to_proto(graph).graph.node[0]
        assert (read.op_type, read.name, read.doc_string) == ("Mul", "sum", "adds")
        assert list(read.input) == ["x", "w"]

    def test_a_new_node_is_written_with_its_attributes(self) -> None:
        graph = formats.load(small())
        settings = {
            "i": 3, "f": 0.5, "s": "text", "b": True, "ints": (1, 2,), "floats": (0.5,),
            "strings": ("a", "b"), "t": Tensor.of(np.arange(3)),
            "type": tensor_type(DType.INT8, [2]), "ref": AttributeRef("alpha", "FLOAT"),
        }  # fmt: skip
        out = Value("z", tensor_type(DType.FLOAT32, [symbol("N"), 3]))
        graph.append(make_op("my", "Odd", None, settings), [graph.outputs[0], None], [out], "odd")
        graph.outputs.append(out)
        model = formats.to_proto(graph)
        node = model.graph.node[1]
        assert (node.domain, node.op_type, node.name) == ("my", "Odd", "odd")
        assert list(node.input) == ["y", ""]
        read = {a.name: a for a in node.attribute}
        assert {n: a.type for n, a in read.items()} == {
            "i": 2, "f": 1, "s": 3, "b": 2, "ints": 7, "floats": 6, "strings": 8, "t": 4,
            "type": 13, "ref": 1,
        }  # fmt: skip
        assert numpy_helper.to_array(read["t"].t).tolist() == [0, 1, 2]
        assert read["ref"].ref_attr_name == "alpha"
        again = formats.load(model)
        assert again.nodes[1].op.attributes()["strings"] == ("a", "b")

    def test_an_attribute_that_onnx_cannot_hold_is_refused(self) -> None:
        graph = formats.load(small())
        graph.append(make_op("my", "Odd", None, {"x": object()}), [], [Value("z")])
        with pytest.raises(InvalidArgument) as caught:
            formats.to_bytes(graph)
        assert caught.value.code == "E0132"

    def test_renamed_and_retyped_values(self) -> None:
        graph = formats.load(small())
        graph.inputs[0].name = "pixels"
        graph.outputs[0].type = tensor_type(DType.FLOAT32, [symbol("N") * 2, 3, symbol("?m")])
        model = formats.to_proto(graph)
        assert model.graph.input[0].name == "pixels"
        assert model.graph.node[0].input[0] == "pixels"
        dims = model.graph.output[0].type.tensor_type.shape.dim
        assert "N" in dims[0].dim_param
        assert dims[1].dim_value == 3
        assert not dims[2].HasField("dim_param")

    def test_a_subgraph_changed_in_place(self) -> None:
        graph = formats.load(everything())
        branch = graph.nodes[0]
        then = branch.op.attributes()["then_branch"]
        inner = then.nodes[0]
        then.set_op(inner, make_op("", "Add", 20, {}))
        model = formats.to_proto(graph)
        attribute = next(a for a in model.graph.node[0].attribute if a.name == "then_branch")
        assert attribute.g.node[0].op_type == "Add"
        changed = everything()
        wanted = next(a for a in changed.graph.node[0].attribute if a.name == "then_branch")
        wanted.g.node[0].op_type = "Add"
        assert model == changed

    def test_what_is_removed_is_forgotten(self) -> None:
        model = everything()
        model.graph.value_info.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"]))
        graph = formats.load(model)
        graph.outputs.pop()
        graph.remove(graph.nodes[1])
        graph.outputs.pop()
        graph.remove(graph.nodes[0])
        graph.functions.clear()
        left = formats.to_proto(graph)
        assert [v.name for v in left.graph.value_info] == ["absent"]
        assert not left.functions
        assert not left.graph.node

    def test_new_metadata_and_opsets(self) -> None:
        graph = formats.load(small())
        graph.meta["k"] = "v"
        graph.opsets[""] = 23
        graph.opsets["my"] = 1
        model = formats.to_proto(graph)
        assert [(p.key, p.value) for p in model.metadata_props] == [("k", "v")]
        assert {o.domain: o.version for o in model.opset_import} == {"": 23, "my": 1}
        assert model.ir_version >= 11

    def test_a_graph_made_from_nothing_is_valid(self) -> None:
        graph = Graph("new", opsets={"": 20})
        x = Value("x", tensor_type(DType.FLOAT32, [symbol("N"), 4]))
        y = Value("y", tensor_type(DType.FLOAT32, [symbol("N"), 4]))
        graph.inputs.append(x)
        w = graph.constant(Tensor.of(np.ones(4, np.float32)), "w")
        graph.append(make_op("", "Add", 20, {}), [x, w], [y])
        graph.outputs.append(y)
        model = formats.to_proto(graph)
        onnx.checker.check_model(model, full_check=True)
        assert formats.to_bytes(formats.load(model)) == model.SerializeToString()

    def test_types_of_every_kind(self) -> None:
        kinds = [
            Type(),
            tensor_type(DType.INT4, None),
            tensor_type(DType.STRING, [0, symbol("S")]),
            Type(DType.FLOAT32, tensor_type(DType.FLOAT32, [3]).shape, kind="sparse"),
            Type(kind="sequence", elem=tensor_type(DType.BOOL, [])),
            Type(kind="optional", elem=Type(kind="sequence", elem=tensor_type(DType.BOOL, [1]))),
            Type(DType.STRING, kind="map", elem=tensor_type(DType.FLOAT32, [])),
        ]
        graph = Graph("types", opsets={"": 20})
        graph.inputs = [Value(f"v{i}", kind) for i, kind in enumerate(kinds)]
        again = formats.load(formats.to_proto(graph))
        assert [v.type for v in again.inputs] == kinds
