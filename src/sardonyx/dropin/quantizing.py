"""`onnxruntime.quantization` by its names, on Sardonyx's quantizer.

Models come out in quantize-dequantize form, activations as uint8 and weights as symmetric int8,
whatever of the 8-bit types was asked for: the numbers that the codes stand for are the same.
"""

from __future__ import annotations

import abc
import enum
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sardonyx.core.errors import InvalidArgument
from sardonyx.formats import Loadable, load, save
from sardonyx.graph.ir import Graph
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import optimize
from sardonyx.quantize import dynamic, targets
from sardonyx.quantize.insert import LOWEST_OPSET
from sardonyx.quantize.quantize import quantize as quantized

_PERCENTILE = 99.999


class _Named(enum.Enum):
    def __str__(self) -> str:
        return self.name

    @classmethod
    def from_string(cls, name: str) -> Any:
        """The member of that name; InvalidArgument (E0257) for another."""
        if name not in cls.__members__:
            said = f"there is no {cls.__name__} `{name}`"
            raise InvalidArgument("E0257", said, wanted=", ".join(cls.__members__))
        return cls[name]


class QuantType(_Named):
    """Types of codes; those of 8 bits integers are possible here."""

    QInt8 = 0
    QUInt8 = 1
    QFLOAT8E4M3FN = 2
    QInt16 = 3
    QUInt16 = 4
    QInt4 = 5
    QUInt4 = 6


class QuantFormat(_Named):
    """The form of the model; QOperator is written as QDQ."""

    QOperator = 0
    QDQ = 1


class QuantizationMode(_Named):
    """Kept for scripts that name it."""

    IntegerOps = 0
    QLinearOps = 1


class CalibrationMethod(enum.Enum):
    """How ranges are found; Entropy and Distribution become Percentile."""

    MinMax = 0
    Entropy = 1
    Percentile = 2
    Distribution = 3


