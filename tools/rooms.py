"""The rooms of the package: floors from the contracts, sentences and arrows from the code."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"


@dataclass
class House:
    """One package: `floors` from the highest down, `arrows` from each room to those it imports."""

    package: str
    floors: list[list[str]]
    arrows: dict[str, set[str]] = field(default_factory=dict)

    @property
    def rooms(self) -> list[str]:
        """The rooms, highest first."""
        return [room for floor in self.floors for room in floor]

    def upward(self) -> list[tuple[str, str]]:
        """Imports that do not go to a lower floor."""
        level = {room: n for n, floor in enumerate(self.floors) for room in floor}
        pairs = [(a, b) for a, others in self.arrows.items() for b in others]
        return [(a, b) for a, b in pairs if level[b] <= level[a]]

    def sentence(self, room: str) -> str:
        """The first line of a room's own docstring."""
        place = _path(f"{self.package}.{room}")
        text = ast.get_docstring(ast.parse(place.read_text(encoding="utf-8"))) or ""
        return " ".join(text.partition("\n\n")[0].split())


def house(contract: str) -> House:
    """The package that a layers contract of pyproject.toml is about; rooms to come are left out."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    row = next(r for r in rows if r["id"] == contract)
    (package,) = row["containers"]
    floors = [[name.strip(" ()") for name in layer.split("|")] for layer in row["layers"]]
    there = [[r for r in floor if _path(f"{package}.{r}").is_file()] for floor in floors]
    found = House(package, [floor for floor in there if floor])
    found.arrows = {room: _arrows(package, room) & set(found.rooms) for room in found.rooms}
    return found


def _path(module: str) -> Path:
    place = SOURCE.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _arrows(package: str, room: str) -> set[str]:
    """The rooms of a package that a room imports."""
    place = _path(f"{package}.{room}")
    files = place.parent.rglob("*.py") if place.name == "__init__.py" else [place]
    depth = package.count(".") + 1
    found = set()
    for module in (m for file in files for m in _imported(file)):
        parts = module.split(".")
        if ".".join(parts[:depth]) == package and len(parts) > depth and parts[depth] != room:
            found.add(parts[depth])
    return found


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def page() -> str:
    """The floors and the rooms of the package, of the engine and of the operators, as Markdown."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    for contract, title in (("layers", ""), ("engine", "Inside `engine`"), ("ops", "Inside `ops`")):
        found = house(contract)
        if title:
            yield from (f"### {title}", "")
        yield from (f"    {' | '.join(floor)}" for floor in found.floors)
        yield from ("", "| room | what is inside | imports |", "|---|---|---|")
        for room in found.rooms:
            below = ", ".join(f"`{r}`" for r in found.rooms if r in found.arrows[room])
            yield f"| `{room}` | {found.sentence(room)} | {below} |"
        yield ""
