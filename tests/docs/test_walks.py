"""The walks of CONTRIBUTING lead where they say: their code is written down, registered and used.

Each in a process of its own, since what is registered stays registered.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

OPERATOR = """
import unary, mix
x, y = rng.standard_normal((2, 3)).astype("f4"), rng.standard_normal(3).astype("f4")
graph = sx.from_text('''graph g {
  opset "" 20
  input x: float32[N, 3]
  input y: float32[3]
  c = Cube(x)
  z = Mix<share=0.25>(c, y)
  output z
}''')
session = sx.InferenceSession(graph)
assert session.gaps() == []
(z,) = session.run(None, {"x": x, "y": y})
np.testing.assert_allclose(z, 0.25 * x**3 + 0.75 * y, rtol=1e-5)
"""
SCALAR = """
import softsign
from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, unary
from sardonyx.ops.base.element import Unary

class Soft(Unary):
    "softsign"
    since = 1

    def compute(self, x: Array) -> Array:
        return x / (1 + abs(x))

    def element(self, x: Expr) -> Expr:
        return unary("softsign", x)

graph = sx.from_text("graph g { opset \\"\\" 20 input x: float32[N] y = Soft(x) output y }")
session = sx.InferenceSession(graph)
assert session.gaps() == []
x = rng.standard_normal(1000).astype("f4")
(y,) = session.run(None, {"x": x})
np.testing.assert_allclose(y, x / (1 + abs(x)), rtol=2e-7)
"""
PASS = """
import itself
from sardonyx.passes import pipeline
graph = sx.from_text('''graph g {
  opset "" 20
  input x: float32[N]
  input y: float32[N]
  m = Max(x, x)
  n = Min(m, y)
  z = Neg(n)
  output z
}''')
def types(made):
    return [n.op.op_type for n in made.graph.nodes]
assert types(pipeline.optimize(graph)) == ["Max", "Min", "Neg"]
pipeline.LEVELS["all"] += (itself.ITSELF,)
made = pipeline.optimize(graph)
assert types(made) == ["Min", "Neg"]
rows = {(r.op, r.reason) for r in made.log.records if r.rule == "largest of itself"}
assert rows == {("Max", ""), ("Min", "its inputs differ")}
"""
FORMAT = """
import text
from sardonyx import formats
formats.FORMATS += (text,)
graph = sx.from_text("graph g { opset \\"\\" 20 input x: float32[N] y = Relu(x) output y }")
sx.save(graph, "net.graph")
assert open("net.graph").read().startswith("graph ")
again = sx.load("net.graph")
assert sx.to_text(again) == sx.to_text(graph)
sx.save(again, "net.onnx")
assert sx.load("net.onnx").nodes[0].op.op_type == "Relu"
"""
PROVIDER = """
graph = sx.from_text("graph g { opset \\"\\" 20 input x: float32[N] y = Relu(x) output y }")
assert "ToldExecutionProvider" in sx.get_available_providers()
for name in ("told", "ToldExecutionProvider"):
    session = sx.InferenceSession(graph, providers=[name])
    (y,) = session.run(None, {"x": np.array([-1.0, 2.0], np.float32)})
    assert y.tolist() == [0.0, 2.0]
print(session.get_providers())
"""
COMMAND = """
from sardonyx.cli import commands, main
graph = sx.from_text("graph g { opset \\"\\" 20 input x: float32[N] y = Relu(x) output y }")
sx.save(graph, "net.onnx")
commands.__path__.append(".")
assert main.run(["count", "net.onnx"]) == 0
assert main.run(["count", "net.onnx", "--json"]) == 0
"""


def blocks(walk: str, language: str) -> list[str]:
    """The blocks of a section in a language."""
    section = TEXT.partition(f"## How to add {walk}\n")[2].partition("\n## ")[0]
    return [code for kind, code in BLOCK.findall(section) if kind == language]


def follow(walk: str, use: str, folder: Path) -> str:
    """Writes the modules of a walk into a folder and uses them there; what was printed."""
    found = blocks(walk, "python")
    assert found
    for code in found:
        head = re.match(r"# ([\w/]+)\.py\n", code)
        assert head is not None, code
        room = ROOT / "src" / "sardonyx" / Path(head[1]).parent
        assert (room / "__init__.py").is_file(), head[1]
        folder.joinpath(Path(head[1]).name + ".py").write_text(code, encoding="utf-8")
    folder.joinpath("use.py").write_text(
        "import numpy as np\nimport sardonyx as sx\nrng = np.random.default_rng(0)\n" + use,
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "use.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "SARDONYX_CACHE": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("walk", "use"),
    [
        ("an operator", OPERATOR),
        ("a scalar operation", SCALAR),
        ("a pass", PASS),
        ("a format", FORMAT),
    ],
)
def test_walk(walk: str, use: str, tmp_path: Path) -> None:
    follow(walk, use, tmp_path)


def test_a_provider_of_another_package(tmp_path: Path) -> None:
    (text,) = blocks("a provider", "toml")
    points = tomllib.loads(text)["project"]["entry-points"]
    held = tmp_path / "told-1.0.dist-info"
    held.mkdir()
    (held / "METADATA").write_text("Metadata-Version: 2.1\nName: told\nVersion: 1.0\n")
    lines = [f"[{group}]\n{n} = {v}" for group, row in points.items() for n, v in row.items()]
    (held / "entry_points.txt").write_text("\n".join(lines))
    said = follow("a provider", PROVIDER, tmp_path)
    assert said.splitlines() == ["{'x': (2,)}"] * 2 + ["['ToldExecutionProvider']"]


def test_a_command(tmp_path: Path) -> None:
    said = follow("a command", COMMAND, tmp_path)
    assert said.startswith("1 nodes\n")
    assert '"nodes": 1' in said
