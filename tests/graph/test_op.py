"""How an operator class gets its name and version, and how it is found again."""

import sys
from pathlib import Path
from typing import ClassVar

import pytest

from sardonyx.graph.op import Op, announce, find, versions

LATE = """
from sardonyx.graph.op import Op
class LateV2(Op):
    domain = "test.late"
class TakenV2(Op):
    domain = "test.late"
class TakenV3(Op):
    domain = "test.late"
"""


class Twist(Op):
    """Version 5, named as it is."""

    domain: ClassVar[str] = "test.names"
    since = 5


class TwistV2(Twist):
    """The version is read off the name."""


class TurnV3(Twist):
    """A version that is given leaves the name alone."""

    since = 4


class Renamed(Twist):
    """Both may be given."""

    since = 9
    name = "Twist"


class LevelV(Twist, abstract=True):
    """Abstract, and no version."""


def test_name_and_version_follow_from_the_class() -> None:
    assert [(c.name, c.since) for c in (Twist, TwistV2)] == [("Twist", 5), ("Twist", 2)]
    assert (TurnV3.name, TurnV3.since) == ("TurnV3", 4)
    assert (LevelV.name, LevelV.since) == ("LevelV", 5)


def test_the_version_in_force_is_found() -> None:
    opsets = {1: None, 2: TwistV2, 4: TwistV2, 5: Twist, 8: Twist, 9: Renamed, 1000: Renamed}
    assert {n: find("test.names", "Twist", n) for n in opsets} == opsets
    assert find("test.names", "TwistV2") is None
    assert find("test.names", "LevelV") is None


def test_an_announced_module_is_imported_when_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"late_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(LATE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    class Taken(Op):
        domain = "test.late"
        since = 3

    announce(dict.fromkeys([("test.late", "Late"), ("test.late", "Taken")], module))
    assert module not in sys.modules
    assert list(versions("test.late", "Late")) == [2]
    assert module in sys.modules
    assert find("test.late", "Taken", 2) is not Taken
    assert find("test.late", "Taken", 3) is Taken, "what was defined before stays in force"
