"""The user's own source line that a node came from, where the exporter wrote it down."""

from __future__ import annotations

import re

from sardonyx.graph.ir import Node

STACK = "pkg.torch.onnx.stack_trace"
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_INSTALLED = ("site-packages", "dist-packages", "/lib/python", "<")


def source_line(node: Node) -> str | None:
    """`net.py:12 in forward: y = self.conv(x)`, or None where the model does not tell.

    The innermost frame of the recorded stack that lies in no installed package; where all do, the
    innermost one outside PyTorch.
    """
    return innermost(node.meta.get(STACK, ""))


def innermost(stack: str) -> str | None:
    """The same for a stack printed by Python."""
    lines = stack.splitlines()
    frames = [(n, m) for n, line in enumerate(lines) if (m := _FRAME.search(line))]
    outside = [f for f in frames if not is_framework(f[1].group(1))]
    own = [f for f in outside if not is_installed(f[1].group(1))]
    if not outside:
        return None
    n, match = (own or outside)[-1]
    said = f"{match.group(1)}:{match.group(2)} in {match.group(3)}"
    after = lines[n + 1].strip() if n + 1 < len(lines) else ""
    code = "" if _FRAME.search(after) or set(after) <= set("~^ ") else after
    return f"{said}: {code}" if code else said


def frames(stack: str) -> list[tuple[str, int, str]]:
    """The (path, line, function) of a stack printed by Python, the outermost first."""
    return [(m.group(1), int(m.group(2)), m.group(3)) for m in _FRAME.finditer(stack)]


def is_installed(path: str) -> bool:
    """Whether a source file belongs to Python or to an installed package."""
    return any(part in path for part in _INSTALLED)


def is_exporter(path: str) -> bool:
    """Whether a source file belongs to what calls a module in order to export it."""
    return is_installed(path) and any(f"/torch/{part}" in path for part in ("onnx/", "jit/"))


def is_framework(path: str) -> bool:
    """Whether a source file belongs to PyTorch or its exporter, or is none at all."""
    return path.startswith(("torch/", "<")) or any(
        f"/{name}/" in path and is_installed(path) for name in ("torch", "onnxscript")
    )
