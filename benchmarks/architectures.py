"""The six neural reference architectures, with seeded random weights of a sane size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Feeds = dict[str, Tensor]
Dims = Mapping[str, int]


@dataclass(frozen=True)
class Reference:
    """One reference model: how it is built, fed and exported.

    `build()` gives a module in eval mode whose forward takes the inputs in order and returns one
    tensor or a tuple; `feeds(dims, seed)` gives one set of inputs for these symbol values;
    `dynamic` names the symbolic axes of each input; `base` binds every symbol for a row of the
    benchmark.
    """

    name: str
    build: Callable[[], nn.Module]
    feeds: Callable[[Dims, int], Feeds]
    dynamic: dict[str, dict[int, str]]
    outputs: tuple[str, ...]
    base: dict[str, int]


class Mlp(nn.Module):
    """64-128-128-10 with LayerNorm, Gelu and Softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(64, 128),
            nn.LayerNorm(128),
            nn.GELU(),
            nn.Linear(128, 128),
            nn.LayerNorm(128),
            nn.GELU(),
            nn.Linear(128, 10),
            nn.Softmax(-1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, 64] to the probabilities [N, 10]."""
        return self.body(x)


class Lstm(nn.Module):
    """Two layers of 128 over the sequence, the whole last layer's states out."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(64, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 50, 64] to the scores [N, 10] after the last step."""
        states, _ = self.lstm(x)
        return self.head(states[:, -1])


class Logits(nn.Module):
    """A transformers model with the logits as its only output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[N, 3, 224, 224] to [N, 1000]."""
        return self.model(pixel_values=pixel_values).logits


class Hidden(nn.Module):
    """BERT with its two usual outputs as a plain tuple."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Three [N, S] to last_hidden_state [N, S, 768] and pooler_output [N, 768]."""
        out = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )
        return out.last_hidden_state, out.pooler_output


def _settle_vectors(model: nn.Module, seed: int) -> nn.Module:
    """Trained models have no zero biases and no unit scales, so neither have these."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            bias.data.add_(torch.randn(bias.shape, generator=generator), alpha=0.05)
        if isinstance(module, nn.LayerNorm):
            module.weight.data.uniform_(0.8, 1.25, generator=generator)
    return model.eval()


def _settle_batch_norms(model: nn.Module, seed: int) -> nn.Module:
    """Random affine parts, and statistics measured on noise: nothing vanishes, nothing explodes."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    generator = torch.Generator().manual_seed(seed)
    for norm in norms:
        norm.weight.data.uniform_(0.5, 1.5, generator=generator)
        norm.bias.data.uniform_(-0.5, 0.5, generator=generator)
        norm.momentum = None
        norm.reset_running_stats()
        norm.train()
    with torch.no_grad():
        model(torch.randn(8, 3, 224, 224, generator=generator))
    for norm in norms:
        spread = norm.running_var
        assert spread is not None
        spread.mul_(torch.empty_like(spread).uniform_(0.8, 1.25, generator=generator))
        spread.clamp_(min=1e-3)
    return model.eval()


def _mlp() -> nn.Module:
    return _settle_vectors(Mlp(), 1)


def _lstm() -> nn.Module:
    return _settle_vectors(Lstm(), 3)


def _resnet50() -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    model = Logits(ResNetForImageClassification(ResNetConfig(num_labels=1000)))
    return _settle_batch_norms(_settle_vectors(model, 50), 50)


def _mobilenetv2() -> nn.Module:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    config = MobileNetV2Config(num_labels=1000, depth_multiplier=1.0)
    model = Logits(MobileNetV2ForImageClassification(config))
    return _settle_batch_norms(_settle_vectors(model, 2), 2)


def _vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    return _settle_vectors(Logits(ViTForImageClassification(ViTConfig(num_labels=1000))), 16)


def _bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    return _settle_vectors(Hidden(BertModel(BertConfig())), 12)


def _rows(*shape: int) -> Callable[[Dims, int], Feeds]:
    def feeds(dims: Dims, seed: int) -> Feeds:
        generator = torch.Generator().manual_seed(seed)
        return {"x": torch.randn(dims["N"], *shape, generator=generator)}

    return feeds


def _images(dims: Dims, seed: int) -> Feeds:
    generator = torch.Generator().manual_seed(seed)
    return {"pixel_values": torch.randn(dims["N"], 3, 224, 224, generator=generator)}


def _sentences(dims: Dims, seed: int) -> Feeds:
    """Token ids with padding at the end of most rows; the first row is full for an even seed."""
    generator = torch.Generator().manual_seed(seed)
    rows, length = dims["N"], dims["S"]
    lengths = torch.randint(max(1, length // 2), length + 1, (rows,), generator=generator)
    lengths[0] = length if seed % 2 == 0 else lengths[0]
    place = torch.arange(length).expand(rows, length)
    return {
        "input_ids": torch.randint(0, 30522, (rows, length), generator=generator),
        "attention_mask": (place < lengths[:, None]).long(),
        "token_type_ids": (place >= length // 2).long(),
    }


_IMAGE = {"pixel_values": {0: "N"}}
_TOKENS = {name: {0: "N", 1: "S"} for name in ("input_ids", "attention_mask", "token_type_ids")}

REFERENCES = {
    reference.name: reference
    for reference in (
        Reference("mlp", _mlp, _rows(64), {"x": {0: "N"}}, ("probabilities",), {"N": 1}),
        Reference("lstm", _lstm, _rows(50, 64), {"x": {0: "N"}}, ("scores",), {"N": 1}),
        Reference("resnet50", _resnet50, _images, _IMAGE, ("logits",), {"N": 1}),
        Reference("mobilenetv2", _mobilenetv2, _images, _IMAGE, ("logits",), {"N": 1}),
        Reference(
            "bert-base",
            _bert,
            _sentences,
            _TOKENS,
            ("last_hidden_state", "pooler_output"),
            {"N": 1, "S": 128},
        ),
        Reference("vit-base", _vit, _images, _IMAGE, ("logits",), {"N": 1}),
    )
}
