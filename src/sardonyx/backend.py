"""The standard's backend interface, `onnx.backend.base.Backend`, on our sessions.

    import sardonyx.backend as backend

    backend.prepare(model).run([x])

The package `onnx` must be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.base import Backend, BackendRep, Device, DeviceType

from sardonyx.core.errors import InvalidArgument, SardonyxError
from sardonyx.session import InferenceSession


class SardonyxRep(BackendRep):  # type: ignore[misc]
    """A model made ready to run."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs in order, for arrays by name, in the inputs' order, or the only one.

        An input that is None or behind the last one given has the model's default.
        """
        del kwargs
        if isinstance(inputs, Mapping):
            return tuple(self.session.run(None, dict(inputs)))
        given = inputs if isinstance(inputs, list | tuple) else [inputs]
        names = [v.name for v in self.session.get_inputs()]
        feeds = {n: _plain(x) for n, x in zip(names, given, strict=False) if x is not None}
        return tuple(self.session.run(None, feeds))


class SardonyxBackend(Backend):  # type: ignore[misc]
    """Models and nodes on the native provider, or on the one that `provider` names."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether `prepare` takes the model."""
        try:
            cls.prepare(model, device, **kwargs)
        except SardonyxError:
            return False
        return True

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether it is a CPU."""
        return bool(Device(device).type == DeviceType.CPU)

    @classmethod
    def prepare(
        cls, model: Any, device: str = "CPU", *, provider: str = "native", **kwargs: Any
    ) -> SardonyxRep:
        """The model (a path, bytes or an onnx.ModelProto) ready to run.

        InvalidArgument for a device that is no CPU, and what a session raises.
        """
        if not cls.supports_device(device):
            raise InvalidArgument("E0211", "there is no such device", given=device, wanted="CPU")
        return SardonyxRep(InferenceSession(model, providers=[provider], **kwargs))

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> Any:
        """The outputs of a model, run once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Any = None,
        *,
        opset_version: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """The outputs of one node on arrays, of the newest opset or the one named."""
        del outputs_info
        given = inputs if isinstance(inputs, list | tuple) else [inputs]
        named = {n: np.asarray(x) for n, x in zip(node.input, given, strict=True) if n}
        typed = [
            helper.make_tensor_value_info(
                name, numpy_helper.from_array(x).data_type, [None] * x.ndim
            )
            for name, x in named.items()
        ]
        made = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], node.op_type, typed, made)
        newest = onnx.defs.onnx_opset_version() if node.domain in ("", "ai.onnx") else 1
        opset = helper.make_opsetid(node.domain, opset_version or newest)
        return cls.run_model(
            helper.make_model(graph, opset_imports=[opset]), named, device, **kwargs
        )


def _plain(x: Any) -> Any:
    return [_plain(v) for v in x] if isinstance(x, list) else x


is_compatible = SardonyxBackend.is_compatible
prepare = SardonyxBackend.prepare
run_model = SardonyxBackend.run_model
run_node = SardonyxBackend.run_node
supports_device = SardonyxBackend.supports_device
run = run_model  # as ONNX Runtime calls it
