"""Text of unknown origin, made harmless for a terminal, for JSON and for HTML."""

import json
from html.parser import HTMLParser
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.core.escape import dumps, html, sanitise

TEXTS = st.text(st.characters())


@given(TEXTS)
def test_a_terminal_sees_one_printable_line(text: str) -> None:
    assert sanitise(text).isprintable()


@given(TEXTS)
def test_json_is_printable_and_gives_the_text_back(text: str) -> None:
    made = dumps({text: [text]})
    assert all(c.isprintable() or c == "\n" for c in made)
    shown = text.encode("utf-8", "backslashreplace").decode()
    assert json.loads(made) == {shown: [shown]}


@given(TEXTS)
def test_html_shows_the_text_and_no_tag(text: str) -> None:
    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            assert (tag, len(attrs)) == ("p", 1)
            seen.append(attrs[0][1])

        def handle_data(self, data: str) -> None:
            seen.append(data)

    reader = Reader()
    reader.feed(f'<p title="{html(text)}">{html(text)}</p>')
    reader.close()
    shown = "\n".join(sanitise(line, len(line)) for line in text.split("\n"))
    assert seen[0] == shown
    assert "".join(seen[1:]) == shown


def test_stray_bytes_of_a_name_are_shown_in_keys_too() -> None:
    assert json.loads(dumps({"a\udcff": "b\udcfe"})) == {"a\\udcff": "b\\udcfe"}


def test_numbers_that_json_lacks_are_words() -> None:
    found = json.loads(dumps([float("nan"), np.array([np.inf, -np.inf]), np.array([1 + 2j])]))
    assert found == ["NaN", ["Infinity", "-Infinity"], [[1.0], [2.0]]]