class CalibrationDataReader(abc.ABC):
    """Feeds one after the other, by `get_next`, until it returns None."""

    @classmethod
    def __subclasshook__(cls, subclass: type) -> bool:
        return callable(getattr(subclass, "get_next", None)) or NotImplemented

    @abc.abstractmethod
    def get_next(self) -> Mapping[str, Any] | None:
        """The next feeds by input name, or None."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return _feeds(self)

    def __next__(self) -> Mapping[str, Any]:
        found = self.get_next()
        if found is None:
            raise StopIteration
        return found


@dataclass
class StaticQuantConfig:
    """The arguments of `quantize_static` after the models, by name."""

    calibration_data_reader: Any
    calibrate_method: CalibrationMethod = CalibrationMethod.MinMax
    quant_format: QuantFormat = QuantFormat.QDQ
    activation_type: QuantType = QuantType.QInt8
    weight_type: QuantType = QuantType.QInt8
    op_types_to_quantize: Sequence[str] | None = None
    nodes_to_quantize: Sequence[str] | None = None
    nodes_to_exclude: Sequence[str] | None = None
    per_channel: bool = False
    reduce_range: bool = False
    use_external_data_format: bool = False
    calibration_providers: Sequence[str] | None = None
    extra_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class DynamicQuantConfig:
    """The arguments of `quantize_dynamic` after the models, by name."""

    weight_type: QuantType = QuantType.QInt8
    op_types_to_quantize: Sequence[str] | None = None
    nodes_to_quantize: Sequence[str] | None = None
    nodes_to_exclude: Sequence[str] | None = None
    per_channel: bool = False
    reduce_range: bool = False
    use_external_data_format: bool = False
    extra_options: Mapping[str, Any] = field(default_factory=dict)


def quantize(
    model_input: Loadable, model_output: Any, quant_config: StaticQuantConfig | DynamicQuantConfig
) -> None:
    """`quantize_static` or `quantize_dynamic`, as the configuration says."""
    static = isinstance(quant_config, StaticQuantConfig)
    settings = {name: getattr(quant_config, name) for name in asdict(quant_config)}
    (quantize_static if static else quantize_dynamic)(model_input, model_output, **settings)


def quantize_static(
    model_input: Loadable,
    model_output: Any,
    calibration_data_reader: Any = None,
    quant_format: QuantFormat = QuantFormat.QDQ,
    op_types_to_quantize: Sequence[str] | None = None,
    per_channel: bool = False,
    reduce_range: bool = False,
    activation_type: QuantType = QuantType.QInt8,
    weight_type: QuantType = QuantType.QInt8,
    nodes_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | None = None,
    use_external_data_format: bool = False,
    calibrate_method: CalibrationMethod = CalibrationMethod.MinMax,
    calibration_providers: Sequence[str] | None = None,
    extra_options: Mapping[str, Any] | None = None,
    calibration_cache_path: Any = None,
) -> None:
    """Writes an int8 model calibrated on what the reader gives; see `sardonyx.quantize`.

    What other settings mean here is said in UserWarnings. InvalidArgument (E0257) for types of
    codes that have no 8 bits and without a reader.
    """
    del calibration_providers
    _check_types(activation_type, weight_type)
    if calibration_data_reader is None:
        raise InvalidArgument("E0257", "a reader of calibration data is needed")
    if quant_format is QuantFormat.QOperator:
        _warn("the model is written in quantize-dequantize form")
    if calibration_cache_path is not None:
        _warn("no cache of ranges is read or written")
    more = dict(extra_options or {})
    share = float(more.pop("CalibPercentile", _PERCENTILE))
    if calibrate_method in (CalibrationMethod.Entropy, CalibrationMethod.Distribution):
        _warn(f"{calibrate_method.name}: ranges are found by percentile")
    _warn_of(more)
    graph = _newer(load(model_input), LOWEST_OPSET)
    made = quantized(
        graph,
        _feeds(calibration_data_reader),
        method="minmax" if calibrate_method is CalibrationMethod.MinMax else "percentile",
        percentile=share,
        per_channel=per_channel,
        ops=_ops(op_types_to_quantize, targets.DEFAULT, targets.KNOWN),
        exclude=_excluded(graph, nodes_to_quantize, nodes_to_exclude),
        weight_bits=7 if reduce_range else 8,
    )
    save(made.graph, model_output, external_data=use_external_data_format or None)


def quantize_dynamic(
    model_input: Loadable,
    model_output: Any,
    op_types_to_quantize: Sequence[str] | None = None,
    per_channel: bool = False,
    reduce_range: bool = False,
    weight_type: QuantType = QuantType.QInt8,
    nodes_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | None = None,
    use_external_data_format: bool = False,
    extra_options: Mapping[str, Any] | None = None,
) -> None:
    """Writes a model whose MatMul and Gemm are of integers; see `sardonyx.quantize.dynamic`."""
    _check_types(weight_type)
    _warn_of(dict(extra_options or {}))
    graph = _newer(load(model_input), dynamic.LOWEST_OPSET)
    made = dynamic.quantize_dynamic(
        graph,
        per_channel=per_channel,
        ops=_ops(op_types_to_quantize, dynamic.PRODUCTS, dynamic.PRODUCTS),
        exclude=_excluded(graph, nodes_to_quantize, nodes_to_exclude),
        weight_bits=7 if reduce_range else 8,
    )
    save(made.graph, model_output, external_data=use_external_data_format or None)


def quant_pre_process(
    input_model: Loadable | None = None,
    output_model_path: Any = None,
    skip_optimization: bool = False,
    skip_onnx_shape: bool = False,
    skip_symbolic_shape: bool = False,
    auto_merge: bool = False,
    int_max: int = 2**31 - 1,
    guess_output_rank: bool = False,
    verbose: int = 0,
    save_as_external_data: bool = False,
    all_tensors_to_one_file: bool = False,
    external_data_location: str | None = None,
    external_data_size_threshold: int = 1024,
    input_model_path: Loadable | None = None,
) -> None:
    """Writes the model optimised, as its quantization begins anyway."""
    source = input_model if input_model is not None else input_model_path
    if source is None or output_model_path is None:
        raise InvalidArgument("E0255", "two models are needed: one to read, one to write")
    graph = load(source)
    infer(graph, strict=False)
    made = graph if skip_optimization else optimize(graph).graph
    external = external_data_size_threshold if save_as_external_data else None
    save(made, output_model_path, external_data=external)


def _newer(graph: Graph, opset: int) -> Graph:
    """The graph, raised to an opset where its own is older."""
    return (
        graph if graph.opsets.get("", 0) >= opset else optimize(graph, "basic", opset=opset).graph
    )


def _feeds(reader: Any) -> Iterator[Mapping[str, Any]]:
    get: Callable[[], Mapping[str, Any] | None] = reader.get_next
    while (found := get()) is not None:
        yield found


def _check_types(*types: QuantType) -> None:
    for kind in types:
        if kind not in (QuantType.QInt8, QuantType.QUInt8):
            raise InvalidArgument(
                "E0257", f"codes of {kind} cannot be written", wanted="QInt8 or QUInt8"
            )


def _ops(asked: Sequence[str] | None, usual: Sequence[str], known: Sequence[str]) -> list[str]:
    return [op for op in asked or usual if op in known]


def _excluded(
    graph: Graph, wanted: Sequence[str] | None, unwanted: Sequence[str] | None
) -> list[str]:
    labels = [targets.label(n) for n in graph.nodes if n.outputs[0] is not None]
    left = set(unwanted or ())
    return [n for n in labels if n in left or (wanted and n not in wanted)]


def _warn_of(options: Mapping[str, Any]) -> None:
    if options:
        _warn(f"options without a meaning here: {', '.join(options)}")


def _warn(said: str) -> None:
    warnings.warn(f"quantization: {said}", UserWarning, stacklevel=3)
