"""Frameworks that cannot live beside others: a source in an interpreter of its own.

interpreter(framework)   made once by uv from pinned requirements, in the user's cache
Remote                   a source here, whose every answer comes from there
serve(open)              what runs there: one JSON message a line, in and out
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from sardonyx.convert.recipe import Recipe, array_read, array_told
from sardonyx.convert.source import (
    Controls,
    Exported,
    Feeds,
    Fixed,
    Framework,
    Input,
    Outputs,
    Remark,
    Request,
    Sample,
    Source,
    Trial,
)
from sardonyx.core import errors
from sardonyx.core.dim import parse_spec
from sardonyx.core.errors import ConvertError, SardonyxError, UsageError
from sardonyx.core.knobs import CACHE_DIR

_PACKAGE = Path(__file__).parents[1]
_OWN = ("numpy", "ml_dtypes", "llvmlite", "click", "rich")
# Loads this package from where it lies, without what else is installed beside it.
_START = """\
import importlib.util, sys
spec = importlib.util.spec_from_file_location(
    "sardonyx", {init!r}, submodule_search_locations=[{folder!r}])
sys.modules["sardonyx"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from sardonyx.convert.recognise import serve_source
serve_source()
"""


def interpreter(framework: Framework, told: Callable[[str], None] = lambda _: None) -> Path:
    """The Python that has a framework's `environment`; `told` hears when it must be made first.

    ConvertError (E0611) where uv is missing or fails.
    """
    version = ".".join(map(str, sys.version_info[:2]))
    wanted = (*framework.environment, *_OWN)
    key = hashlib.sha256("\n".join((version, *wanted)).encode()).hexdigest()[:16]
    folder = CACHE_DIR.get() / "environments" / f"{framework.name.lower()}-{key}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (folder / ".ready").exists():
        return python
    told(f"making an environment for {framework.name}, once: {', '.join(framework.environment)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--quiet", "--python", str(python), *wanted)
    (folder / ".ready").touch()
    return python


def _uv(*words: str) -> None:
    """Runs uv; ConvertError (E0611)."""
    command = _command()
    if command is None:
        raise ConvertError(
            "E0611",
            "uv, which makes isolated environments, is missing",
            hint="pip install uv; or --in-process, with the framework installed here",
        )
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise ConvertError("E0611", f"uv {words[0]} failed: {said}")


def _command() -> list[str] | None:
    """How uv is called: as a program on the path, or as a package; None where it is neither."""
    found = shutil.which("uv")
    if found is not None:
        return [found]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else None


class Remote(Source):
    """A model that is loaded, run and exported by another interpreter; closed by `close`.

    `where` is a path or place as `recognise.source_of` takes it. Raises what is raised there, and
    ConvertError (E0611) where that interpreter ends.
    """

    def __init__(self, python: Path, where: str, request: Request, trust: bool) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        code = _START.format(init=str(_PACKAGE / "__init__.py"), folder=str(_PACKAGE))
        self._child = subprocess.Popen(
            [str(python), "-I", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            told = self._ask("open", where=where, request=_request_told(request), trust=trust)
        except BaseException:
            self.close()
            raise
        self.framework = told["framework"]  # type: ignore[misc]
        self.inputs = [_input_read(x) for x in told["inputs"]]
        self.preferred = told["preferred"]
        self._provenance = told["provenance"]

    def _ask(self, what: str, **words: Any) -> Any:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps({"do": what, **words}) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._log.seek(0)
            said = (self._log.read().strip().splitlines() or ["it gave no reason"])[-1]
            raise ConvertError("E0611", f"the isolated interpreter ended: {said[:300]}")
        answer = json.loads(line)
        if "error" in answer:
            raise _error_read(answer["error"])
        return answer["ok"]

    def run(self, feeds: Feeds) -> Outputs:
        return _outputs_read(self._ask("run", feeds=_arrays_told(feeds)))

    def exact(self, feeds: Feeds) -> Outputs | None:
        found = self._ask("exact", feeds=_arrays_told(feeds))
        return None if found is None else _outputs_read(found)

    def sample(self, sizes: Mapping[str, int], seed: int) -> dict[str, Sample]:
        found = self._ask("sample", sizes=dict(sizes), seed=seed)
        return {name: _sample_read(x) for name, x in found.items()}

    def trials(self) -> Iterable[Trial]:
        for told in self._ask("trials"):
            inputs = {name: _sample_read(x) for name, x in told["inputs"].items()}
            yield Trial(told["name"], inputs, told["made_up"])

    def export(self, folder: Path, sizes: Mapping[str, int]) -> Exported:
        told = self._ask("export", folder=str(folder), sizes=dict(sizes))
        remarks = [Remark(**r) for r in told["remarks"]]
        fixed = [
            Fixed(f["condition"], f["source"], frozenset((n, a) for n, a in f["axes"]))
            for f in told["fixed"]
        ]
        return Exported(Path(told["model"]), remarks, fixed, tuple(told["outputs"]))

    def provenance(self) -> dict[str, str]:
        return dict(self._provenance)

    def close(self) -> None:
        if self._child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it may have ended in the middle of a word
                self._child.stdin.close()
        self._child.wait(timeout=60)
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._log.close()


def serve(source_of: Callable[[str, Request, bool], Source]) -> None:
    """Answers the messages of a `Remote` until there are no more; other prints go to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    source: Source | None = None
    for line in sys.stdin:
        told = json.loads(line)
        try:
            if told["do"] == "open":
                source = source_of(told["where"], _request_read(told["request"]), told["trust"])
                answer: Any = _described(source)
            else:
                assert source is not None
                answer = _ANSWERS[told["do"]](source, told)
            _say(answers, {"ok": answer})
        except SardonyxError as error:
            _say(answers, {"error": error.to_dict()})


def _say(stream: TextIO, told: Any) -> None:
    stream.write(json.dumps(told) + "\n")
    stream.flush()


def _described(source: Source) -> dict[str, Any]:
    return {
        "framework": source.framework,
        "inputs": [
            {"spec": str(i.spec), "values": list(i.values), "missing": i.missing}
            for i in source.inputs
        ],
        "preferred": dict(source.preferred),
        "provenance": source.provenance(),
    }


def _run(source: Source, told: Any) -> Any:
    return _outputs_told(source.run(_arrays_read(told["feeds"])))


def _exact(source: Source, told: Any) -> Any:
    found = source.exact(_arrays_read(told["feeds"]))
    return None if found is None else _outputs_told(found)


def _sample(source: Source, told: Any) -> Any:
    return _samples_told(source.sample(told["sizes"], told["seed"]))


def _trials(source: Source, told: Any) -> Any:
    del told
    return [
        {"name": t.name, "inputs": _samples_told(t.inputs), "made_up": t.made_up}
        for t in source.trials()
    ]


def _export(source: Source, told: Any) -> Any:
    folder = Path(told["folder"])
    made = source.export(folder, told["sizes"])
    model = made.model
    if isinstance(model, bytes):
        path = folder / "model.onnx"
        path.write_bytes(model)
        model = path
    fixed = [
        {"condition": f.condition, "source": f.source, "axes": sorted(f.axes)} for f in made.fixed
    ]
    remarks = [r.to_dict() for r in made.remarks]
    outputs = list(made.outputs)
    return {"model": str(model), "remarks": remarks, "fixed": fixed, "outputs": outputs}


_ANSWERS: dict[str, Callable[[Source, Any], Any]] = {
    "run": _run,
    "exact": _exact,
    "sample": _sample,
    "trials": _trials,
    "export": _export,
}


def _arrays_told(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: array_told(x) for name, x in arrays.items()}


def _arrays_read(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: array_read(x) for name, x in told.items()}


def _samples_told(samples: Mapping[str, Sample]) -> dict[str, Any]:
    return {n: x.to_dict() if isinstance(x, Recipe) else array_told(x) for n, x in samples.items()}


def _sample_read(told: dict[str, Any]) -> Sample:
    return Recipe.from_dict(told) if "kind" in told else array_read(told)


def _outputs_told(found: Outputs) -> Any:
    if isinstance(found, Mapping):
        return _arrays_told(found)
    return [array_told(x) for x in found]


def _outputs_read(told: Any) -> Outputs:
    return _arrays_read(told) if isinstance(told, dict) else [array_read(x) for x in told]


def _input_read(told: Mapping[str, Any]) -> Input:
    spec = parse_spec(told["spec"])
    return replace(Input.of(spec), values=tuple(told["values"]), missing=told["missing"])


def _request_told(request: Request) -> dict[str, Any]:
    if request.example is not None or request.controls.translations is not None:
        raise UsageError(
            "E0612", "examples and translations are objects of this process", hint="--in-process"
        )
    sizes = {n: [s.start, s.stop] if isinstance(s, range) else s for n, s in request.sizes.items()}
    controls = {name: getattr(request.controls, name) for name in request.controls.given()}
    data = None if request.data is None else _arrays_told(request.data)
    return {
        "specs": list(map(str, request.specs)),
        "data": data,
        "sizes": sizes,
        "controls": controls,
    }


def _request_read(told: Mapping[str, Any]) -> Request:
    controls: dict[str, Any] = {
        n: tuple(x) if isinstance(x, list) else x for n, x in told["controls"].items()
    }
    sizes = {n: range(*s) if isinstance(s, list) else s for n, s in told["sizes"].items()}
    return Request(
        specs=tuple(map(parse_spec, told["specs"])),
        data=None if told["data"] is None else _arrays_read(told["data"]),
        sizes=sizes,
        controls=Controls(**controls),
    )


def _error_read(told: dict[str, Any]) -> SardonyxError:
    kind = getattr(errors, told.pop("type"), ConvertError)
    code, message = told.pop("code"), told.pop("message")
    del told["exit_code"]
    found: SardonyxError = kind(code, message, **told)
    return found
