"""The user's own source line that a node came from, where the exporter wrote it down."""

from __future__ import annotations

import re

from sardonyx.graph.ir import Node

STACK = "pkg.torch.onnx.stack_trace"
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_LIBRARIES = ("site-packages", "dist-packages", "/lib/python", "<frozen", "<eval_with_key>")


def source_line(node: Node) -> str | None:
    """`net.py:12 in forward: y = self.conv(x)`, or None where the model does not tell.

    The innermost frame of the recorded stack that is not a library's, else the innermost one.
    """
    stack = node.meta.get(STACK, "")
    lines = stack.splitlines()
    frames = [(n, m) for n, line in enumerate(lines) if (m := _FRAME.search(line))]
    if not frames:
        return None
    own = [f for f in frames if not any(part in f[1].group(1) for part in _LIBRARIES)]
    n, match = (own or frames)[-1]
    said = f"{match.group(1)}:{match.group(2)} in {match.group(3)}"
    after = lines[n + 1].strip() if n + 1 < len(lines) else ""
    code = "" if not after or _FRAME.search(after) or set(after) <= set("~^ ") else after
    return f"{said}: {code}" if code else said
