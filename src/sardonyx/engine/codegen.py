"""LLVM text to an object file: in this process, or in another that may die in our place.

LLVM ends the process when it cannot select an instruction or an assertion fails. `Worker` keeps a
second process for text that is not trusted to compile, and for compiling beside this one.
"""

from __future__ import annotations

import contextlib
import functools
import struct
import subprocess
import sys
import tempfile
import threading
from typing import IO, Any, Self

from llvmlite import binding

from sardonyx.core.errors import CompileError
from sardonyx.loops.target import Target

LLVM = ".".join(map(str, binding.llvm_version_info))
_OPT = 2


@functools.lru_cache
def _initialize() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()


@functools.lru_cache
def machine(cpu: str, features: str, triple: str = "") -> Any:
    """LLVM's target machine; `triple` other than this machine's gives code to look at only."""
    if triple:
        _initialize()
    else:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        triple = binding.get_process_triple()
    return binding.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=_OPT, reloc="pic", codemodel="small"
    )


def parse(text: str) -> Any:
    """The verified module of an LLVM text; CompileError showing the line at fault."""
    try:
        module = binding.parse_assembly(text, context=binding.create_context())
        module.verify()
    except RuntimeError as error:
        raise CompileError("E0802", f"LLVM refuses the code: {error}", hint=_REPORT) from None
    return module


_REPORT = "this is a fault of Sardonyx; please report it with the model"


def object_of(text: str, target: Target) -> bytes:
    """The object file of an LLVM text; CompileError where it does not parse or verify."""
    return _emit(text, target.cpu, target.feature_string)


def _emit(text: str, cpu: str, features: str) -> bytes:
    made: bytes = machine(cpu, features).emit_object(parse(text))
    return made


def assembly_of(text: str, target: Target, triple: str = "") -> str:
    """The assembly of an LLVM text, for reading."""
    made: str = machine(target.cpu, target.feature_string, triple).emit_assembly(parse(text))
    return made


class Worker:
    """A process that compiles; it is started at the first text and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def object_of(self, text: str, target: Target) -> bytes:
        """As the function of that name; CompileError E0803 where LLVM ends the process."""
        with self._lock:
            process = self._process or self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                for part in (target.cpu, target.feature_string, text):
                    _send(process.stdin, part.encode())
                process.stdin.flush()
                status, content = _receive(process.stdout), _receive(process.stdout)
            except (EOFError, BrokenPipeError):
                self._process = None
                raise CompileError(
                    "E0803", _last_words(process, self._said), hint=_REPORT
                ) from None
        if status != b"object":
            raise CompileError("E0802", content.decode(), hint=_REPORT)
        return content

    def close(self) -> None:
        """End the process."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _last_words(process, self._said)

    def _start(self) -> subprocess.Popen[bytes]:
        code = f"import sys; sys.path[:] = sys.argv[1:]; from {__name__} import serve; serve()"
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        return self._process


def _last_words(process: subprocess.Popen[bytes], said: IO[bytes] | None) -> str:
    process.communicate()
    assert said is not None
    with said:
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    told = [line for line in lines if "LLVM ERROR" in line or "Assertion" in line]
    return f"the compiler ended with status {process.returncode}: {(told or lines or [''])[-1]}"


def _send(stream: IO[bytes], content: bytes) -> None:
    stream.write(struct.pack("<q", len(content)) + content)


def _receive(stream: IO[bytes]) -> bytes:
    (length,) = struct.unpack("<q", _exactly(stream, 8))
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content


def serve() -> None:
    """Compile what stands on standard input until it ends; the loop of a `Worker`'s process."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(EOFError):
        while True:
            cpu, features, text = (_receive(source).decode() for _ in range(3))
            try:
                status, content = b"object", _emit(text, cpu, features)
            except CompileError as error:
                status, content = b"error", error.message.encode()
            _send(sink, status)
            _send(sink, content)
            sink.flush()
