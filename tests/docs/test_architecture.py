"""The page of the architecture tells what is there: rooms, arrows, nouns and functions."""

import importlib
import re
from functools import reduce

import pytest

import make_docs
import rooms

PAGE = make_docs.ARCHITECTURE.read_text(encoding="utf-8")
PLACE = re.compile(r"\b(?:formats|passes|engine|kernels|session|providers)(?:\.\w+)+")
NOUN = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|.*\| `([\w.]+)` \|$", re.MULTILINE)


def found(place: str) -> object:
    """What a dotted name below the package names."""
    parts = place.split(".")
    for n in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(["sardonyx", *parts[:n]]))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, parts[n:], module)
    raise AssertionError(place)


def test_the_rooms_are_those_of_the_code() -> None:
    assert make_docs.architecture_page() == PAGE, "run `make docs`"


@pytest.mark.parametrize("contract", ["layers", "engine", "ops"])
def test_every_import_goes_down(contract: str) -> None:
    house = rooms.house(contract)
    assert house.upward() == []
    assert sum(map(len, house.arrows.values())) >= 10
    assert all(house.sentence(room) for room in house.rooms)


def test_an_import_that_goes_up_or_aside_is_seen() -> None:
    house = rooms.House("p", [["a"], ["b", "c"]], {"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert sorted(house.upward()) == [("b", "c"), ("c", "a")]


@pytest.mark.parametrize("place", sorted(set(PLACE.findall(PAGE.partition("## Rooms")[0]))))
def test_what_the_page_names_is_there(place: str) -> None:
    assert found(place) is not None


@pytest.mark.parametrize(("names", "module"), NOUN.findall(PAGE.partition("## Rooms")[0]))
def test_every_noun_is_where_the_page_says(names: str, module: str) -> None:
    for name in re.findall(r"\w+", names):
        assert hasattr(importlib.import_module(f"sardonyx.{module}"), name)
