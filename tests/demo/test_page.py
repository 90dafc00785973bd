"""The page: complete, self-contained, harmless, well formed."""

from html.parser import HTMLParser

import pytest

from sardonyx.demo.charts import Interval, Picture
from sardonyx.demo.page import Page, cell

HOSTILE = "<script>alert(1)</script>\"'&"
VOID = {"meta", "rect", "line", "circle", "!doctype"}


class _Reader(HTMLParser):
    """Tags in order, with attributes, and the text; refuses tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def _everything(text: str) -> Page:
    page = Page(text)
    page.heading(text)
    page.text(text)
    page.text(text, note=True)
    page.code([text, text])
    page.table([text, "b"], [[text, 1.23456], [None, 2]], strong=0)
    page.bars([(text, 3.0), ("b", 0.0)], text)
    page.intervals([Interval(text, 0.5, 0.7, 0.9), Interval("b", 3, 4, 5)], text)
    page.pictures([Picture(text, [[0.0, 1.0], [0.5, 0.0]], marked=True)], text)
    return page


@pytest.fixture(scope="module")
def read() -> _Reader:
    return _Reader(_everything(HOSTILE).html())


def test_tags_nest(read: _Reader) -> None:
    assert read.named("body")


def test_text_is_shown_and_never_markup(read: _Reader) -> None:
    assert not read.named("script")
    assert sum(HOSTILE in words for words in read.words) >= 9


def test_nothing_is_fetched(read: _Reader) -> None:
    policy = next(m for m in read.named("meta") if "http-equiv" in m)["content"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not any({"src", "href"} & set(attrs) for _, attrs in read.tags)
    assert "url(" not in _everything("x").html()
    assert "@import" not in _everything("x").html()


def test_charts_tell_what_they_show(read: _Reader) -> None:
    drawn = read.named("svg")
    assert len(drawn) == 3
    assert all(attrs["role"] == "img" and attrs["aria-label"] == HOSTILE for attrs in drawn)


def test_both_colour_schemes(read: _Reader) -> None:
    style = _everything("x").html()
    assert "color-scheme: light dark" in style
    assert "prefers-color-scheme: dark" in style


def test_names_in_text_are_code() -> None:
    page = Page("t")
    page.text("see `x` and `<b>`")
    assert "<code>x</code>" in page.html()
    assert "<b>" not in page.html()


def _drawn(page: Page, tag: str) -> list[dict[str, str | None]]:
    return _Reader(page.html()).named(tag)


def _number(attrs: dict[str, str | None], name: str) -> float:
    value = attrs[name]
    assert value is not None
    return float(value)


def test_bars_are_as_long_as_their_values() -> None:
    page = Page("t")
    page.bars([("a", 1.0), ("b", 4.0)], "bars")
    first, second = (_number(r, "width") for r in _drawn(page, "rect"))
    assert second == pytest.approx(4 * first, abs=0.2)


def test_bars_of_zero_and_of_nothing() -> None:
    page = Page("t")
    page.bars([("a", 0.0)], "bars")
    page.bars([], "none")
    assert len(_drawn(page, "svg")) == 2


def test_intervals_stand_on_a_logarithmic_axis() -> None:
    page = Page("t")
    rows = [Interval("a", 0.4, 0.5, 0.6), Interval("b", 1, 1, 1), Interval("c", 1.5, 2, 3)]
    page.intervals(rows, "intervals")
    half, one, two = (_number(c, "cx") for c in _drawn(page, "circle"))
    assert two - one == pytest.approx(one - half, abs=0.2)
    line = next(a for a in _drawn(page, "line") if a["class"] == "one")
    assert _number(line, "x1") == one


@pytest.mark.parametrize(("low", "high"), [(1, 1), (0.001, 1000), (1e-9, 1e9)])
def test_axis_has_few_marks_and_one(low: float, high: float) -> None:
    page = Page("t")
    page.intervals([Interval("a", low, low, high)], "intervals")
    marks = [a for a in _drawn(page, "line") if a["class"] in ("one", "rule")]
    assert 1 <= len(marks) <= 7
    assert [a["class"] for a in marks].count("one") == 1


def test_pictures_have_a_pixel_for_each_share_of_ink() -> None:
    page = Page("t")
    page.pictures([Picture("a", [[0, 1], [0.5, 0]])], "pictures")
    dots = [a for a in _drawn(page, "rect") if "fill-opacity" in a]
    assert [a["fill-opacity"] for a in dots] == ["1.00", "0.50"]


def test_numbers_stand_right_and_words_left() -> None:
    page = Page("t")
    page.table(["name", "size", "note"], [["a", "1.5 ms", ""], ["b", "-3", "x"]])
    heads = _drawn(page, "th")
    assert [attrs.get("class") for attrs in heads] == ["word", None, "word"]


@pytest.mark.parametrize(
    ("value", "shown"), [(1.23456, "1.23"), (None, ""), (3, "3"), ("a", "a"), (1e-9, "1e-09")]
)
def test_cells(value: object, shown: str) -> None:
    assert cell(value) == shown
