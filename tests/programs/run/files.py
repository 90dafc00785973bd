"""magika: the content types of files made here."""

import io
import json
import zipfile
from collections.abc import Iterator

from magika import Magika


def samples() -> Iterator[bytes]:
    yield (
        b"#!/usr/bin/env python3\nimport os\n\ndef main():\n    print(os.getcwd())\n\nmain()\n" * 3
    )
    yield (
        b"<!DOCTYPE html><html><head><title>x</title></head><body><p>hello</p></body></html>\n" * 4
    )
    yield json.dumps({"a": [1, 2, {"b": "c"}], "names": ["x"] * 40}).encode()
    yield b"name,age,city\n" + b"".join(b"p%d,%d,Paris\n" % (i, 20 + i) for i in range(60))
    yield b'#include <stdio.h>\nint main(void) { printf("hi\\n"); return 0; }\n' * 5
    yield b"SELECT a, b FROM t WHERE a > 3 ORDER BY b;\n" * 12
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x.txt", (2020, 1, 1, 0, 0, 0)), "hello" * 100)
    yield held.getvalue()
    yield b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


found = [Magika().identify_bytes(data) for data in samples()]
told = [(f.output.label, f.prediction.dl.label, float(f.prediction.score)) for f in found]
print(json.dumps(told))
