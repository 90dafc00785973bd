"""Small networks of the architectures that matter, with the inputs they are exported for.

python -m networks tests/models/texts          writes them as text
"""

from __future__ import annotations

import copy
import io
import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from architectures import Hidden, Logits
from sardonyx.core.dtype import Array
from sardonyx.formats import load
from sardonyx.graph.text import to_text

Dims = Mapping[str, tuple[int | str, ...]]


@dataclass(frozen=True)
class Net:
    """How a network is built and what it is fed: dims by input, where `N` and `S` are symbols."""

    build: Callable[[], nn.Module]
    inputs: Dims
    whole: tuple[str, ...] = ()
    lengths: tuple[int, ...] = (1,)

    def feeds(self, n: int, s: int) -> dict[str, Tensor]:
        """Seeded inputs; token ids are below 50, a mask has a one in every row."""
        generator = torch.Generator().manual_seed(97 * n + s)
        made: dict[str, Tensor] = {}
        for name, dims in self.inputs.items():
            shape = [{"N": n, "S": s}.get(str(d), d) for d in dims]
            if name == "attention_mask":
                lengths = torch.randint(1, s + 1, (n, 1), generator=generator)
                made[name] = (torch.arange(s)[None] < lengths).long()
            elif name in self.whole:
                made[name] = torch.randint(0, 2, shape, generator=generator)
            else:
                made[name] = torch.randn(shape, generator=generator)
        return made

    @property
    def symbols(self) -> dict[str, dict[int, Any]]:
        """The symbolic axes of each input, as the exporter wants them."""
        known = {name: torch.export.Dim(name, min=1, max=4096) for name in ("N", "S")}
        return {
            name: {n: known[d] for n, d in enumerate(dims) if isinstance(d, str)}
            for name, dims in self.inputs.items()
        }


class Block(nn.Module):
    """A residual block: two 3x3 convolutions with normalisation, and a projection beside them."""

    def __init__(self, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(wide, out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(out), nn.BatchNorm2d(out)])
        self.beside = nn.Conv2d(wide, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[N, wide, H, W] to [N, out, H / stride, W / stride]."""
        y = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(y)) + self.beside(x))


class Recurrent(nn.Module):
    """Two recurrent layers, their whole sequence out, and the last step through a classifier."""

    def __init__(self, kind: type[nn.RNNBase], both_ways: bool) -> None:
        super().__init__()
        self.cells = kind(12, 20, num_layers=2, batch_first=True, bidirectional=both_ways)
        self.head = nn.Linear(40 if both_ways else 20, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, S, 12] to the states [N, S, 20 or 40] and scores [N, 5]."""
        states, _ = self.cells(x)
        return states, self.head(states[:, -1])


class Masked(nn.Module):
    """A transformer encoder of two layers that leaves padding out."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            24, 3, 48, dropout=0.0, activation="gelu", batch_first=True
        )
        self.layers = nn.ModuleList([layer, copy.deepcopy(layer)])

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        """[N, S, 24] and a mask [N, S] of ones and zeros to [N, S, 24]."""
        padding = attention_mask == 0
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        return x


def _mlp() -> nn.Module:
    parts = [nn.Linear(20, 33), nn.LayerNorm(33), nn.GELU(), nn.Linear(33, 10), nn.Softmax(-1)]
    return nn.Sequential(*parts)


def _residual() -> nn.Module:
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    stem = [nn.Conv2d(3, 16, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, Block(16, 16, 1), Block(16, 32, 2), *head)


def _resnet() -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=16, hidden_sizes=[32, 64], depths=[1, 2], num_labels=10)
    return Logits(ResNetForImageClassification(config))


def _mobilenet() -> nn.Module:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    config = MobileNetV2Config(image_size=64, depth_multiplier=0.35, num_labels=10)
    return Logits(MobileNetV2ForImageClassification(config))


def _vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        image_size=32, patch_size=8, num_labels=10,
    )  # fmt: skip
    return Logits(ViTForImageClassification(config))


def _bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=80,
    )  # fmt: skip
    return Hidden(BertModel(config))


_IMAGE: Dims = {"pixel_values": ("N", 3, 32, 32)}
_SEQUENCE: Dims = {"x": ("N", "S", 12)}
_TOKENS = ("input_ids", "attention_mask", "token_type_ids")

NETS = {
    "mlp": Net(_mlp, {"input": ("N", 20)}),
    "residual": Net(_residual, {"input": ("N", 3, 32, 32)}),
    "resnet": Net(_resnet, _IMAGE),
    "mobilenet": Net(_mobilenet, {"pixel_values": ("N", 3, 64, 64)}),
    "vit": Net(_vit, _IMAGE),
    "bert": Net(_bert, dict.fromkeys(_TOKENS, ("N", "S")), _TOKENS, (1, 7, 16, 64)),
    "masked": Net(Masked, {"x": ("N", "S", 24), "attention_mask": ("N", "S")}, (), (1, 6, 33)),
    "lstm": Net(lambda: Recurrent(nn.LSTM, False), _SEQUENCE, (), (1, 5, 40)),
    "lstm-both": Net(lambda: Recurrent(nn.LSTM, True), {"x": ("N", 9, 12)}, (), (9,)),
    "gru": Net(lambda: Recurrent(nn.GRU, False), _SEQUENCE, (), (1, 5, 40)),
}


def settled(net: Net) -> nn.Module:
    """A network with weights as training leaves them: no zero biases, measured statistics."""
    torch.manual_seed(1)
    module = net.build()
    generator = torch.Generator().manual_seed(2)
    for part in module.modules():
        bias = getattr(part, "bias", None)
        if isinstance(bias, nn.Parameter):
            bias.data.add_(torch.randn(bias.shape, generator=generator), alpha=0.1)
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        module(*net.feeds(4, 8).values())
    return module.eval()


def exported(net: Net, module: nn.Module) -> bytes:
    """The ONNX model of a network, every batch and sequence length in one."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(net.feeds(3, 6).values()),
            dynamo=True,
            dynamic_shapes=net.symbols,
            input_names=list(net.inputs),
            verbose=False,
        )
    assert program is not None
    buffer = io.BytesIO()
    program.save(buffer)
    return buffer.getvalue()


def exact(module: nn.Module, feeds: dict[str, Tensor]) -> list[Array]:
    """The outputs of a network in float64; `module` is of that type."""
    double = [x.double() if x.is_floating_point() else x for x in feeds.values()]
    with torch.no_grad():
        found = module(*double)
    outputs = found if isinstance(found, tuple) else (found,)
    return [x.numpy() for x in outputs]


def main(folder: Path) -> None:
    """Writes every network as text, from which the kernels are replayed."""
    for name, net in NETS.items():
        graph = load(exported(net, settled(net)))
        text = to_text(graph, meta=False)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
