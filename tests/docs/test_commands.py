"""The command line and its pages know each other, option by option."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sardonyx.cli.main import app

ROOT = Path(__file__).parent.parent.parent
PAGES = ROOT / "docs" / "commands"
FENCE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _commands() -> dict[str, click.Command]:
    assert isinstance(app, click.Group)
    context = click.Context(app)
    found: dict[str, click.Command] = {}
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        assert command is not None
        found[name] = command
    return found


COMMANDS = _commands()


def _examples() -> Iterator[tuple[str, list[str]]]:
    """Every `$ sardonyx …` line of the documents, with the document's name."""
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = document.read_text(encoding="utf-8")
        for block in FENCE.findall(text):
            for line in block.splitlines():
                if line.startswith("$ sardonyx "):
                    words = shlex.split(line[2:], comments=True)
                    yield str(document.relative_to(ROOT)), words


EXAMPLES = list(_examples())
LABELS = [f"{place}: {' '.join(words)}" for place, words in EXAMPLES]


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_a_page_with_an_example(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# sardonyx {name}\n")
    assert f"$ sardonyx {name}" in text


def test_every_page_is_about_a_command() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")}
    assert pages <= set(COMMANDS)


@pytest.mark.parametrize(("place", "words"), EXAMPLES, ids=LABELS)
def test_example_uses_options_that_exist(place: str, words: list[str]) -> None:
    verb = words[1]
    if verb.startswith("-"):
        return
    assert verb in COMMANDS, f"{place}: no such command"
    command = COMMANDS[verb]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    used = {word.partition("=")[0] for word in words[2:] if word.startswith("-")}
    assert used <= known | {"--help"}, f"{place}: no such option"
