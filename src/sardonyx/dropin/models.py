"""`onnxruntime.tools` and `onnxruntime.transformers` by name: shapes inferred, models optimised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sardonyx.core.expr import Expr, name_of, number, show
from sardonyx.formats import Loadable, load, save, to_proto
from sardonyx.graph.ir import Graph, Value
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import optimize
from sardonyx.session.options import GraphOptimizationLevel, impossible


class SymbolicShapeInference:
    """Shapes with symbols, as sessions infer them."""

    @staticmethod
    def infer_shapes(
        in_mp: Any,
        int_max: int = 2**31 - 1,
        auto_merge: bool = False,
        guess_output_rank: bool = False,
        verbose: int = 0,
    ) -> Any:
        """An onnx.ModelProto with the inferred types of all values in its `value_info`."""
        graph = load(in_mp)
        infer(graph, strict=False)
        made = to_proto(graph)
        told = {v.name for v in made.graph.value_info}
        for v in _inner(graph):
            if v.name not in told:
                _declare(made.graph.value_info.add(), v)
        return made


def _inner(graph: Graph) -> Iterator[Value]:
    ends = {*graph.inputs, *graph.outputs, *graph.initializers.values()}
    for v in graph.values():
        if v not in ends and v.type.kind == "tensor" and v.type.dtype is not None:
            yield v


def _declare(info: Any, v: Value) -> None:
    """Writes the type of a tensor into an onnx.ValueInfoProto."""
    info.name = v.name
    tensor = info.type.tensor_type
    tensor.elem_type = v.type.dtype.value if v.type.dtype is not None else 0
    if v.shape is None:
        return
    tensor.shape.SetInParent()
    for d in v.shape:
        _write(tensor.shape.dim.add(), d)


def _write(dim: Any, d: Expr) -> None:
    size = number(d)
    if size is not None:
        dim.dim_value = size
    elif d.op != "var":
        dim.dim_param = show(d)
    elif not name_of(d).startswith("?"):
        dim.dim_param = name_of(d)


class FusionOptions:
    """Accepted; which rules apply is decided by the model."""

    def __init__(self, model_type: str) -> None:
        self.model_type = model_type


class OnnxModel:
    """An optimised model, to be saved."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @property
    def model(self) -> Any:
        """The model as an onnx.ModelProto."""
        return to_proto(self._graph)

    def save_model_to_file(
        self,
        output_path: Any,
        use_external_data_format: bool = False,
        all_tensors_to_one_file: bool = True,
    ) -> None:
        """Writes the model."""
        save(self._graph, output_path, external_data=use_external_data_format or None)

    def get_operator_statistics(self, include_domain: bool = False) -> dict[str, int]:
        """How many nodes of each operator there are."""
        ops = [n.op for n in self._graph.nodes]
        return dict(
            Counter(f"{o.domain}:{o.op_type}" if include_domain else o.op_type for o in ops)
        )

    get_fused_operator_statistics = get_operator_statistics

    def convert_float_to_float16(self, *_: Any, **__: Any) -> None:
        """NotImplemented: models keep the types they have."""
        raise impossible(
            "a model is not turned to float16", "export it in float16 from its framework"
        )


def optimize_model(
    input: Loadable,  # noqa: A002 - ONNX Runtime's name
    model_type: str = "bert",
    num_heads: int = 0,
    hidden_size: int = 0,
    optimization_options: FusionOptions | None = None,
    opt_level: int | None = None,
    use_gpu: bool = False,
    only_onnxruntime: bool = False,
    verbose: bool = False,
    *,
    provider: str | None = None,
) -> OnnxModel:
    """The optimised model, in standard ONNX; `opt_level` 0 leaves it as it is."""
    level = GraphOptimizationLevel(99 if opt_level is None else opt_level).passes
    graph = load(input)
    return OnnxModel(graph if level == "off" else optimize(graph, level).graph)
