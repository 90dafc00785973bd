import os
from pathlib import Path

import pytest

from sardonyx.core import knobs
from sardonyx.engine.code import cache, link, source
from sardonyx.engine.code.source import closure, digest

FILES = {
    "sardonyx/__init__.py": "",
    "sardonyx/a.py": "from sardonyx.b import (\n    thing,\n    other,\n)\n",
    "sardonyx/b/__init__.py": "",
    "sardonyx/b/thing.py": "import sardonyx.c.deep.leaf\n",
    "sardonyx/b/unread.py": "",
    "sardonyx/c/__init__.py": "",
    "sardonyx/c/deep/__init__.py": "",
    "sardonyx/c/deep/leaf.py": "def late():\n    from sardonyx.d import x\n",
    "sardonyx/d/__init__.py": "import importlib\n",
    "sardonyx/d/one/two.py": "factor = 2\n",
}


def lay(root: Path) -> Path:
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def test_follows_imports_of_every_form(tmp_path: Path) -> None:
    found = set(closure(("sardonyx.a",), lay(tmp_path)))
    wanted = {"sardonyx.a", "sardonyx.b", "sardonyx.b.thing", "sardonyx.c.deep.leaf"}
    assert wanted | {"sardonyx.d", "sardonyx.d.one.two"} <= found
    assert "sardonyx.b.unread" not in found


def test_an_edit_in_a_sub_folder_is_another_digest(tmp_path: Path) -> None:
    first, second = lay(tmp_path / "x"), lay(tmp_path / "y")
    assert digest("sardonyx.a", root=first) == digest("sardonyx.a", root=second)
    changed = lay(tmp_path / "z")
    (changed / "sardonyx/d/one/two.py").write_text("factor = 3\n", encoding="utf-8")
    assert digest("sardonyx.a", root=changed) != digest("sardonyx.a", root=first)


def test_what_code_is_made_by_is_in_its_keys() -> None:
    found = set(closure(("sardonyx.engine.program.program", "sardonyx.ops.reduce.softmax")))
    wanted = ("core.term", "loops.ir", "kernels.gemm", "kernels.micro.tile", "ops.reduce.softmax")
    assert {f"sardonyx.{name}" for name in wanted} <= found


def test_a_module_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"sardonyx\.gone"):
        digest("sardonyx.a", "sardonyx.gone", root=lay(tmp_path))


def test_the_writers_of_code_are_in_its_keys() -> None:
    found = set(closure(link._WRITERS))
    wanted = ("emit.memory", "emit.arith", "code.object", "native.barrier")
    assert {f"sardonyx.engine.{name}" for name in wanted} <= found


def aged(root: Path) -> Path:
    """Files that seem to be old, as far as times can be set."""
    for file in root.rglob("*.py"):
        os.utime(file, (0, 0))
    return root


def test_a_digest_is_remembered_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, kept = aged(lay(tmp_path / "x")), tmp_path / "kept"
    monkeypatch.setattr(source, "_YOUNG", 0)
    leaf = root / "sardonyx/d/one/two.py"
    with knobs.override(cache_dir=kept, cache=True):
        first = told(root)
        monkeypatch.setattr(source, "closure", None)
        assert told(root) == first
        monkeypatch.undo()
        leaf.write_text("factor = 3\n", encoding="utf-8")
        os.utime(leaf, (0, 0))
        second = told(root)
    assert second != first


def test_nothing_is_remembered_of_files_that_may_still_change(tmp_path: Path) -> None:
    root = lay(tmp_path / "x")
    with knobs.override(cache_dir=tmp_path / "kept", cache=True):
        told(root)
        store = cache.default("sources")
    assert store is not None
    assert store.entries() == []


@pytest.mark.parametrize("kept", [b"\xff", b"", b"0" * 63, b"G" * 64, b"a" * 64 + b"\n"])
def test_what_is_kept_but_no_digest_is_made_again(
    kept: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = aged(lay(tmp_path / "x"))
    monkeypatch.setattr(source, "_YOUNG", 0)
    with knobs.override(cache_dir=tmp_path / "kept", cache=True):
        first, store = told(root), cache.default("sources")
        assert store is not None
        (entry,) = store.entries()
        store.put(entry[0], kept)
        assert told(root) == first


def told(root: Path) -> str:
    """What a process that starts now says."""
    digest.cache_clear()
    source._tree.cache_clear()
    return digest("sardonyx.a", root=root)
