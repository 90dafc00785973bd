"""The documents hold together: links resolve, nothing lacks a page, generated pages are current."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import make_docs

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _documents() -> list[Path]:
    beside = list(ROOT.glob("*.md"))
    inside = list(DOCS.rglob("*.md"))
    return sorted([*beside, *inside, ROOT / "benchmarks" / "README.md"])


DOCUMENTS = _documents()
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def _prose(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def _links(path: Path) -> Iterator[str]:
    for target in LINK.findall(_prose(path)):
        if not target.startswith(("http://", "https://", "mailto:")):
            yield target


def _anchor(heading: str) -> str:
    bare = re.sub(r"[^\w\- ]", "", heading.lower())
    return bare.strip().replace(" ", "-")


def _anchors(path: Path) -> set[str]:
    prose = _prose(path)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {_anchor(heading) for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_links_resolve(document: Path) -> None:
    for link in _links(document):
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert not anchor or anchor in _anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_python_in_documents_parses(document: Path) -> None:
    for language, code in FENCE.findall(document.read_text(encoding="utf-8")):
        if language == "python":
            ast.parse(code)


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        places = [link.partition("#")[0] for link in _links(page)]
        targets = [page.parent / place for place in places]
        waiting += [t.resolve() for t in targets if t.suffix == ".md"]
    missing = set(DOCS.rglob("*.md")) - seen
    assert not missing


def test_the_stages_on_the_page_of_the_engine_are_current() -> None:
    written = (DOCS / "concepts" / "engine.md").read_text(encoding="utf-8")
    assert written == make_docs.engine_page(), "run `make docs`"


@pytest.mark.parametrize("name", make_docs.PAGES)
def test_generated_page_is_current(name: str) -> None:
    written = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert written == make_docs.PAGES[name](), "run `make docs`"
