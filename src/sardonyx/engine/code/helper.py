"""A second process that compiles: beside this one, or in its place where LLVM may end it.

LLVM ends the process when it cannot select an instruction or an assertion fails.
"""

from __future__ import annotations

import contextlib
import contextvars
import struct
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from sardonyx.core.errors import CompileError
from sardonyx.engine.code import object as codegen

if TYPE_CHECKING:
    from sardonyx.loops.target import Target

# A second process takes about as long to start as a dozen kernels take to compile; it pays where
# half of the kernels are more than that.
_MANY = 24
_READY = b"+"

Text = Callable[[], str]


def objects_of(texts: Sequence[Text], target: Target) -> list[bytes]:
    """The object files of many texts; a worker makes some of them where that pays."""
    if len(texts) < _MANY or target.cores < 2 or not _own_python():
        return [codegen.object_of(text(), target) for text in texts]
    work = _Work(texts, target)
    with Worker() as worker:
        knobs = contextvars.copy_context()
        helper = threading.Thread(target=knobs.run, args=(work.assist, worker))
        helper.start()
        try:
            while (n := work.take(last=False)) is not None:
                work.made[n] = codegen.object_of(texts[n](), target)
        finally:
            work.left.clear()
            worker.dismiss()
            helper.join()
    return [work.get(n) for n in range(len(texts))]


def _own_python() -> bool:
    """Whether `sys.executable` is an interpreter that runs what it is told, not an application."""
    name = Path(sys.executable or "").name
    return name.startswith("python") and not hasattr(sys, "frozen")


class _Work:
    """Texts that two threads take from both ends."""

    def __init__(self, texts: Sequence[Text], target: Target) -> None:
        self.texts, self.target = texts, target
        self.left = deque(range(len(texts)))
        self.made: dict[int, bytes] = {}

    def take(self, last: bool) -> int | None:
        """The number of a text that nobody has begun."""
        with contextlib.suppress(IndexError):
            return self.left.pop() if last else self.left.popleft()
        return None

    def assist(self, worker: Worker) -> None:
        """Has a worker compile until nothing is left; what fails is left to `get`."""
        with contextlib.suppress(Exception):
            worker.wait()
            while (n := self.take(last=True)) is not None:
                self.made[n] = worker.object_of(self.texts[n](), self.target)

    def get(self, n: int) -> bytes:
        """The object of a text, compiled here if it is not yet."""
        if n not in self.made:
            self.made[n] = codegen.object_of(self.texts[n](), self.target)
        return self.made[n]


class Worker:
    """A process that compiles; it is started at the first text and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._ready = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def object_of(self, text: str, target: Target) -> bytes:
        """As `codegen.object_of`; CompileError E0803 where LLVM ends the process."""
        self.wait()
        with self._lock:
            process = self._process
            if process is None:
                raise CompileError("E0803", "the compiling process is gone")
            try:
                status, content = _ask(process, target.cpu, target.feature_string, text)
            except (EOFError, BrokenPipeError):
                raise CompileError("E0803", self._end(), hint=codegen.REPORT) from None
        if status != b"object":
            raise CompileError("E0802", content.decode(), hint=codegen.REPORT)
        return content

    def wait(self) -> None:
        """Start the process where there is none, and return when it can take a text."""
        with self._lock:
            process = self._process or self._start()
            assert process.stdout is not None
            if not self._ready and process.stdout.read(1) != _READY:
                raise CompileError("E0803", self._end())
            self._ready = True

    def dismiss(self) -> None:
        """End the process if it is still starting."""
        process = self._process
        if process is not None and not self._ready:
            process.kill()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        code = f"import sys; sys.path[:] = sys.argv[1:]; from {__name__} import serve; serve()"
        said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        self._said, self._ready = said, False
        return self._process

    def _end(self) -> str:
        """Puts the process away; its last words."""
        process, said = self._process, self._said
        assert process is not None
        assert said is not None
        process.communicate()
        self._process, self._ready = None, False
        with said:
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines()
        told = [line for line in lines if "LLVM ERROR" in line or "Assertion" in line]
        last = (told or lines or [""])[-1]
        return f"the compiling process ended with status {process.returncode}: {last}"


def _ask(process: subprocess.Popen[bytes], *parts: str) -> tuple[bytes, bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    for part in parts:
        _send(process.stdin, part.encode())
    process.stdin.flush()
    return _receive(process.stdout), _receive(process.stdout)


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
    sink.write(_READY)
    sink.flush()
    with contextlib.suppress(EOFError):
        while True:
            cpu, features, text = (_receive(source).decode() for _ in range(3))
            try:
                status, content = b"object", codegen.compiled(text, cpu, features)
            except CompileError as error:
                status, content = b"error", error.message.encode()
            _send(sink, status)
            _send(sink, content)
            sink.flush()
