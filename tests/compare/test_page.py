"""The report of a comparison: everything is in it, nothing is fetched, no name becomes markup."""

import json
import re
from pathlib import Path

import pytest

from sardonyx.cli.main import main
from sardonyx.compare import compare, to_html
from sardonyx.formats import save
from session.models import AFFINE, graph

EVIL = "<script>alert(1)</script>"


def test_the_page_holds_verdict_figures_value_and_cause() -> None:
    found = compare(graph(AFFINE), graph(AFFINE.replace("5.0, 6.0", "5.0, 6.5")))
    page = to_html(found)
    for text in ("does not agree", "other parameters", "first side", "SNR", "N=7", "product"):
        assert text in page
    assert not re.search(r"(?i)<script|<link|<img|@import|url\(|https?://", page)
    assert "default-src 'none'" in page


def test_names_are_escaped() -> None:
    made = graph(AFFINE.replace("5.0, 6.0", "5.0, 6.5"))
    made.nodes[0].name = made.nodes[0].outputs[0].name = EVIL  # type: ignore[union-attr]
    made.name = EVIL
    page = to_html(compare(graph(AFFINE), made))
    assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_the_command_writes_it(tmp_path: Path) -> None:
    save(graph(AFFINE), tmp_path / "a.onnx")
    save(graph(AFFINE.replace("6.0", "7.0")), tmp_path / "b.onnx")
    page = tmp_path / "report.html"
    given = ["compare", str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx"), "--html", str(page)]
    with pytest.raises(SystemExit) as caught:
        main(given)
    assert caught.value.code == 1
    assert page.read_text().startswith("<!doctype html>")


def test_the_data_are_complete() -> None:
    told = compare(graph(AFFINE), graph(AFFINE.replace("6.0", "7.0"))).to_dict()
    json.dumps(told)
    assert told["reasons"][0]["cause"] == "other parameters"
    assert {"snr", "top5"} <= set(told["rows"][0])
    assert {"low", "high", "mean", "spread", "strange"} == set(told["divergence"]["a"])
