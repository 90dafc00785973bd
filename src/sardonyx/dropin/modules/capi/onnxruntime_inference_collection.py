"""The classes of ONNX Runtime's module, where it defines them."""

from sardonyx.dropin.adapters import AdapterFormat as AdapterFormat
from sardonyx.dropin.compiling import ModelCompiler as ModelCompiler
from sardonyx.dropin.environment import (
    check_and_normalize_provider_args as check_and_normalize_provider_args,
)
from sardonyx.dropin.environment import copy_tensors as copy_tensors
from sardonyx.session.binding import IOBinding as IOBinding
from sardonyx.session.devices import OrtDevice as OrtDevice
from sardonyx.session.devices import OrtDeviceVendorId as OrtDeviceVendorId
from sardonyx.session.session import InferenceSession as InferenceSession
from sardonyx.session.session import InferenceSession as Session
from sardonyx.session.sparse import SparseTensor as SparseTensor
from sardonyx.session.value import OrtValue as OrtValue

__all__ = [
    "AdapterFormat",
    "IOBinding",
    "InferenceSession",
    "ModelCompiler",
    "OrtDevice",
    "OrtDeviceVendorId",
    "OrtValue",
    "Session",
    "SparseTensor",
    "check_and_normalize_provider_args",
    "copy_tensors",
]
