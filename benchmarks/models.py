"""Builds the reference models: ONNX files, seeded inputs and float64 outputs, in a cache folder.

python benchmarks/models.py [NAME ...] [--cache DIR] [--ops] [--verify]
"""

import argparse
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

CACHE = Path(__file__).parent / ".cache"
SEED = 20250101
POOL = 4
LARGE = 64 << 20


@dataclass(frozen=True)
class Files:
    """Where one built model lies: the .onnx file and its inputs with their float64 outputs."""

    name: str
    model: Path
    pool: Path

    @property
    def built(self) -> bool:
        """Both files are there."""
        return self.model.exists() and self.pool.exists()


def files(name: str, cache: Path = CACHE) -> Files:
    """The places of a reference model in the cache, built or not."""
    return Files(name, cache / name / f"{name}.onnx", cache / name / "pool.npz")


def load_pool(path: Path) -> tuple[list[Arrays], list[Arrays]]:
    """The input sets of a pool file and the float64 outputs that belong to them."""
    feeds: dict[int, Arrays] = {}
    wanted: dict[int, Arrays] = {}
    with np.load(path) as stored:
        for key in stored.files:
            kind, index, name = key.split("|", 2)
            side = feeds if kind == "in" else wanted
            side.setdefault(int(index), {})[name] = stored[key]
    return [feeds[i] for i in sorted(feeds)], [wanted[i] for i in sorted(wanted)]


def _export(reference: Any, module: Any, target: Path) -> None:
    import torch

    example = reference.feeds({symbol: 2 * size for symbol, size in reference.base.items()}, SEED)
    symbols = {
        symbol: torch.export.Dim(symbol, min=1, max=512 if symbol == "S" else 4096)
        for symbol in reference.base
    }
    shapes = {
        name: {axis: symbols[symbol] for axis, symbol in axes.items()}
        for name, axes in reference.dynamic.items()
    }
    program = torch.onnx.export(
        module,
        tuple(example.values()),
        dynamo=True,
        dynamic_shapes=shapes,
        input_names=list(example),
        output_names=list(reference.outputs),
        verbose=False,
    )
    assert program is not None
    size = sum(p.numel() * p.element_size() for p in module.parameters())
    program.save(target, external_data=size > LARGE)


def _pool(reference: Any, module: Any) -> Arrays:
    """Inputs and float64 outputs for the base dims, under keys `in|0|x` and `out|0|logits`."""
    import torch

    double = module.double()
    stored: Arrays = {}
    for index in range(POOL):
        feeds = reference.feeds(reference.base, SEED + 1 + index)
        for name, array in feeds.items():
            stored[f"in|{index}|{name}"] = array.numpy()
        exact = [a.double() if a.is_floating_point() else a for a in feeds.values()]
        with torch.no_grad():
            found = double(*exact)
        found = found if isinstance(found, tuple) else (found,)
        for name, array in zip(reference.outputs, found, strict=True):
            stored[f"out|{index}|{name}"] = array.numpy()
    return stored


def build(name: str, cache: Path = CACHE) -> Files:
    """Build one reference model unless the cache has it; both files appear, or neither."""
    import torch

    from architectures import REFERENCES

    found = files(name, cache)
    if found.built:
        return found
    reference = REFERENCES[name]
    torch.manual_seed(SEED)
    module = reference.build()
    cache.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=cache) as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(place) / name
        folder.mkdir()
        _export(reference, module, folder / found.model.name)
        np.savez(folder / found.pool.name, **_pool(reference, module))  # type: ignore[arg-type]
        shutil.rmtree(found.model.parent, ignore_errors=True)
        folder.rename(found.model.parent)
    return found


def relative_error(got: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Root-mean-square error over the root mean square of what was wanted."""
    distance = np.asarray(got, np.float64) - wanted
    scale = float(np.sqrt(np.mean(np.square(wanted)))) or 1.0
    return float(np.sqrt(np.mean(np.square(distance)))) / scale


def verify(name: str, cache: Path = CACHE) -> Iterator[str]:
    """Run ONNX Runtime on the pool and at three times the batch; one line with the error each."""
    import onnxruntime

    found = files(name, cache)
    session = onnxruntime.InferenceSession(found.model, providers=["CPUExecutionProvider"])
    feeds, wanted = load_pool(found.pool)
    names = [output.name for output in session.get_outputs()]
    for label, fed, expected in (
        ("pool row", feeds[0], wanted[0]),
        ("three rows", _stack(feeds[:3]), _stack(wanted[:3])),
    ):
        got = session.run(names, fed)
        for output, array in zip(names, got, strict=True):
            error = relative_error(array, expected[output])
            shape = "x".join(map(str, array.shape))
            rms = float(np.sqrt(np.mean(np.square(expected[output]))))
            yield f"{name}: {label}: {output}[{shape}] rms {rms:.3g} relative error {error:.2e}"
            if not error < 1e-4:
                raise SystemExit(f"{name}: ONNX Runtime is {error:.1e} away from PyTorch")


def _stack(rows: list[Arrays]) -> Arrays:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def describe_ops(path: Path) -> list[str]:
    """Every distinct (op, attributes) of a model file with its count and an example."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    counts: dict[str, int] = {}
    for node in model.graph.node:
        attributes = ", ".join(
            f"{a.name}={_short(onnx.helper.get_attribute_value(a))}"
            for a in sorted(node.attribute, key=lambda a: a.name)
        )
        wired = "".join("x" if i else "-" for i in node.input)
        key = f"{node.domain + '::' if node.domain else ''}{node.op_type}({attributes})"
        key += f" inputs={wired} outputs={len(node.output)}"
        counts[key] = counts.get(key, 0) + 1
    opsets = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
    head = f"ir {model.ir_version}, opsets {opsets}, {len(model.graph.node)} nodes, "
    head += f"{len(model.graph.initializer)} initializers, {len(model.functions)} functions"
    ends = [
        f"{kind} {v.name}: {_type(v)}"
        for kind, values in (("input", model.graph.input), ("output", model.graph.output))
        for v in values
    ]
    return [head, *ends, *(f"{n:5d} {key}" for key, n in sorted(counts.items()))]


def _short(value: Any) -> str:
    if hasattr(value, "data_type"):
        return f"tensor<{value.data_type}, {list(value.dims)}>"
    return repr(value)


def _type(value: Any) -> str:
    tensor = value.type.tensor_type
    dims = [d.dim_param or str(d.dim_value) for d in tensor.shape.dim]
    return f"{tensor.elem_type}[{', '.join(dims)}]"


def main(arguments: list[str] | None = None) -> int:
    """Build the named models, or all of them."""
    from architectures import REFERENCES

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(REFERENCES))
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--ops", action="store_true", help="print every op with its attributes")
    parser.add_argument("--verify", action="store_true", help="compare ONNX Runtime with PyTorch")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(REFERENCES)
    if unknown:
        parser.error(f"unknown model {', '.join(sorted(unknown))}; known: {', '.join(REFERENCES)}")
    for name in options.names or REFERENCES:
        found = build(name, options.cache)
        print(found.model)
        for line in verify(name, options.cache) if options.verify else ():
            print(f"  {line}")
        for line in describe_ops(found.model) if options.ops else ():
            print(f"  {line}")
    return 0


def feeds_at(name: str, dims: Mapping[str, int], seed: int) -> Arrays:
    """One seeded input set of a reference model at any dims, as numpy arrays."""
    from architectures import REFERENCES

    return {key: array.numpy() for key, array in REFERENCES[name].feeds(dims, seed).items()}


if __name__ == "__main__":
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    sys.exit(main())
