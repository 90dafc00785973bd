"""Sessions and bindings as ONNX Runtime's own binding has them, below the classes of its module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sardonyx.session import session as sessions
from sardonyx.session.binding import IOBinding
from sardonyx.session.describe import ModelMetadata, NodeArg
from sardonyx.session.options import RunOptions, SessionOptions
from sardonyx.session.value import OrtValue, OrtValueVector


class InferenceSession(sessions.InferenceSession):
    """A session made in two steps; its descriptions are attributes."""

    def __init__(
        self,
        session_options: SessionOptions,
        model: str | bytes,
        is_path: bool = True,
        read_config: bool = False,
    ) -> None:
        del is_path, read_config
        self._asked = session_options, model

    def initialize_session(
        self,
        providers: Sequence[str] = (),
        provider_options: Sequence[Mapping[str, Any]] = (),
        disabled_optimizers: Any = (),
    ) -> None:
        """Loads and prepares the model; raises what making a session raises."""
        options, model = self._asked
        super().__init__(
            model, options, providers, provider_options, disabled_optimizers=disabled_optimizers
        )

    @property
    def inputs_meta(self) -> list[NodeArg]:
        """The inputs that must be fed."""
        return self.get_inputs()

    @property
    def outputs_meta(self) -> list[NodeArg]:
        """The outputs in order."""
        return self.get_outputs()

    @property
    def overridable_initializers(self) -> list[NodeArg]:
        """Inputs that have a default value."""
        return self.get_overridable_initializers()

    @property
    def model_meta(self) -> ModelMetadata:
        """The model's own description."""
        return self.get_modelmeta()

    @property
    def session_options(self) -> SessionOptions:
        """The options the session was made with."""
        return self.get_session_options()

    def run_with_ort_values(  # type: ignore[override]
        self,
        input_dict_ort_values: Mapping[str, OrtValue],
        output_names: Sequence[str],
        run_options: RunOptions | None = None,
    ) -> OrtValueVector:
        """The outputs; the order of the arguments is that of the binding."""
        return OrtValueVector(
            super().run_with_ort_values(output_names, input_dict_ort_values, run_options)
        )


class SessionIOBinding(IOBinding):
    """A binding whose memory is given as arrays, or as a device, a type, a shape and an address."""

    def bind_input(self, name: str, *given: Any) -> None:
        """Feeds an array, or memory at an address that the caller vouches for."""
        if len(given) == 1:
            self.bind_cpu_input(name, given[0])
            return
        device, element_type, shape, pointer = given
        super().bind_input(name, device, 0, element_type, shape, pointer)

    def bind_output(self, name: str, *given: Any) -> None:
        """Asks for an output on a device, in fresh memory or at an address."""
        device, *memory = given
        super().bind_output(name, device, 0, *memory)
