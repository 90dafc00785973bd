"""A folder of derived bytes that survives the process: compiled code, and whatever costs as much.

Entries are loaded as machine code, so nothing is read from a folder or file that another user
could have written, and every entry is signed with a secret of the folder's own: what was not put
there through this module is not found.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
import time
import warnings
from pathlib import Path

from sardonyx.core import knobs

_MAGIC = b"sxcache\x02"
_KEY_FILE = "secret"
_SIZE = 32
_HEADER = len(_MAGIC) + _SIZE
# Room for the objects of a thousand models: a kernel has some 10 KiB, a model 50 distinct ones.
_CAPACITY = 512 << 20
# A file's time of use is renewed once an hour at most, for the sake of the disk; an unfinished file
# of that age has no writer any more.
_HOUR = 3600.0
_serial = itertools.count()


class Cache:
    """Bytes by key (a name of hexadecimal digits) in one folder of mode 0700.

    The least recently used entries go when all together exceed `capacity` bytes. A folder that
    cannot be used leaves `problem` saying why; then nothing is found and nothing is kept.
    """

    def __init__(self, folder: Path, capacity: int = _CAPACITY) -> None:
        self.folder = folder
        self.capacity = capacity
        self.problem: str | None = None
        self._unswept = capacity
        self._descriptor = self._open()
        self._secret = self._found_secret()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            os.close(self._descriptor)  # type: ignore[arg-type]

    def _open(self) -> int | None:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir(mode=0o700)
            found = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            self.problem = f"{self.folder} cannot be used: {error.strerror}"
            return None
        state = os.fstat(found)
        if state.st_uid == os.geteuid() and not state.st_mode & 0o077:
            return found
        os.close(found)
        self.problem = f"{self.folder} is open to other users: it must be yours, with mode 0700"
        warnings.warn(f"compiled code is not kept: {self.problem}", RuntimeWarning, stacklevel=3)
        return None

    def _found_secret(self) -> bytes:
        """The secret that signs entries, made when there is none; of two makers one wins."""
        if self._descriptor is None:
            return b""
        for _ in range(2):
            found = self._read(_KEY_FILE)
            if found is not None and len(found) == _SIZE:
                return found
            self._remove(_KEY_FILE)
            self._write(_KEY_FILE, os.urandom(_SIZE), new=True)
        return os.urandom(_SIZE)

    def get(self, key: str) -> bytes | None:
        """The bytes kept under `key`; None where there are none or they are damaged."""
        found = self._read(key)
        if found is None:
            return None
        if found[:_HEADER] == _MAGIC + self._sign(key, found[_HEADER:]):
            return found[_HEADER:]
        self._remove(key)
        return None

    def _read(self, name: str) -> bytes | None:
        """A plain file of the user's own."""
        if self._descriptor is None:
            return None
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._descriptor)
        except OSError:
            return None
        with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
                return None
            if state.st_mtime < time.time() - _HOUR:
                os.utime(handle)
            return file.read()

    def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`; what a full disk or a lost folder prevents is not kept."""
        if self._descriptor is None:
            return
        if self._write(key, _MAGIC + self._sign(key, content) + content):
            self._unswept += len(content)
            if self._unswept > self.capacity // 8:
                self._sweep()

    def forget(self, key: str) -> None:
        """Take out what is kept under `key`."""
        self._remove(key)

    def _write(self, name: str, content: bytes, new: bool = False) -> bool:
        """Puts a file in place, whole or not at all; `new`: unless there is one by now."""
        beside = f".{name}.{os.getpid()}.{next(_serial)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        folder = self._descriptor
        try:
            handle = os.open(beside, flags, 0o600, dir_fd=folder)
            with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
            if new:
                with contextlib.suppress(FileExistsError):
                    os.link(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
                self._remove(beside)
            else:
                os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            self.problem = f"{self.folder} cannot be written: {error.strerror}"
            self._remove(beside)
            return False
        return True

    def entries(self) -> list[tuple[str, int, float]]:
        """(key, bytes, time of last use) of everything kept, oldest use first."""
        if self._descriptor is None:
            return []
        found = []
        with os.scandir(self._descriptor) as rows:
            for row in rows:
                if row.name == _KEY_FILE:
                    continue
                with contextlib.suppress(OSError):
                    state = row.stat(follow_symlinks=False)
                    found.append((row.name, state.st_size, state.st_mtime))
        return sorted(found, key=lambda entry: entry[2])

    def clear(self) -> None:
        """Forget everything."""
        for name, _, _ in self.entries():
            self._remove(name)

    def _sign(self, key: str, content: bytes) -> bytes:
        signed = hashlib.blake2b(key.encode() + b"\0", key=self._secret, digest_size=_SIZE)
        signed.update(content)
        return signed.digest()

    def _sweep(self) -> None:
        entries, self._unswept = self.entries(), 0
        total = sum(size for _, size, _ in entries)
        now = time.time()
        for name, size, used in entries:
            abandoned = name.startswith(".") and used < now - _HOUR
            if abandoned or total > self.capacity:
                self._remove(name)
                total -= size

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._descriptor)


def default(room: str = "code") -> Cache | None:
    """The cache in the folder `room` of the knob `cache_dir`; None where the knob forbids it."""
    return Cache(knobs.CACHE_DIR.get() / room) if knobs.CACHE.get() else None
