"""The stages of `sardonyx demo`: each takes what the ones before found, and adds to it."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import sardonyx.demo.digits as digits
from sardonyx.api import check
from sardonyx.bench.contender import NATIVE, Contender
from sardonyx.bench.contest import race
from sardonyx.bench.measure import Plan
from sardonyx.bench.results import BenchReport
from sardonyx.compare import Comparison, compare, of_model
from sardonyx.convert import Conversion, convert, side_of
from sardonyx.core import knobs
from sardonyx.core.dtype import Array
from sardonyx.core.errors import UsageError
from sardonyx.demo.digits import INPUT, Digits
from sardonyx.engine.program.analysis import Analysis, analyse
from sardonyx.formats import save
from sardonyx.graph.check import Finding
from sardonyx.graph.ir import Graph
from sardonyx.graph.rewrite import Log
from sardonyx.passes.pipeline import optimize, prepare
from sardonyx.providers.registry import providers
from sardonyx.quantize import Quantization, quantize
from sardonyx.session import InferenceSession, SessionOptions

Progress = Callable[[float], None]

PEER = "OnnxRuntimeExecutionProvider"
NEEDED = {"torch": "torch", "sklearn": "scikit-learn", "onnx": "onnx", "onnxscript": "onnxscript"}
OURS, INT8 = "Sardonyx float32", "Sardonyx int8"
PYTORCH, ORT, ORT_INT8 = "PyTorch float32", "ONNX Runtime float32", "ONNX Runtime int8"
QUICK = Plan(pairs=10, restarts=2, block=0.03, timeout=120.0)
CALIBRATION, POOL = 256, 8
BATCHES = (1, 32)


@dataclass(frozen=True)
class Score:
    """How many test images a contender labels right, and how many as PyTorch does."""

    label: str
    right: int
    as_source: int
    total: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        share = {"accuracy": self.right / self.total}
        return {"label": self.label, "right": self.right, "as_pytorch": self.as_source, **share}


@dataclass
class Demo:
    """The folder that is being filled, how large everything is, and what the stages found."""

    folder: Path
    plan: Plan = QUICK
    epochs: int = digits.EPOCHS
    batches: Sequence[int] = BATCHES
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    measured: dict[int, BenchReport] = field(default_factory=dict)
    data: Digits = field(init=False)
    net: Any = field(init=False)
    labels: Array = field(init=False)
    conversion: Conversion = field(init=False)
    findings: list[Finding] = field(init=False)
    comparison: Comparison = field(init=False)
    optimized: Graph = field(init=False)
    rules: Log = field(init=False)
    analysis: Analysis = field(init=False)
    starts: tuple[float, float] = field(init=False)
    quantized: Quantization = field(init=False)
    int8: Comparison = field(init=False)

    def file(self, name: str) -> Path:
        """A file of the folder."""
        return self.folder / name

    @property
    def model(self) -> Path:
        """The converted model."""
        return self.file("digits.onnx")

    @property
    def output(self) -> str:
        """What the model calls its result."""
        return self.conversion.graph.outputs[0].name

    def score(self, label: str, logits: Array) -> str:
        """Counts right labels; what is to be said about them."""
        found = logits.argmax(-1)
        right = int((found == self.data.test_labels).sum())
        same = int((found == self.labels).sum())
        self.scores.append(Score(label, right, same, len(found)))
        return f"{right} of {len(found)} test images right"


def lacking() -> list[str]:
    """The packages that the demo cannot do without and that are not installed."""
    return [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]


def demand() -> None:
    """UsageError (E0930) where packages are missing, saying how to install them."""
    names = lacking()
    if names:
        raise UsageError(
            "E0930", f"the demo needs {', '.join(names)}", hint="pip install 'sardonyx[demo]'"
        )


def train(demo: Demo, progress: Progress) -> str:
    """Trains the network; writes the images for calibration and for tests."""
    demo.data = digits.digits()
    demo.net = digits.train(demo.data, demo.epochs, progress)
    save_rows(demo.file("calib.npz"), demo.data.train[:CALIBRATION])
    save_rows(demo.file("test.npz"), demo.data.test)
    np.save(demo.file("labels.npy"), demo.data.test_labels, allow_pickle=False)
    logits = digits.logits(demo.net, demo.data.test)
    demo.labels = logits.argmax(-1)
    return demo.score(PYTORCH, logits)


def save_rows(path: Path, images: Array) -> None:
    """Writes images under the name of the model's input."""
    np.savez(path, allow_pickle=False, **{INPUT: images})


def converted(demo: Demo, progress: Progress) -> str:
    """Exports the network with a symbolic batch, and proves the result at several sizes."""
    demo.conversion = convert(demo.net, [f"{INPUT}=Nx1x8x8"], demo.model, progress=progress)
    return f"{INPUT}: {demo.conversion.graph.inputs[0].type}, {len(demo.conversion.graph)} nodes"


def checked(demo: Demo, progress: Progress) -> str:
    """Checks the file that was written."""
    demo.findings = check(demo.model)
    progress(1.0)
    errors = sum(f.is_error for f in demo.findings)
    return "valid" if not errors else f"{errors} errors"


