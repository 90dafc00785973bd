"""Writes what others say of every version of every operator: their types, attributes, arities.

    python tools/generate_schema_table.py [--check]

tests/ops/schemas.json is what the `onnx` package says of the standard, and
tests/ops/schemas_microsoft.json what `onnxruntime` says of the domain com.microsoft. With --check
nothing is written; the exit status is 1 where a file is out of date.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "ops"


def plain(value: Any) -> Any:
    """A default value as JSON has it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def attribute(found: Any) -> dict[str, Any]:
    """One attribute: its type, whether it is required, and its default where it has one."""
    from onnx import AttributeProto
    from onnx.helper import get_attribute_value

    raw = getattr(found, "_default_value", None)
    default = found.default_value if raw is None else AttributeProto.FromString(raw)
    row: dict[str, Any] = {"type": found.type.name, "required": bool(found.required)}
    if default.name:
        row["default"] = plain(get_attribute_value(default))
    return row


def schema(found: Any) -> dict[str, Any]:
    """One version of one operator."""
    inputs, outputs = (
        [getattr(i, "type_str", None) or i.typeStr for i in side]
        for side in (found.inputs, found.outputs)
    )
    return {
        "domain": found.domain,
        "name": found.name,
        "since": found.since_version,
        "attributes": {name: attribute(a) for name, a in sorted(found.attributes.items())},
        "inputs": [found.min_input, found.max_input, *inputs],
        "outputs": [found.min_output, found.max_output, *outputs],
        "deprecated": bool(found.deprecated),
    }


def text(schemas: Iterable[Any]) -> str:
    """A file's text: one line for each version."""
    rows = [schema(s) for s in schemas]
    rows.sort(key=lambda r: (r["domain"], r["name"], r["since"]))
    return "[\n" + ",\n".join(json.dumps(r, sort_keys=True) for r in rows) + "\n]\n"


def microsoft() -> list[Any]:
    """The schemas of com.microsoft."""
    import os

    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    return [s for s in get_all_operator_schema() if s.domain == "com.microsoft"]


def main() -> int:
    """Writes the tables, or compares them."""
    from onnx import defs

    tables = {
        "schemas.json": text(defs.get_all_schemas_with_history()),
        "schemas_microsoft.json": text(microsoft()),
    }
    if "--check" in sys.argv[1:]:
        return int(any((FOLDER / n).read_text(encoding="utf-8") != t for n, t in tables.items()))
    for name, table in tables.items():
        (FOLDER / name).write_text(table, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
