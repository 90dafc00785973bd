"""The exception tree: printed form, codes, exit codes, harmless rendering, pickling."""

import copy
import re
from pathlib import Path

import onnxruntime
import pytest

from sardonyx.core import errors
from sardonyx.core.codes import explanations
from sardonyx.core.errors import InvalidArgument, LimitExceeded, SardonyxError
from sardonyx.core.escape import sanitise

SOURCE = Path(errors.__file__).parents[1]


def kinds(root: type[SardonyxError] = SardonyxError) -> list[type[SardonyxError]]:
    """Every class of the tree."""
    return [root, *(k for child in root.__subclasses__() for k in kinds(child))]


def test_the_printed_form() -> None:
    error = InvalidArgument(
        "E0203",
        "input `pixel_values` is float64, the model wants float32",
        file="model.onnx",
        where="input 0, first used by node 3 `/conv1/Conv`",
        given="float64[1,3,224,224]",
        wanted="float32[N,3,224,224]",
        hint="pass x.astype(np.float32)",
    )
    assert error.render() == str(error)
    assert error.render() == (
        "error[E0203]: input `pixel_values` is float64, the model wants float32\n"
        "  --> model.onnx, input 0, first used by node 3 `/conv1/Conv`\n"
        "   = given  float64[1,3,224,224]     wanted  float32[N,3,224,224]\n"
        "   help: pass x.astype(np.float32)"
    )


def test_the_place_in_parts() -> None:
    error = SardonyxError("E0403", "bad", node="/a", op="Add", tensor="x", source="net.py:3")
    assert error.render() == (
        "error[E0403]: bad\n  --> tensor `x`, node `/a` (Add)\n   at net.py:3"
    )
    assert SardonyxError("E0403", "bad").render() == "error[E0403]: bad"
    assert "operator Add" in SardonyxError("E0403", "bad", op="Add").render()


def test_the_same_as_data() -> None:
    error = LimitExceeded("E0503", "too many", node="n", given=3, hint="less")
    assert error.to_dict() == {
        "type": "LimitExceeded", "code": "E0503", "message": "too many", "exit_code": 4,
        "node": "n", "given": "3", "hint": "less",
    }  # fmt: skip


def test_locate_fills_only_what_is_unknown() -> None:
    error = SardonyxError("E0403", "bad", node="inner")
    assert error.locate(node="outer", file="m.onnx") is error
    assert (error.node, error.file) == ("inner", "m.onnx")
    with pytest.raises(TypeError):
        error.locate(colour="red")


@pytest.mark.parametrize("kind", kinds(), ids=lambda k: k.__name__)
def test_every_kind_survives_copying_between_processes(kind: type[SardonyxError]) -> None:
    error = kind("E0403", "bad", node="n", hint="mend")
    again = copy.deepcopy(error)
    assert type(again) is kind
    assert again.to_dict() == error.to_dict()
    assert kind.exit_code in (1, 2, 3, 4, 70, 130)
    assert kind.__name__ in (errors.__doc__ or "") or kind is SardonyxError


def test_names_are_those_of_onnx_runtime() -> None:
    state = onnxruntime.capi.onnxruntime_pybind11_state
    theirs = {
        name
        for name in dir(state)
        if isinstance(getattr(state, name), type) and issubclass(getattr(state, name), Exception)
    }
    assert theirs
    assert theirs <= {k.__name__ for k in kinds()}


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J", "\x1b]0;title\x07", "a\rb", "a\nerror[E0000]: x", "\u202eabc", "\udcff", "\x00"],
)
def test_what_a_terminal_would_obey_is_escaped(text: str) -> None:
    assert sanitise(text).isprintable()
    error = SardonyxError("E0403", text, node=text, tensor=text, given=text, wanted=text, hint=text,
                          file=text, op=text, where=text, source=text)  # fmt: skip
    lines = error.render().split("\n")
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if line.startswith("error[")] == [lines[0]]


def test_long_text_is_cut() -> None:
    assert len(sanitise("x" * 1_000_000)) < 2100
    assert sanitise("naïve ∂") == "naïve ∂"


def raised() -> set[str]:
    """Every code that the source mentions."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        found |= set(re.findall(r'"(E\d{4})"', path.read_text(encoding="utf-8")))
    return found


def test_every_code_is_explained_and_every_explanation_is_of_a_code() -> None:
    assert raised() - set(explanations()) == set(), "codes without a row in core/codes.toml"
    assert set(explanations()) - raised() == set(), "rows of core/codes.toml that nothing raises"


def test_explanations_are_sentences() -> None:
    for code, row in explanations().items():
        assert re.fullmatch(r"E0\d{3}", code)
        assert row.title, code
        assert not row.title.endswith("."), code
        assert row.meaning.endswith("."), code
        assert row.mend.endswith("."), code
