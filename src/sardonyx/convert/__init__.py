"""From a trained model to an ONNX model that is proved to say the same."""

from sardonyx.convert.conversion import Accuracy, Conversion
from sardonyx.convert.proof import convert, side_of
from sardonyx.convert.source import is_place, load_object

__all__ = ["Accuracy", "Conversion", "convert", "is_place", "load_object", "side_of"]
