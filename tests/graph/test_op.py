"""How an operator class gets its name and version, and how it is found again."""

from dataclasses import dataclass
from typing import ClassVar

from sardonyx.graph.op import Op, find


class Twist(Op):
    """Version 5, named as it is."""

    domain: ClassVar[str] = "test.names"
    since = 5


class TwistV2(Twist):
    """The version is read off the name."""


class TurnV3(Twist):
    """A version that is given leaves the name alone."""

    since = 4


@dataclass(frozen=True)
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
