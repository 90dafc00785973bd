"""Files on disk: models opened for reading, external data opened safely, output written whole.

`Folder` is the one way to external data. A location is a relative path without `..`; it is opened
beneath the folder's descriptor with no symbolic link on the way. Where there is a link, its real
path must lie in the folder, or in the real folder of the model file (the layout of download
caches), and that path is opened in the same strict way, so nothing can be swapped in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sardonyx.core.errors import ExternalDataError, InvalidProtobuf, NoSuchFile
from sardonyx.core.limits import Limits
from sardonyx.formats.stored import LARGE, Stored

_MOST_OPEN = 128
_OPENAT2 = 437
_BENEATH_WITHOUT_LINKS = 0x08 | 0x04 | 0x02
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC if hasattr(os, "O_PATH") else _SAFE
_PASSED_BY = (errno.ENOSYS, errno.EPERM)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def read_model(path: str | os.PathLike[str], limits: Limits) -> bytes | Stored:
    """The bytes of a model file; an open file where it is large.

    NoSuchFile when it cannot be read or is no regular file; LimitExceeded when it is too large.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as problem:
        raise unreadable(name, problem) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NoSuchFile("E0101", "the path does not name a regular file", file=name)
        limits.check_file(found.st_size, name)
        if found.st_size >= LARGE:
            return Stored(os.dup(descriptor), name)
        return _read_at(descriptor, 0, found.st_size)
    except OSError as problem:
        raise unreadable(name, problem) from None
    finally:
        os.close(descriptor)


def unreadable(name: str, problem: Exception) -> NoSuchFile:
    """The exception for a file that cannot be read."""
    why = problem.strerror if isinstance(problem, OSError) else str(problem)
    return NoSuchFile("E0101", f"the file cannot be read: {why}", file=name)


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    pieces = []
    while length > 0:
        piece = os.pread(descriptor, min(length, 1 << 30), offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return b"".join(pieces)


class Folder:
    """Where a model's external data lie; `read` gives a segment of one of its files.

    `path` is the folder by name; `model` the model file where there is one, whose real folder
    and owner then count too. Files stay as they were at `check`: one that was replaced since is
    refused.
    """

    def __init__(self, path: Path, model: Path | None, limits: Limits) -> None:
        self.path = path
        self._model = model
        self._limits = limits
        self._known: dict[str, os.stat_result] = {}
        self._held: dict[str, bytes] = {}
        self._stored: dict[str, Stored] = {}
        self._total = 0

    def size(self, location: str) -> int:
        """Bytes of the file at `location`, which is opened and vetted the first time.

        ExternalDataError where it is missing (E0125), outside (E0120) or unfit (E0121).
        """
        if location not in self._known:
            descriptor = self._open(location)
            found = self._known[location] = os.fstat(descriptor)
            if found.st_size >= LARGE and len(self._stored) < _MOST_OPEN:
                self._stored[location] = Stored(descriptor, str(self.path / location))
            else:
                os.close(descriptor)
            self._total += found.st_size
            self._limits.check_external(self._total, location)
        return self._known[location].st_size

    def read(self, location: str, offset: int, length: int) -> bytes | memoryview:
        """`length` bytes from `offset`, copied; InvalidProtobuf where they go beyond the file."""
        size = self.size(location)
        if offset < 0 or length < 0 or length > size or offset > size - length:
            raise InvalidProtobuf(
                "E0123",
                f"the external data end beyond the file `{location}`",
                given=f"offset {offset}, length {length}",
                wanted=f"within {size} bytes",
            )
        if size >= LARGE:
            return self.stored(location).read(offset, length)
        whole = self._held.get(location)
        if whole is None:
            whole = self._held[location] = self._whole(location)
        return memoryview(whole)[offset : offset + length]

    def stored(self, location: str) -> Stored:
        """The open file at `location`, or where many are open, a fresh look at it.

        ExternalDataError where it is not the file that `size` vetted.
        """
        self.size(location)
        kept = self._stored.get(location)
        return kept or Stored(self._reopen(location), str(self.path / location))

    def _whole(self, location: str) -> bytes:
        descriptor = self._reopen(location)
        try:
            data = _read_at(descriptor, 0, self._known[location].st_size)
        finally:
            os.close(descriptor)
        if len(data) != self._known[location].st_size:
            raise _refused(location, "E0123", "the file became shorter while it was read")
        return data

    def _reopen(self, location: str) -> int:
        descriptor = self._open(location)
        now, known = os.fstat(descriptor), self._known[location]
        same = _identity(now) == _identity(known) and now.st_mtime_ns == known.st_mtime_ns
        if not same or now.st_size != known.st_size:
            os.close(descriptor)
            raise _refused(location, "E0121", "the file changed since the model was loaded")
        return descriptor

    def _open(self, location: str) -> int:
        parts = safe_parts(location)
        try:
            return self._open_in(str(self.path), parts)
        except OSError as problem:
            if problem.errno in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR):
                return self._open_linked(location, parts)
            raise _missing(location, problem) from None

    def _open_linked(self, location: str, parts: tuple[str, ...]) -> int:
        try:
            real = Path(os.path.realpath(self.path.joinpath(*parts)))
        except OSError as problem:
            raise _missing(location, problem) from None
        homes = [Path(os.path.realpath(self.path))]
        if self._model is not None:
            homes.append(Path(os.path.realpath(self._model)).parent)
        for home in homes:
            if real.is_relative_to(home) and real != home:
                try:
                    return self._open_in(str(home), real.relative_to(home).parts)
                except OSError as problem:
                    raise _missing(location, problem) from None
        raise _refused(location, "E0120", "a link leads out of the model's folder")

    def _open_in(self, folder: str, parts: tuple[str, ...]) -> int:
        base = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            look = open_beneath(base, parts, _LOOK)
            try:
                seen = os.fstat(look)
                self._vet(seen, parts)
            finally:
                os.close(look)
            descriptor = open_beneath(base, parts, os.O_RDONLY | _SAFE)
            if _identity(os.fstat(descriptor)) != _identity(seen):
                os.close(descriptor)
                raise _refused("/".join(parts), "E0121", "the file changed while it was opened")
            return descriptor
        finally:
            os.close(base)

    def _vet(self, found: os.stat_result, parts: tuple[str, ...]) -> None:
        location = "/".join(parts)
        if stat.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, "symbolic link", location)
        if not stat.S_ISREG(found.st_mode):
            raise _refused(location, "E0121", "not a regular file")
        if found.st_nlink > 1 and found.st_uid != self._owner():
            raise _refused(location, "E0121", "a hard link to a file of another owner")

    def _owner(self) -> int:
        return (self._model or self.path).stat().st_uid


