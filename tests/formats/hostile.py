"""Models with a tensor in any place that the tables allow, and folders full of traps."""

import os
from dataclasses import dataclass
from pathlib import Path

from sardonyx.formats.encode import encode
from sardonyx.formats.message import Message
from sardonyx.formats.onnx_tables import MESSAGES

MARKER = b"SECRET-0123456789-SECRET-0123456"
INSIDE = b"inside-0123456789-inside-0123456"

Position = tuple[str, ...]


def positions(target: str = "TensorProto") -> list[Position]:
    """Every path of field names from ModelProto to a tensor, each kind at most twice on a path."""
    found: list[Position] = []
    stack: list[tuple[str, Position, tuple[str, ...]]] = [("ModelProto", (), ())]
    while stack:
        kind, path, kinds = stack.pop()
        if kind == target:
            found.append(path)
            continue
        stack.extend(
            (row.target, (*path, row.name), (*kinds, row.target))
            for row in MESSAGES[kind]
            if row.kind == "message" and kinds.count(row.target) < 2
        )
    return sorted(found)


def external(location: str | None, **keys: str) -> Message:
    """A uint8[32] tensor named `w` whose data lie at `location`."""
    pairs = dict(keys) if location is None else {"location": location, **keys}
    entries = [Message("StringStringEntryProto", {"key": k, "value": v}) for k, v in pairs.items()]
    return Message(
        "TensorProto",
        {"dims": [32], "data_type": 2, "name": "w", "external_data": entries, "data_location": 1},
    )


def model_with(tensor: Message, position: Position = ("graph", "initializer")) -> bytes:
    """An encoded model that holds `tensor` at that place, all else as small as can be."""
    rows = []
    kind = "ModelProto"
    for name in position:
        row = next(r for r in MESSAGES[kind] if r.name == name)
        rows.append((kind, row))
        kind = row.target
    inner = tensor
    for holder, row in reversed(rows):
        fields = _frame(holder, row.name)
        fields[row.name] = [inner] if row.repeated else inner
        if holder == "SparseTensorProto":
            other = "indices" if row.name == "values" else "values"
            fields[other] = _empty()
            fields["dims"] = [4]
        inner = Message(holder, fields)
    if "graph" not in inner.fields:
        inner.fields["graph"] = Message("GraphProto", {"name": "g"})
    return encode(inner)


def _empty() -> Message:
    return Message("TensorProto", {"dims": [0], "data_type": 7, "name": "w"})


_ATTRIBUTE_TYPES = {
    "t": 4, "g": 5, "sparse_tensor": 11, "tensors": 9, "graphs": 10, "sparse_tensors": 12,
    "tp": 13, "type_protos": 14,
}  # fmt: skip


def _frame(kind: str, child: str) -> dict[str, object]:
    match kind:
        case "ModelProto":
            return {"ir_version": 10}
        case "GraphProto":
            return {"name": "g"}
        case "NodeProto":
            return {"op_type": "Constant", "output": ["y"]}
        case "AttributeProto":
            return {"name": "value", "type": _ATTRIBUTE_TYPES[child]}
        case "FunctionProto":
            return {"name": "f", "domain": "d"}
    return {}


@dataclass
class Place:
    """A model's folder with files of every kind; `home` is the folder, `secret` lies outside."""

    home: Path
    secret: Path

    @property
    def model(self) -> Path:
        """Where the model file goes."""
        return self.home / "model.onnx"


def build_place(root: Path) -> Place:
    """The folder, with the traps that `TRAPS` names."""
    home, secret = root / "home", root / "secret.bin"
    (home / "sub").mkdir(parents=True)
    secret.write_bytes(MARKER)
    (home / "ok.bin").write_bytes(INSIDE)
    (home / "sub/ok.bin").write_bytes(INSIDE)
    (home / "within.bin").symlink_to("sub/ok.bin")
    (home / "link.bin").symlink_to("../secret.bin")
    (home / "chain.bin").symlink_to("link.bin")
    (home / "linkdir").symlink_to("..")
    (home / "zero").symlink_to("/dev/zero")
    (home / "loop").symlink_to("loop")
    os.mkfifo(home / "fifo")
    os.link(secret, home / "hard.bin")
    return Place(home, secret)


TRAPS = {
    "parent": "../secret.bin",
    "parent inside": "sub/../../secret.bin",
    "parent within": "sub/../ok.bin",
    "absolute": "{secret}",
    "device": "/dev/zero",
    "proc": "/proc/self/environ",
    "drive": "C:\\secret.bin",
    "drive slash": "C:/secret.bin",
    "backslash": "..\\secret.bin",
    "device path": "\\\\?\\secret.bin",
    "nul": "ok.bin\0",
    "newline": "ok.bin\n",
    "escape": "\x1b[2Jok.bin",
    "empty": "",
    "dot": ".",
    "slash": "/",
    "folder": "sub",
    "fifo": "fifo",
    "link": "link.bin",
    "chain of links": "chain.bin",
    "link to folder": "linkdir/secret.bin",
    "link to device": "zero",
    "loop of links": "loop",
    "file as folder": "ok.bin/x",
    "too long": "a" * 5000,
}
