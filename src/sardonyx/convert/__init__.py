"""From a trained model to an ONNX model that is proved to say the same."""

from sardonyx.convert.contract import Contract, contract_of, replay
from sardonyx.convert.conversion import Accuracy, Conversion
from sardonyx.convert.place import is_place, load_object
from sardonyx.convert.proof import convert, side_of
from sardonyx.convert.source import Controls, Remark

__all__ = [
    "Accuracy",
    "Contract",
    "Controls",
    "Conversion",
    "Remark",
    "contract_of",
    "convert",
    "is_place",
    "load_object",
    "replay",
    "side_of",
]
