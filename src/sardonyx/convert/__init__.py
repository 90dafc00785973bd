"""From a trained model to an ONNX model that is proved to say the same."""

from sardonyx.convert.conversion import Accuracy, Conversion
from sardonyx.convert.place import is_place, load_object
from sardonyx.convert.proof import convert, side_of
from sardonyx.convert.source import Controls, Remark

__all__ = [
    "Accuracy",
    "Controls",
    "Conversion",
    "Remark",
    "convert",
    "is_place",
    "load_object",
    "side_of",
]
