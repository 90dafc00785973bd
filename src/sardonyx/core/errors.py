"""Every exception that Sardonyx raises: one tree, each with a code, a place and a way to mend it.

    SardonyxError                     exit  3
      Fail                            .
        LimitExceeded                 exit  4   a budget of `core.limits` was hit
        ExternalDataError             .         external tensor data refused or unusable
        ConvertError                  .         a conversion did not give an equal model
          Disagreement                exit  1   the converted model runs, and says something else
        CalibrationError              .         calibration data say nothing (empty, only NaN)
        Terminated                    exit 130  the run was asked to stop
      InvalidArgument                 exit  2   wrong feeds, names or options in a call
        UsageError                    exit  2   wrong command line
        ShapeMismatch                 exit  2   a feed's rank or dims contradict the model
      NoSuchFile                      exit  2   a named file cannot be opened or written
      NotFound                        exit  2   a named thing (provider, node, output) is unknown
      NoModel                         exit  2   a session without a model
      InvalidProtobuf                 exit  3   the bytes are no ONNX model
      InvalidGraph                    exit  3   the model contradicts itself or the standard
      NotImplemented                  exit  3   valid, but nothing here can do it
        UnsupportedOperator           .         an operator without a definition must run
      RuntimeException                exit  3   a value met while running makes an operator fail
      EngineError                     exit 70
        CompileError                  .         code generation failed
      EPFail                          exit  3   an execution provider failed
        ProviderUnavailable           exit  2   a provider that is not installed was asked for
      ModelRequiresCompilation, ModelLoaded, ModelLoadCanceled, DeviceReset
      InternalError                   exit 70   our own fault

The first level has ONNX Runtime's names, so a caller who catches `InvalidArgument` there catches it
here; all are RuntimeErrors, and those of arguments ValueErrors, which its binding raises as well.
Strings that come from a model are untrusted: `render` makes them harmless for a terminal.
"""

# ruff: noqa: N818 - the names are those that callers of ONNX Runtime catch

from __future__ import annotations

import errno
from typing import Any, ClassVar, Self, TypeVar

from sardonyx.core.escape import sanitise

_Error = TypeVar("_Error", bound="SardonyxError")

_PLACES = ("file", "node", "op", "tensor", "given", "wanted", "hint", "where", "source")


def _block(text: object, indent: str) -> str:
    return f"\n{indent}".join(sanitise(line) for line in str(text).split("\n"))


