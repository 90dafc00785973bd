"""Runs the trained models that packages ship, and writes docs/trained-models.md.

    python tools/collect_models.py
    python tools/sweep_models.py [--only NAME] [--jobs 1]

Each model runs in a process of its own, within limits of time and memory, beside ONNX Runtime with
and without its optimizations, on seeded inputs. What was found of each is kept as JSON beside the
collected models; a model is run again when `--only` names it or nothing is known of it.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import collect_models
import exact_model
import model_feeds
from collect_models import Model

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "trained-models.md"
FOUND = collect_models.FOLDER / "found"
SECONDS, BYTES = 600, 12 << 30
TIMED = 1.5
# Differences are relative to the largest value; no noise counts as less than a float32's step.
FACTOR, STEP, NUDGES = 20.0, 2.0**-23, 3
MEANING = """\
A model agrees where it differs from ONNX Runtime at most twenty times as much as ONNX Runtime does
from itself (without its optimizations and on two threads, or with weights whose last bits differ:
`noise`), or where it is at most twice as far as ONNX Runtime from the model in float64. Where
numbers are rounded to integers on the way, one that falls to the other side moves all that follow.
Differences are relative to the largest value. `first` and `again` are the seconds of making a
session without and with the cache, and `speed` is how many runs of ours go into one of ONNX
Runtime's, on one thread; others were at work on the machine. What is in no float64 column rounds to
integers. `python tools/collect_models.py` fetches the models."""
HEADER = (
    "| package | model | nodes | apart | noise | from float64 | ONNX Runtime from float64 "
    "| host steps | first | again | speed | why not |"
)


def measure(path: Path) -> Iterator[tuple[str, Any]]:
    """What is found of a model, bit by bit: what came before a failure is known."""
    import onnx
    import onnxruntime

    import sardonyx

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    theirs = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    made = onnx.load(path)
    moved = [exact_model.nudged(made, seed).SerializeToString() for seed in range(NUDGES)]
    others = [onnxruntime.InferenceSession(m, options, ["CPUExecutionProvider"]) for m in moved]
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    others += [onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])]
    yield "nodes", sum(1 for _ in exact_model.nodes(made.graph))
    cases = list(model_feeds.cases(model_feeds.wanted(theirs.get_inputs()), accepts(theirs)))
    yield "sizes", [sizes for sizes, _ in cases]
    start = time.perf_counter()
    settings = sardonyx.SessionOptions()
    settings.intra_op_num_threads = 1
    ours = sardonyx.InferenceSession(path, settings)
    yield "create", time.perf_counter() - start
    for sizes, feeds in cases:
        yield "case", {"sizes": sizes, **compared(made, feeds, ours, theirs, others)}
    yield "gaps", [gap.to_dict() for gap in ours.gaps()]
    if cases:
        yield "speed", speed(cases[0][1], ours, theirs)


def accepts(session: Any) -> Callable[[model_feeds.Feeds], bool]:
    """Whether a session runs on feeds."""

    def run(feeds: model_feeds.Feeds) -> bool:
        try:
            session.run(None, feeds)
        except Exception:  # noqa: BLE001 - ONNX Runtime raises what it likes
            return False
        return True

    return run


def compared(
    model: Any, feeds: model_feeds.Feeds, ours: Any, theirs: Any, others: Sequence[Any]
) -> dict[str, Any]:
    """How far outputs are apart, relative to the largest value."""
    a, b = (s.run(None, feeds) for s in (theirs, ours))
    noise = [apart(a, s.run(None, feeds)) for s in others]
    found = {"apart": apart(a, b), "noise": max(noise), "noises": noise}
    try:
        exact = exact_model.outputs(model, feeds)
    except Exception as problem:  # noqa: BLE001 - not every operator has float64
        return {**found, "no_exact": str(problem)}
    if exact is None:
        return {**found, "no_exact": "it rounds to integers"}
    return {**found, "error": apart(exact, b), "their_error": apart(exact, a)}


def apart(a: list[Any], b: list[Any]) -> float:
    """The largest difference of floats over the largest value, of any other thing that differs 1.

    Integers that differ count as much: they are chosen, not rounded.
    """
    from sardonyx.compare.metrics import difference
    from sardonyx.compare.sides import paired

    most = 0.0
    for name, x, y in paired(a, b):
        x = x.astype(y.dtype) if getattr(x, "dtype", None) != getattr(y, "dtype", None) else x
        d = difference(name, x, y)
        whole = not d.is_float and d.differing > 0
        most = max(most, 1.0 if d.reason or whole else d.max_rel)
    return most


def speed(feeds: model_feeds.Feeds, ours: Any, theirs: Any) -> list[float]:
    """Seconds of a run of ours and of ONNX Runtime's, medians of runs in turns on one thread."""
    times: tuple[list[float], list[float]] = ([], [])
    until = time.perf_counter() + 2 * TIMED
    while time.perf_counter() < until or len(times[0]) < 3:
        for kept, session in zip(times, (ours, theirs), strict=True):
            start = time.perf_counter()
            session.run(None, feeds)
            kept.append(time.perf_counter() - start)
    return [statistics.median(kept[1:]) for kept in times]


