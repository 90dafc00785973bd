"""Node cases at other opsets: valid, the same by reference, and in ONNX Runtime where it can."""

from __future__ import annotations

import hashlib

import pytest

from conformance import node_cases, upgrades
from conformance.test_onnx_passes import NAMES, load

OLDER = (26, 24, 22, 20, 18, 16, 13, 12, 11, 10, 9, 8, 7)
NEWEST = 28
# ONNX Runtime's Dropout of opsets 10 and 11 says of every element that it was dropped.
DIFFERENT = {"test_dropout_default_mask"}
OWN = [name for name in NAMES if upgrades.opset_of(name) is not None]
SHARE = 24


def chosen(name: str, opset: int) -> bool:
    """A share of the pairs, the same in every run."""
    digest = hashlib.blake2b(f"{name} {opset}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % SHARE == 0


def pairs(share: bool) -> list[tuple[str, int]]:
    """Cases with the opsets that they are moved to."""
    found = []
    for name in OWN:
        now = upgrades.opset_of(name)
        targets = [n for n in (*OLDER, NEWEST) if n != now]
        found += [(name, n) for n in targets if chosen(name, n) == share]
    return found


def valid(name: str, opset: int) -> None:
    """Moves a case and asks the standard's checker."""
    onnx = pytest.importorskip("onnx")
    from sardonyx import formats

    made = upgrades.moved(name, opset)
    if not isinstance(made, str):
        onnx.checker.check_model(formats.to_bytes(made))


@pytest.mark.parametrize(("name", "opset"), pairs(share=True))
def test_a_case_moves_or_is_refused(name: str, opset: int) -> None:
    valid(name, opset)


@pytest.mark.exhaustive
@pytest.mark.parametrize("opset", [*OLDER, NEWEST])
def test_every_case_moves_or_is_refused(opset: int) -> None:
    wrong = []
    for name in OWN:
        if upgrades.opset_of(name) == opset:
            continue
        try:
            valid(name, opset)
        except Exception as error:  # noqa: BLE001 - all are listed
            wrong.append(f"{name}: {error}"[:200])
    assert not wrong


@pytest.mark.exhaustive
@pytest.mark.parametrize("opset", [18, 13, 11])
def test_onnxruntime_gives_the_same_as_before(opset: int) -> None:
    pytest.importorskip("onnxruntime")
    wrong, ran = [], 0
    for name in OWN:
        made = upgrades.moved(name, opset) if upgrades.opset_of(name) != opset else ""
        if isinstance(made, str) or any(op.random for op in node_cases.ops_of(made)):
            continue
        found = upgrades.outside(name, made)
        ran += found is not None
        if found is False and upgrades.outside(name, load(name)[0]):
            wrong.append(name)
    assert ran > 500
    assert set(wrong) <= DIFFERENT