class SardonyxError(RuntimeError):
    """The root: `code` (see `core.codes`), `message`, and whatever is known about the place.

    `file`, `node`, `op`, `tensor` name the place; `where` is more of it in words ("input 0");
    `source` is the user's own source line; `given` and `wanted` are the two sides of a mismatch;
    `hint` says how to mend it. Any of them is None when unknown.
    """

    exit_code: ClassVar[int] = 3

    def __init__(
        self,
        code: str,
        message: str,
        *,
        file: str | None = None,
        node: str | None = None,
        op: str | None = None,
        tensor: str | None = None,
        given: object = None,
        wanted: object = None,
        hint: str | None = None,
        where: str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.file = file
        self.node = node
        self.op = op
        self.tensor = tensor
        self.given = given
        self.wanted = wanted
        self.hint = hint
        self.where = where
        self.source = source

    def locate(self, **places: Any) -> Self:
        """Fill the places that are still unknown and return the same exception."""
        for name, value in places.items():
            if name not in _PLACES:
                raise TypeError(f"no such place: {name}")
            if getattr(self, name) is None:
                setattr(self, name, value)
        return self

    def to_dict(self) -> dict[str, Any]:
        """The exception as JSON-ready data; unknown places are left out."""
        known = {name: getattr(self, name) for name in _PLACES}
        return {
            "type": type(self).__name__,
            "code": self.code,
            "message": self.message,
            "exit_code": self.exit_code,
            **{name: str(value) for name, value in known.items() if value is not None},
        }

    def render(self) -> str:
        """The printed form: headline, place, both sides, help; safe to write to a terminal."""
        lines = [f"error[{self.code}]: {_block(self.message, '    ')}"]
        place = self._place()
        if place:
            lines.append(f"  --> {place}")
        if self.source is not None:
            lines.append(f"   at {_block(self.source, '      ')}")
        sides = [
            f"{label}  {sanitise(side)}"
            for label, side in (("given", self.given), ("wanted", self.wanted))
            if side is not None
        ]
        if sides:
            lines.append("   = " + "     ".join(sides))
        if self.hint is not None:
            lines.append(f"   help: {_block(self.hint, '         ')}")
        return "\n".join(lines)

    def _place(self) -> str:
        parts = [self.file, self.where]
        told = self.tensor is None or f"`{self.tensor}`" in self.message
        parts.append(None if told else f"tensor `{self.tensor}`")
        if self.node is not None:
            parts.append(f"node `{self.node}`" + (f" ({self.op})" if self.op else ""))
        elif self.op is not None:
            parts.append(f"operator {self.op}")
        return ", ".join(sanitise(part) for part in parts if part)

    def __str__(self) -> str:
        return self.render()

    def __reduce__(self) -> tuple[Any, ...]:
        places = {name: getattr(self, name) for name in _PLACES}
        return _rebuild, (type(self), self.code, self.message, places)


def _rebuild(kind: type[_Error], code: str, message: str, places: dict[str, Any]) -> _Error:
    return kind(code, message, **places)


class Fail(SardonyxError):
    """Something went wrong that no narrower name covers."""


class LimitExceeded(Fail):
    """A budget was hit; `wanted` is the limit, `hint` says how to raise it."""

    exit_code = 4


class ExternalDataError(Fail):
    """External tensor data that is refused (outside, a link, a device) or unusable."""


class ConvertError(Fail):
    """A conversion whose result could not be made or does not agree with its source."""


class Disagreement(ConvertError):
    """A converted model that runs and says something else; `report` is the comparison."""

    exit_code = 1
    report: Any = None


class CalibrationError(Fail):
    """Calibration data from which no range follows: none at all, or only NaN and infinity."""


class Terminated(Fail):
    """The run was asked to stop (`RunOptions.terminate`, Ctrl-C) and stopped at a step."""

    exit_code = 130


class InvalidArgument(SardonyxError, ValueError):
    """A call that cannot be served as written: feeds, names, options."""

    exit_code = 2


class UsageError(InvalidArgument):
    """A command line that cannot be understood."""


class ShapeMismatch(InvalidArgument):
    """A feed whose rank, dims or shared symbols contradict the model's declaration."""


class NoSuchFile(SardonyxError):
    """A file named by the caller cannot be opened, read or written."""

    exit_code = 2


class NotFound(SardonyxError):
    """A named provider, node, input, output or option does not exist."""

    exit_code = 2


class NoModel(SardonyxError):
    """A session was asked to run without a model."""

    exit_code = 2


class InvalidProtobuf(SardonyxError):
    """The bytes are not a well-formed ONNX model."""


class InvalidGraph(SardonyxError):
    """The model contradicts itself or the ONNX standard."""


class NotImplemented(SardonyxError):  # noqa: A001
    """The request is valid but no provider or tool here can do it."""


class UnsupportedOperator(NotImplemented):
    """An operator that has no definition here would have to run."""


class RuntimeException(SardonyxError):
    """A value met while running makes an operator fail (an index out of range, a bad divisor)."""


class EngineError(SardonyxError):
    """The compiler or the code it made failed."""

    exit_code = 70


class CompileError(EngineError):
    """Machine code could not be generated."""


class EPFail(SardonyxError):
    """An execution provider failed."""


class ProviderUnavailable(EPFail):
    """An execution provider was asked for that is unknown or not installed."""

    exit_code = 2


class ModelRequiresCompilation(SardonyxError):
    """The model must be compiled before it can run."""


class ModelLoaded(SardonyxError):
    """The session already holds a model."""


class ModelLoadCanceled(SardonyxError):
    """Loading was cancelled by the caller."""

    exit_code = 130


class DeviceReset(SardonyxError):
    """The device was reset while running."""


class InternalError(SardonyxError):
    """Our own fault: an invariant of Sardonyx does not hold."""

    exit_code = 70


def foreign(problem: Exception) -> SardonyxError:
    """An exception of somebody else as one of ours: too large, too deep, or our own fault."""
    if isinstance(problem, RecursionError):
        return LimitExceeded("E0502", "the model is nested too deep")
    if isinstance(problem, MemoryError) or getattr(problem, "errno", 0) == errno.ENOMEM:
        said = "there is not enough memory"
        return LimitExceeded("E0506", said, given=str(problem) or None, hint="feed a smaller batch")
    return InternalError("E0999", f"our own fault: {type(problem).__name__}: {problem}")
