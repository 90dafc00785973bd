"""The house keeps its own rules: packaging, import time, and no forbidden words in the wheel."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = re.compile(r"^\s*from sardonyx", re.MULTILINE)


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_import_brings_no_optional_package() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "openvino", "sklearn", "transformers", "llvmlite"}
    code = f"import sardonyx, sys; print(sorted({heavy!r} & set(sys.modules)))"
    assert _run(code) == "[]"


def test_import_is_quick() -> None:
    code = (
        "import time, numpy; start = time.process_time(); import sardonyx;"
        "print(time.process_time() - start)"
    )
    assert min(float(_run(code)) for _ in range(3)) < 0.15


def test_runtime_dependencies_are_the_agreed_five() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {row.split(">")[0] for row in project["dependencies"]}
    assert names == {"numpy", "ml_dtypes", "llvmlite", "click", "rich"}


def test_package_says_that_it_is_typed() -> None:
    assert (ROOT / "src" / "sardonyx" / "py.typed").exists()


def test_package_is_pure_python() -> None:
    kinds = {path.suffix for path in (ROOT / "src").rglob("*") if path.is_file()}
    assert not kinds & {".so", ".c", ".cc", ".cpp", ".pyx", ".pyd", ".o", ".a"}


def _faces(path: Path) -> Iterator[str]:
    """The packages that a module imports names from, and that import their own modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            face = ROOT / "src" / Path(*node.module.split("."), "__init__.py")
            if face.is_file() and re.search(OURS, face.read_text(encoding="utf-8")):
                yield node.module


def test_no_module_imports_from_a_face_that_imports_it() -> None:
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        if path.name != "__init__.py":
            found += [(name, face) for face in _faces(path) if name.startswith(f"{face}.")]
    assert found == []


def _top_level(path: Path) -> Iterator[str]:
    """What a module defines and nothing registers by a decorator or by subclassing."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        function = isinstance(node, ast.FunctionDef) and not node.decorator_list
        if function or (isinstance(node, ast.ClassDef) and "ops" not in path.parts):
            assert isinstance(node, ast.FunctionDef | ast.ClassDef)
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_nothing_in_the_wheel_is_out_of_reach() -> None:
    files = sorted((ROOT / "src").rglob("*.py"))
    words = Counter(w for f in files for w in re.findall(r"\w+", f.read_text(encoding="utf-8")))
    beside = "".join(f.read_text(encoding="utf-8") for f in (ROOT / "benchmarks").glob("*.py"))
    known = {*re.findall(r"\w+", beside), "__getattr__", "__dir__"}
    alone = [(str(f), n) for f in files for n in _top_level(f) if words[n] == 1 and n not in known]
    assert alone == []
