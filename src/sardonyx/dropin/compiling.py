"""ModelCompiler: ONNX Runtime's writer of models made ready for a provider.

What a CPU needs of one is a model that is optimised: machine code is made, and kept in the cache
of compiled programs, when a session loads it.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sardonyx.core.errors import Fail, InvalidArgument, NoSuchFile
from sardonyx.formats import load, save, to_bytes
from sardonyx.graph.ir import Graph
from sardonyx.passes.pipeline import optimize
from sardonyx.session.options import GraphOptimizationLevel, SessionOptions
from sardonyx.session.settle import settle


class OrtCompileApiFlags(enum.IntFlag):
    """When to refuse."""

    NONE = 0
    ERROR_IF_NO_NODES_COMPILED = 1
    ERROR_IF_OUTPUT_FILE_EXISTS = 2


@dataclass(frozen=True)
class OrtExternalInitializerInfo:
    """Where an initializer is stored: a file beside the model, an offset and a size in bytes."""

    filepath: str
    file_offset: int
    byte_size: int


class ModelCompiler:
    """Optimises a model at a level and writes it as ONNX; no node holds compiled code.

    An `external_initializers_file_path` in another folder than the model's, and a function that
    places each initializer, are refused (InvalidArgument E0257).
    """

    def __init__(
        self,
        sess_options: SessionOptions,
        input_model_path_or_bytes: str | os.PathLike[str] | bytes,
        embed_compiled_data_into_model: bool = False,
        external_initializers_file_path: str | os.PathLike[str] | None = None,
        external_initializers_size_threshold: int = 1024,
        flags: int = OrtCompileApiFlags.NONE,
        graph_optimization_level: int = GraphOptimizationLevel.ORT_DISABLE_ALL,
        get_initializer_location_func: Callable[..., Any] | None = None,
    ) -> None:
        del embed_compiled_data_into_model
        if not input_model_path_or_bytes:
            raise InvalidArgument("E0255", "there is no model to compile")
        if get_initializer_location_func is not None:
            raise InvalidArgument(
                "E0257", "initializers cannot be placed one by one",
                hint="pass `external_initializers_file_path`",
            )  # fmt: skip
        self._source = input_model_path_or_bytes
        self._options = sess_options
        self._external = external_initializers_file_path
        self._threshold = external_initializers_size_threshold
        self._flags = OrtCompileApiFlags(flags)
        self._level = GraphOptimizationLevel(graph_optimization_level).passes

    def _made(self) -> Graph:
        if OrtCompileApiFlags.ERROR_IF_NO_NODES_COMPILED in self._flags:
            raise Fail("E0256", "no node holds compiled code: it is made when a session loads")
        graph = load(self._source)
        settle(graph, self._options)
        return graph if self._level == "off" else optimize(graph, self._level).graph

    def compile_to_file(self, output_model_path: str | os.PathLike[str] | None = None) -> None:
        """Writes the model, by default as `X_ctx.onnx` for `X.onnx`."""
        target = Path(output_model_path or self._beside())
        if OrtCompileApiFlags.ERROR_IF_OUTPUT_FILE_EXISTS in self._flags and target.exists():
            raise NoSuchFile("E0103", "the file exists already", file=str(target))
        if self._external is None:
            save(self._made(), target, external_data=False)
            return
        if Path(self._external).parent not in (Path(), target.parent):
            raise InvalidArgument(
                "E0257", "external initializers lie beside the model",
                given=os.fspath(self._external), wanted=os.fspath(target.parent),
            )  # fmt: skip
        name = Path(self._external).name
        save(self._made(), target, external_data=self._threshold, data_file=name)

    def _beside(self) -> Path:
        if isinstance(self._source, bytes):
            raise InvalidArgument(
                "E0103", "a model given as bytes has no file to be written beside"
            )
        source = Path(self._source)
        return source.with_name(f"{source.stem}_ctx.onnx")

    def compile_to_bytes(self) -> bytes:
        """The model's bytes."""
        return to_bytes(self._made())

    def compile_to_stream(self, write_function: Callable[[bytes], None]) -> None:
        """Hands the model's bytes to a function; Fail (E0103) where that raises."""
        made = self.compile_to_bytes()
        try:
            write_function(made)
        except Exception as problem:
            raise Fail("E0103", f"the model could not be written: {problem}") from problem

    def set_ep_context_data_write_func(self, write_func: Callable[..., None]) -> None:
        """Accepted; there are no compiled data to be written."""

    def clear_ep_context_data_write_func(self) -> None:
        """Accepted; there are no compiled data to be written."""

    def set_ep_context_binary_information(
        self, output_directory: str | os.PathLike[str], model_name: str
    ) -> None:
        """Accepted; there are no compiled data to be written."""
