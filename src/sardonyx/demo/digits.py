"""The demo's task: handwritten digits, a small network in PyTorch, its training, its contender."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.bench.contender import Prepared, Run
from sardonyx.core.dtype import Array
from sardonyx.core.knobs import silence_peers

Progress = Callable[[float], None]

INPUT = "image"
TEST, EPOCHS, BATCH, SEED = 450, 8, 32, 1


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 scanned digits: float32[rows, 1, 8, 8] from 0 to 16, and their labels.

    The rows are shuffled once by a fixed seed; the last 450 are for the test alone.
    """

    train: Array
    train_labels: Array
    test: Array
    test_labels: Array


def digits() -> Digits:
    """The images, bundled with scikit-learn; nothing is downloaded."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(SEED).permutation(len(found.target))
    images = found.images[order].astype(np.float32)[:, None]
    labels = found.target[order].astype(np.int64)
    return Digits(images[:-TEST], labels[:-TEST], images[-TEST:], labels[-TEST:])


def network() -> Any:
    """An untrained network: two convolutions, a scaled residual one, and a linear layer.

    float32[N, 1, 8, 8] images to float32[N, 10] logits; about 15,000 parameters.
    """
    silence_peers()
    import torch
    from torch import nn

    def convolution(into: int, out: int) -> Any:
        layers = nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        return nn.Sequential(*layers)

    class DigitNet(nn.Module):  # type: ignore[misc]
        """The network."""

        def __init__(self) -> None:
            super().__init__()
            self.first = convolution(1, 16)
            self.second = convolution(16, 32)
            self.third = convolution(32, 32)
            self.scale = nn.Parameter(torch.full((32, 1, 1), 0.5))
            self.pool = nn.MaxPool2d(2)
            self.drop = nn.Dropout(0.3)
            self.last = nn.Linear(32 * 2 * 2, 10)

        def forward(self, image: Any) -> Any:
            """Logits of images."""
            x = torch.relu(self.first(image / 16))
            x = self.pool(torch.relu(self.second(x)))
            x = self.pool(torch.relu(x + self.scale * self.third(x)))
            return self.last(self.drop(x.reshape(x.shape[0], -1)))

    return DigitNet()


def train(data: Digits, epochs: int = EPOCHS, progress: Progress = lambda _: None) -> Any:
    """A trained network: seeded, in a few seconds. Global random state is kept."""
    silence_peers()
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return _fit(torch, network(), data, epochs, progress)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, which suits so small a network; the former number afterwards."""
    silence_peers()
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fit(torch: Any, net: Any, data: Digits, epochs: int, progress: Progress) -> Any:
    images, labels = torch.from_numpy(data.train), torch.from_numpy(data.train_labels)
    steps = epochs * -(-len(images) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    loss = torch.nn.CrossEntropyLoss()
    net.train()
    for epoch in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss(net(images[rows]), labels[rows]).backward()
            optimizer.step()
            rate.step()
        progress((epoch + 1) / epochs)
    return net.eval()


def logits(net: Any, images: Array, double: bool = False) -> Array:
    """What the network says to images; in float64 when `double`."""
    import torch

    given = torch.from_numpy(np.ascontiguousarray(images))
    with torch.inference_mode():
        if not double:
            return np.asarray(net(given))
        found = np.asarray(net.double()(given.double()))
        net.float()
        return found


def save_weights(net: Any, path: Path) -> None:
    """Writes the weights as plain arrays."""
    arrays = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    np.savez(path, allow_pickle=False, **arrays)


class Eager:
    """The network in PyTorch, run under `inference_mode` on a number of threads."""

    def __init__(self, weights: str, output: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        net = network()
        with np.load(weights, allow_pickle=False) as held:
            state = {name: torch.from_numpy(held[name]) for name in held.files}
        net.load_state_dict(state)
        self.net = net.eval()
        self.names: Sequence[str] = [output]
        self.settings: Mapping[str, Any] = {"mode": "eager, inference_mode", "threads": threads}

    def bind(self, feeds: dict[str, Array]) -> Run:
        """A run that takes a numpy array and gives one, as the other contenders do."""
        import torch

        image, net = feeds[INPUT], self.net

        def run() -> Array:
            with torch.inference_mode():
                found: Array = net(torch.from_numpy(image)).numpy()
                return found

        return run

    def arrays(self, result: Any) -> Sequence[Array]:
        """The outputs of a run."""
        return [result]


def eager(*, weights: str, output: str, threads: int) -> Prepared:
    """The contender in PyTorch; `output` is what the ONNX model calls the result."""
    return Eager(weights, output, threads)