def compared(demo: Demo, progress: Progress) -> str:
    """Compares with PyTorch over every test image, at batch 1, 7 and all."""
    rows, sizes = {INPUT: demo.data.test}, (1, 7, len(demo.data.test))
    source = side_of(demo.net, "PyTorch")
    ours = of_model(demo.model, threads=1, label=demo.model.name)
    demo.comparison = compare(source, ours, data=rows, batches=sizes, progress=progress)
    worst = demo.comparison.worst()
    assert worst is not None
    verdict = "agrees" if demo.comparison.agree else "does not agree"
    return f"{verdict}; largest difference {worst.max_abs:.1e} at batch 1, 7 and {sizes[-1]}"


def optimized(demo: Demo, progress: Progress) -> str:
    """Writes an equal model with less to do."""
    found = optimize(demo.conversion.graph)
    demo.optimized, demo.rules = found.graph, found.log
    save(found.graph, demo.file("digits.opt.onnx"))
    progress(1.0)
    return f"{len(demo.conversion.graph)} nodes to {len(found.graph)}"


def ran(demo: Demo, progress: Progress) -> str:
    """Compiles the model and runs every test image; starts it a second time from the cache."""
    path = demo.file("digits.opt.onnx")
    with tempfile.TemporaryDirectory() as cache, knobs.override(cache_dir=Path(cache)):
        session, cold = _started(path)
        progress(0.5)
        session, warm = _started(path)
    demo.starts = cold, warm
    demo.analysis = analyse(prepare(demo.optimized))
    (logits,) = session.run(None, {INPUT: demo.data.test})
    return demo.score(OURS, logits)


def _started(path: Path) -> tuple[InferenceSession, float]:
    """A session, and the seconds until it was ready."""
    start = time.perf_counter()
    session = InferenceSession(path, _one_thread())
    return session, time.perf_counter() - start


def _one_thread() -> SessionOptions:
    return SessionOptions(intra_op_num_threads=1)


def quantized(demo: Demo, progress: Progress) -> str:
    """Quantizes to int8 with ranges from training images, and counts the labels again."""
    path = demo.file("digits.int8.onnx")
    rows = {INPUT: demo.data.train[:CALIBRATION]}
    demo.quantized = quantize(demo.model, rows, progress=progress)
    save(demo.quantized.graph, path)
    test = {INPUT: demo.data.test}
    everything = [len(demo.data.test)]
    sides = [of_model(p, threads=1, label=p.name) for p in (demo.model, path)]
    demo.int8 = compare(*sides, data=test, batches=everything)
    (logits,) = InferenceSession(path, _one_thread()).run(None, test)
    sizes = [p.stat().st_size for p in (demo.model, path)]
    return f"{demo.score(INT8, logits)}; {sizes[0]:,} bytes to {sizes[1]:,}"


def measured(demo: Demo, progress: Progress) -> str:
    """Measures everybody in turns, each in a process of its own, for one image and for several."""
    weights = demo.file("weights.npz")
    digits.save_weights(demo.net, weights)
    others = contenders(demo, weights)
    subject = Contender.named(NATIVE, str(demo.model), OURS)
    steps = len(demo.batches) * demo.plan.restarts * (2 * len(others) + 1)
    done = [0]

    def step(_: str) -> None:
        done[0] += 1
        progress(min(done[0] / steps, 1.0))

    for batch in demo.batches:
        feeds = [{INPUT: x} for x in _pool(demo.data.test, batch)]
        exact = [{demo.output: digits.logits(demo.net, f[INPUT], double=True)} for f in feeds]
        demo.measured[batch] = race(
            subject,
            others,
            feeds,
            model=demo.model.stem,
            dims={"N": batch},
            wanted=exact,
            float32=PYTORCH,
            plan=demo.plan,
            progress=step,
        )
    weights.unlink()
    ratios = demo.measured[demo.batches[0]].rows[0].ratios
    return "; ".join(f"{label} takes {r.median:.2f}×" for label, r in ratios.items())


def _pool(images: Array, batch: int) -> list[Array]:
    """Sets of inputs to rotate through, the images starting again where they end."""
    rows = np.resize(np.arange(len(images)), (POOL, batch))
    return [images[r] for r in rows]


def contenders(demo: Demo, weights: Path) -> list[Contender]:
    """Those that can take part; who is missing is said in `demo.notes`, and scored otherwise."""
    int8 = demo.file("digits.int8.onnx")
    found = [Contender.named(NATIVE, str(int8), INT8)]
    options: Mapping[str, Any] = {"weights": str(weights), "output": demo.output}
    found.append(Contender(PYTORCH, "sardonyx.demo.digits:eager", options, imports=("torch",)))
    missing = providers()[PEER].missing()
    if missing is not None:
        demo.notes.append(f"ONNX Runtime is left out, since it is not installed: {missing}")
        return found
    for label, path in ((ORT, demo.model), (ORT_INT8, int8)):
        session = InferenceSession(path, _one_thread(), [PEER])
        demo.score(label, session.run(None, {INPUT: demo.data.test})[0])
        found.append(Contender.named("onnxruntime", str(path), label))
    return found


Stage = tuple[str, Callable[[Demo, Progress], str]]

STAGES: tuple[Stage, ...] = (
    ("train", train),
    ("convert", converted),
    ("check", checked),
    ("compare", compared),
    ("optimize", optimized),
    ("run", ran),
    ("quantize", quantized),
    ("bench", measured),
)
