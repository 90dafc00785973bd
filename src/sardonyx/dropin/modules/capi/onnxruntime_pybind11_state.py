"""ONNX Runtime's binding: its names are those of `sardonyx.dropin.state`."""

from sardonyx.dropin.state import __all__ as __all__
from sardonyx.dropin.state import __dir__ as __dir__
from sardonyx.dropin.state import __getattr__ as __getattr__
