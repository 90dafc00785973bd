"""Writes tests/ops/schemas.json: what the `onnx` package says of every version of every operator.

    python tools/generate_schema_table.py [--check]

With --check nothing is written; the exit status is 1 where the file is out of date.
"""

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "tests" / "ops" / "schemas.json"


def plain(value: Any) -> Any:
    """A default value as JSON has it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def attribute(found: Any) -> dict[str, Any]:
    """One attribute: its type, whether it is required, and its default where it has one."""
    from onnx.helper import get_attribute_value

    row: dict[str, Any] = {"type": found.type.name, "required": bool(found.required)}
    if found.default_value.name:
        row["default"] = plain(get_attribute_value(found.default_value))
    return row


def schema(found: Any) -> dict[str, Any]:
    """One version of one operator."""
    return {
        "domain": found.domain,
        "name": found.name,
        "since": found.since_version,
        "attributes": {name: attribute(a) for name, a in sorted(found.attributes.items())},
        "inputs": [found.min_input, found.max_input, *(i.type_str for i in found.inputs)],
        "outputs": [found.min_output, found.max_output, *(o.type_str for o in found.outputs)],
        "deprecated": bool(found.deprecated),
    }


def table() -> str:
    """The file's text: one line for each version."""
    from onnx import defs

    rows = [schema(s) for s in defs.get_all_schemas_with_history()]
    rows.sort(key=lambda r: (r["domain"], r["name"], r["since"]))
    return "[\n" + ",\n".join(json.dumps(r, sort_keys=True) for r in rows) + "\n]\n"


def main() -> int:
    """Writes the table, or compares it."""
    text = table()
    if "--check" in sys.argv[1:]:
        return int(TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
