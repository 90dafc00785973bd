import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sardonyx.core import knobs
from sardonyx.engine.code import cache
from sardonyx.engine.code.cache import Cache


def test_keeps_and_finds(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "code")
    assert kept.get("ab") is None
    kept.put("ab", b"bytes")
    assert Cache(tmp_path / "code").get("ab") == b"bytes"
    assert (tmp_path / "code").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "code" / "ab").stat().st_mode & 0o777 == 0o600
    kept.clear()
    assert kept.get("ab") is None


def test_damaged_entry_is_not_returned_and_goes(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "code")
    kept.put("ab", b"some machine code")
    file = tmp_path / "code" / "ab"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    assert kept.get("ab") is None
    assert not file.exists()


def test_entry_under_another_key_is_not_returned(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "code")
    kept.put("ab", b"one")
    (tmp_path / "code" / "ab").rename(tmp_path / "code" / "cd")
    assert kept.get("cd") is None


def test_an_entry_of_another_hand_is_not_returned(tmp_path: Path) -> None:
    ours, theirs = Cache(tmp_path / "code"), Cache(tmp_path / "other")
    theirs.put("ab", b"one")
    (tmp_path / "other" / "ab").rename(tmp_path / "code" / "ab")
    assert ours.get("ab") is None


def test_makers_of_a_folder_share_its_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as crew:
        made = list(crew.map(lambda n: Cache(tmp_path / "code").put(f"{n:02x}", b"x"), range(40)))
    assert len(made) == 40
    assert all(Cache(tmp_path / "code").get(f"{n:02x}") == b"x" for n in range(40))


@pytest.mark.parametrize("secret", [b"", b"short", bytes(33)])
def test_a_damaged_secret_is_made_anew(secret: bytes, tmp_path: Path) -> None:
    Cache(tmp_path / "code").put("ab", b"one")
    (tmp_path / "code" / "secret").write_bytes(secret)
    kept = Cache(tmp_path / "code")
    assert kept.get("ab") is None
    kept.put("ab", b"two")
    assert Cache(tmp_path / "code").get("ab") == b"two"
    assert [name for name, _, _ in kept.entries()] == ["ab"]


def test_link_is_not_followed(tmp_path: Path) -> None:
    kept, other = Cache(tmp_path / "code"), Cache(tmp_path / "other")
    other.put("ab", b"one")
    (tmp_path / "code" / "ab").symlink_to(tmp_path / "other" / "ab")
    assert kept.get("ab") is None


def test_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir(mode=0o755)
    with pytest.warns(RuntimeWarning, match="open to other users"):
        kept = Cache(tmp_path / "code")
    kept.put("ab", b"one")
    assert kept.get("ab") is None
    assert list((tmp_path / "code").iterdir()) == []
    assert kept.problem


def test_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = Cache(tmp_path / "file" / "code")
    kept.put("ab", b"one")
    assert kept.get("ab") is None
    assert kept.problem


def test_oldest_entries_go_when_full(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "code", capacity=10_000)
    old = time.time() - 1000
    for i in range(20):
        kept.put(f"{i:02x}", bytes(1000))
        os.utime(tmp_path / "code" / f"{i:02x}", (old + i, old + i))
    names = [name for name, _, _ in kept.entries()]
    assert sum(size for _, size, _ in kept.entries()) <= 12_000
    assert names == sorted(names)
    assert kept.get("13") == bytes(1000)
    assert kept.get("00") is None


def test_abandoned_halves_are_swept(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "code", capacity=1000)
    half = tmp_path / "code" / ".ab.1.0"
    half.write_bytes(b"x")
    os.utime(half, (1, 1))
    kept.put("cd", bytes(500))
    assert not half.exists()
    assert kept.get("cd") == bytes(500)


def test_knobs_choose_the_folder_or_none(tmp_path: Path) -> None:
    with knobs.override(cache_dir=tmp_path, cache=True):
        made = cache.default()
        assert made is not None
        assert made.folder == tmp_path / "code"
    with knobs.override(cache=False):
        assert cache.default() is None
