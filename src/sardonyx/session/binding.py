"""IOBinding: inputs and outputs of a session fixed ahead of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument, ShapeMismatch
from sardonyx.session.arrays import as_array
from sardonyx.session.value import OrtValue, OrtValueVector, array_at, check_device


class Named(Protocol):
    """What a binding asks of its session."""

    def output_index(self, name: str) -> int:
        """The position of an output; InvalidArgument (E0204) for an unknown name."""

    def check_input(self, name: str) -> None:
        """InvalidArgument (E0202) for an unknown name."""


class IOBinding:
    """Bound inputs are fed in every run; bound output arrays are written in place."""

    def __init__(self, session: Named) -> None:
        self.session = session
        self.inputs: dict[str, Any] = {}
        self._outs: dict[str, Array | None] = {}
        self._results: list[Any] = []

    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """Feeds an array to an input."""
        self.session.check_input(name)
        self.inputs[name] = as_array(arr_on_cpu)

    def bind_input(
        self,
        name: str,
        device_type: Any,
        device_id: int,
        element_type: Any,
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None:
        """Feeds memory to an input; the caller vouches for the address and keeps it alive."""
        del device_id
        check_device(device_type)
        self.session.check_input(name)
        self.inputs[name] = array_at(buffer_ptr, element_type, shape)

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        """Feeds a value to an input."""
        self.session.check_input(name)
        self.inputs[name] = ortvalue.content

    def bind_output(
        self,
        name: str,
        device_type: Any = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """Asks for an output: in fresh memory, or at an address that the caller vouches for."""
        del device_id
        check_device(device_type)
        self.session.output_index(name)
        target = None
        if buffer_ptr is not None:
            if element_type is None or shape is None:
                raise InvalidArgument(
                    "E0233", "memory to write to needs `element_type` and `shape`"
                )
            target = array_at(buffer_ptr, element_type, shape)
        self._outs[name] = target

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        """Has an output written into a value's memory."""
        self.session.output_index(name)
        self._outs[name] = ortvalue.content

    def complete(self, results: Sequence[Any]) -> None:
        """Takes all the outputs of a run; ShapeMismatch where one does not fit what is bound."""
        held = []
        for name, target in self._outs.items():
            found = results[self.session.output_index(name)]
            if target is not None:
                _write(name, target, found)
            held.append(found if target is None else target)
        self._results = held

    def get_outputs(self) -> OrtValueVector:
        """The results of the last run, in the order bound."""
        return OrtValueVector(map(OrtValue, self._results))

    def get_outputs_as_ortvaluevector(self) -> OrtValueVector:
        """The same as `get_outputs`."""
        return self.get_outputs()

    @property
    def _iobinding(self) -> IOBinding:
        """The binding below ONNX Runtime's class of this name: here there is none."""
        return self

    def copy_outputs_to_cpu(self) -> list[Any]:
        """The results of the last run as arrays."""
        return list(self._results)

    def clear_binding_inputs(self) -> None:
        """Forgets the bound inputs."""
        self.inputs.clear()

    def clear_binding_outputs(self) -> None:
        """Forgets the bound outputs."""
        self._outs.clear()

    def synchronize_inputs(self) -> None:
        """Nothing to wait for: everything is in CPU memory."""

    def synchronize_outputs(self) -> None:
        """Nothing to wait for: everything is in CPU memory."""


def _write(name: str, target: Any, found: Any) -> None:
    if not isinstance(found, np.ndarray) or not isinstance(target, np.ndarray):
        raise InvalidArgument("E0233", f"output `{name}` is no tensor", tensor=name)
    if target.shape != found.shape or target.dtype != found.dtype:
        raise ShapeMismatch(
            "E0205",
            f"output `{name}` does not fit the memory bound to it",
            tensor=name,
            given=f"{target.dtype}{list(target.shape)}",
            wanted=f"{found.dtype}{list(found.shape)}",
        )
    np.copyto(target, found)