def serve(path: Path, only_create: bool) -> None:
    """Says on standard output what is found of a model, one JSON object a line."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    try:
        for key, value in created(path) if only_create else measure(path):
            print(json.dumps({key: value}), flush=True)
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is what the row says
        print(json.dumps({"failed": f"{type(problem).__name__}: {problem}"}), flush=True)


def created(path: Path) -> Iterator[tuple[str, Any]]:
    """The seconds that a session takes from the cache."""
    import sardonyx

    start = time.perf_counter()
    sardonyx.InferenceSession(path)
    yield "again", time.perf_counter() - start


def examine(model: Model) -> dict[str, Any]:
    """What is found of a model in two processes; the second meets the cache of the first."""
    with tempfile.TemporaryDirectory() as cache:
        found = {"cases": [], **_child("--one", model, cache)}
        if "create" in found:
            found |= _child("--create", model, cache)
    kept = FOUND / f"{model.digest[:16]}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _child(way: str, model: Model, cache: str) -> dict[str, Any]:
    """What a process says, the runs as a list, and how it failed."""
    env = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "SARDONYX_CACHE_DIR": cache}
    command = [sys.executable, __file__, way, str(model.file)]
    found: dict[str, Any] = {}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=env, check=False, timeout=SECONDS
        )
        said = done.stdout
        if done.returncode:
            found["failed"] = f"the process ended with {done.returncode}"
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode()
        found["failed"] = f"not done after {SECONDS} seconds"
    for line in said.splitlines():
        for key, value in json.loads(line).items():
            if key == "case":
                found.setdefault("cases", []).append(value)
            else:
                found[key] = value
    return found


def verdict(found: Mapping[str, Any]) -> str:
    """Why a model is not as it should be; empty where it is."""
    if "failed" in found:
        return str(found["failed"]).splitlines()[0]
    if not found["cases"]:
        return "ONNX Runtime takes none of the sizes tried"
    allowed = FACTOR * max(STEP, *(case["noise"] for case in found["cases"]))
    return next(filter(None, (_difference(case, allowed) for case in found["cases"])), "")


def _difference(case: Mapping[str, Any], allowed: float) -> str:
    """Why a run differs more than it should: from ONNX Runtime, and more than it from float64."""
    if case["apart"] <= allowed:
        return ""
    theirs = case.get("their_error")
    if theirs is not None and case["error"] <= 2 * max(theirs, STEP):
        return ""
    return f"apart by {case['apart']:.1e} where {allowed:.1e} are allowed"


def page(rows: Sequence[tuple[Model, Mapping[str, Any]]]) -> str:
    """The whole page."""
    import importlib.metadata

    said = [verdict(found) for _, found in rows]
    good = sum(not s for s in said)
    bare = sum(not s and found.get("gaps") == [] for s, (_, found) in zip(said, rows, strict=True))
    packages = len({m.package for m, _ in rows})
    theirs = importlib.metadata.version("onnxruntime")
    lead = (
        f"{len(rows)} trained models that {packages} packages of PyPI and npm ship, each on seeded "
        f"inputs of one or two sizes beside ONNX Runtime {theirs}: {good} agree, {bare} of them "
        "without a host step."
    )
    body = [row(model, found) for model, found in rows]
    head = ["<!-- Generated by tools/sweep_models.py. -->", "# Trained models", "", lead]
    return "\n".join([*head, "", MEANING, "", HEADER, f"|{'---|' * 12}", *body, ""])


def row(model: Model, found: Mapping[str, Any]) -> str:
    """The line of a model; figures are those of the worse run."""
    cases = found["cases"]
    worst = [_worst(cases, key) for key in ("apart", "noise", "error", "their_error")]
    gaps = found.get("gaps", [])
    steps = f"{len(gaps)}" if cases else ""
    if gaps:
        steps += f" ({', '.join(sorted({g['op'] for g in gaps}))}): {gaps[0]['reason']}"
    times = [f"{found[k]:.2f}" if found.get(k) else "" for k in ("create", "again")]
    ours, theirs = found.get("speed", (0.0, 0.0))
    times.append(f"{theirs / ours:.2f}" if ours else "")
    name = Path(model.path).name
    cells = [f"{model.package} {model.version}", f"`{name}`", f"{found.get('nodes', 0):,}"]
    return f"| {' | '.join([*cells, *worst, steps, *times, verdict(found)])} |"


def _worst(cases: list[Mapping[str, Any]], key: str) -> str:
    found = [case[key] for case in cases if key in case]
    return f"{max(found):.1e}" if found else ""


def main() -> None:
    """Runs what is not known yet and writes the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", type=Path)
    parser.add_argument("--create", type=Path)
    parser.add_argument("--only", default=None)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    if asked.one or asked.create:
        serve(asked.one or asked.create, asked.one is None)
        return
    models = list({m.digest: m for m in collect_models.index()[::-1]}.values())[::-1]

    def known(model: Model) -> dict[str, Any]:
        kept = FOUND / f"{model.digest[:16]}.json"
        wanted = asked.only is not None and asked.only in f"{model.package}/{model.path}"
        if kept.exists() and not wanted:
            found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
            return found
        found = examine(model)
        print(f"{model.package} {model.path}: {verdict(found) or 'agrees'}", flush=True)
        return found

    with ThreadPoolExecutor(asked.jobs) as pool:
        rows = list(zip(models, pool.map(known, models), strict=True))
    TARGET.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