def safe_parts(location: str) -> tuple[str, ...]:
    """The components of a location; ExternalDataError (E0120) unless it stays in the folder."""
    path = PurePosixPath(location)
    windows = "\\" in location or (len(location) > 1 and location[1] == ":")
    if not path.parts or path.is_absolute() or windows or "\0" in location:
        raise _refused(location, "E0120", "not a relative path")
    if ".." in path.parts:
        raise _refused(location, "E0120", "a path with `..`")
    if not all(part.isprintable() for part in path.parts):
        raise _refused(location, "E0120", "a path with unprintable characters")
    return path.parts


def open_beneath(base: int, parts: tuple[str, ...], flags: int) -> int:
    """A descriptor of `parts` beneath the directory `base`, no symbolic link on the way.

    OSError as `open` gives; ELOOP or ENOTDIR where a link is in the way.
    """
    how = _OpenHow(flags, 0, _BENEATH_WITHOUT_LINKS)
    name = os.fsencode("/".join(parts))
    if _syscall is not None:
        size = ctypes.sizeof(how)
        descriptor = int(_syscall(_OPENAT2, base, name, ctypes.byref(how), size))
        if descriptor >= 0:
            return descriptor
        if ctypes.get_errno() not in _PASSED_BY:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "/".join(parts))
    return _walk_beneath(base, parts, flags)


def _walk_beneath(base: int, parts: tuple[str, ...], flags: int) -> int:
    """The same, a component at a time, for systems without openat2."""
    here = os.dup(base)
    try:
        for part in parts[:-1]:
            deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _SAFE, dir_fd=here)
            os.close(here)
            here = deeper
        return os.open(parts[-1], flags, dir_fd=here)
    finally:
        os.close(here)


def _find_syscall() -> ctypes._NamedFuncPointer | None:
    try:
        found = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return None
    if os.uname().sysname != "Linux":
        return None
    found.restype = ctypes.c_long
    found.argtypes = (
        ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t,
    )  # fmt: skip
    return found


_syscall = _find_syscall()


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _refused(location: str, code: str, why: str) -> ExternalDataError:
    return ExternalDataError(
        code,
        f"the external data at `{location}` are refused: {why}",
        hint="external data must be a regular file in the model's folder",
    )


def _missing(location: str, problem: OSError) -> ExternalDataError:
    code = "E0125" if problem.errno == errno.ENOENT else "E0121"
    return ExternalDataError(
        code,
        f"the external data at `{location}` cannot be read: {problem.strerror}",
        hint="copy the data file into the model's folder",
    )


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` when the block ends well.

    It is written beside it under a name of its own and renamed, so whatever stood there stays
    whole until then, and links there are replaced, not followed. NoSuchFile (E0103) where that
    cannot be done.
    """
    name = os.fspath(path)
    folder, last = Path(name).absolute().parent, Path(name).absolute().name
    beside = f".{last[:100]}.{secrets.token_hex(8)}.part"
    try:
        if "\0" in name:
            raise OSError(errno.EINVAL, "a null character in the name")
        base = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as problem:
        raise _unwritable(name, problem) from None
    try:
        _refuse_special(base, last, name)
        with _beside(base, beside) as file:
            yield file
        os.replace(beside, last, src_dir_fd=base, dst_dir_fd=base)
    except OSError as problem:
        raise _unwritable(name, problem) from problem
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside, dir_fd=base)
        os.close(base)


@contextlib.contextmanager
def _beside(base: int, beside: str) -> Iterator[BinaryIO]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o666, dir_fd=base)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _refuse_special(base: int, last: str, name: str) -> None:
    try:
        found = os.stat(last, dir_fd=base, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        raise NoSuchFile("E0103", "what stands there is not a regular file", file=name)


def _unwritable(name: str, problem: OSError) -> NoSuchFile:
    return NoSuchFile("E0103", f"the file cannot be written: {problem.strerror}", file=name)
