"""Gradients of functions and of small networks against torch's own."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sardonyx as sx
from architectures import Hidden, Logits, Mlp
from gradient.cases import X
from gradient.models import Case, gradients

F = nn.functional
IMAGE = {"x": (2, 4, 7, 6)}

FUNCTIONS: list[tuple[Case, Callable[..., Tensor]]] = [
    (Case("y = Tanh(x)", X), torch.tanh),
    (Case("y = Sigmoid(x)", X), torch.sigmoid),
    (Case("y = Relu(x)", X), torch.relu),
    (Case("y = Gelu(x)", X), F.gelu),
    (Case('y = Gelu<approximate="tanh">(x)', X), lambda x: F.gelu(x, approximate="tanh")),
    (Case("y = Erf(x)", X), torch.erf),
    (Case("y = Exp(x)", X), torch.exp),
    (Case("y = Log(x)", X, 0.3, 2.0), torch.log),
    (Case("y = Sqrt(x)", X, 0.3, 2.0), torch.sqrt),
    (Case("y = Mish(x)", X), F.mish),
    (Case("y = HardSwish(x)", X, -4, 4), F.hardswish),
    (Case("y = Softplus(x)", X), F.softplus),
    (Case("y = Elu(x)", X), F.elu),
    (Case("y = Add(x, z)", {"x": (2, 3), "z": (3,)}), torch.add),
    (Case("y = Sub(x, z)", {"x": (2, 3), "z": (3,)}), torch.sub),
    (Case("y = Mul(x, z)", {"x": (2, 3), "z": (3,)}), torch.mul),
    (Case("y = Div(x, z)", {"x": (2, 3), "z": (3,)}, 0.5, 2.0), torch.div),
    (Case("y = Pow(x, z)", {"x": (2, 3), "z": (3,)}, 0.5, 2.0), torch.pow),
    (Case("y = Max(x, z)", {"x": (2, 3), "z": (3,)}), torch.maximum),
    (Case("y = MatMul(x, z)", {"x": (5, 2, 3), "z": (3, 4)}), torch.matmul),
    (Case("y = Gemm<transB=1>(x, z, b)", {"x": (2, 3), "z": (4, 3), "b": (4,)}), F.linear),
    (Case("y = Softmax(x)", X), lambda x: torch.softmax(x, -1)),
    (Case("y = LogSoftmax<axis=1>(x)", X), lambda x: torch.log_softmax(x, 1)),
    (Case("y = ReduceMean<keepdims=0>(x, a)\n const a: int64[1] = {1}", X), lambda x: x.mean(1)),
    (Case("y = ReduceMax<keepdims=0>(x, a)\n const a: int64[1] = {1}", X), lambda x: x.amax(1)),
    (Case("y = LayerNormalization(x, z, b)", {"x": (2, 3, 4), "z": (4,), "b": (4,)}),
     lambda x, z, b: F.layer_norm(x, (4,), z, b)),
    (Case("y = Conv<strides=[2, 1], pads=[1, 1, 1, 1]>(x, w, b)",
          {"x": (2, 4, 7, 6), "w": (3, 4, 3, 3), "b": (3,)}),
     lambda x, w, b: F.conv2d(x, w, b, stride=(2, 1), padding=1)),
    (Case("y = Conv<group=4, dilations=[2, 2]>(x, w)", {"x": (2, 4, 7, 6), "w": (4, 1, 3, 3)}),
     lambda x, w: F.conv2d(x, w, groups=4, dilation=2)),
    (Case("y = MaxPool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(x)", IMAGE),
     lambda x: F.max_pool2d(x, 3, 2, 1)),
    (Case("y = AveragePool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],"
          " count_include_pad=1>(x)", IMAGE), lambda x: F.avg_pool2d(x, 3, 2, 1)),
    (Case("y = GlobalAveragePool(x)", IMAGE), lambda x: x.mean((2, 3), keepdim=True)),
    (Case("y = Gather(x, i)\n const i: int64[3] = {1, 0, 1}", X),
     lambda x: F.embedding(torch.tensor([1, 0, 1]), x.flatten(1)).reshape(3, 3, 4)),
    (Case("y = Transpose<perm=[2, 0, 1]>(x)", X), lambda x: x.permute(2, 0, 1)),
    (Case("y = Clip(x, a, b)\n const a: FLOAT[] = {-0.5}\n const b: FLOAT[] = {0.5}", X),
     lambda x: x.clamp(-0.5, 0.5)),
]  # fmt: skip


@pytest.mark.parametrize(("case", "function"), FUNCTIONS, ids=[str(case) for case, _ in FUNCTIONS])
def test_gradients_are_those_of_torch(case: Case, function: Callable[..., Tensor]) -> None:
    feeds = case.feeds("float32")
    found = gradients(case, feeds, "float32")
    given = [torch.tensor(feeds[n], requires_grad=True) for n in case.shapes]
    loss = (function(*given) * torch.tensor(feeds["k"])).sum()
    wanted = torch.autograd.grad(loss, given)
    for (name, grad), other in zip(found.items(), wanted, strict=True):
        np.testing.assert_allclose(grad, other.numpy(), 1e-4, 1e-5, err_msg=name)


def _lstm() -> nn.Module:
    class Lstm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 8, num_layers=2, batch_first=True)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(x)[0][:, -1])

    return Lstm()


def _resnet() -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="bottleneck", num_labels=5
    )
    return Logits(ResNetForImageClassification(config))


def _mobilenet() -> nn.Module:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    config = MobileNetV2Config(
        num_labels=5, depth_multiplier=0.15, min_depth=4, depth_divisible_by=4
    )
    return Logits(MobileNetV2ForImageClassification(config))


def _vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        image_size=32, patch_size=8, num_labels=5,
    )  # fmt: skip
    return Logits(ViTForImageClassification(config))


def _bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=32,
    )  # fmt: skip
    return Hidden(BertModel(config))


def _feeds(name: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    if name == "bert":
        ids = torch.randint(0, 50, (2, 9), generator=generator)
        mask = torch.ones(2, 9, dtype=torch.long)
        mask[1, 6:] = 0
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}
    shape = {"mlp": (3, 64), "lstm": (3, 7, 6)}.get(name, (2, 3, 32, 32))
    return {"x": torch.randn(shape, generator=generator)}


NETWORKS = {
    "mlp": Mlp, "lstm": _lstm, "resnet": _resnet, "mobilenet": _mobilenet, "vit": _vit,
    "bert": _bert,
}  # fmt: skip


def exported(module: nn.Module, feeds: dict[str, Tensor]) -> bytes:
    """The module as ONNX, nothing folded: its parameters are initializers of their own names."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(feeds.values()),
            dynamo=True,
            input_names=list(feeds),
            verbose=False,
            optimize=False,
        )
    assert program is not None
    held = io.BytesIO()
    program.save(held)
    return held.getvalue()


class Loss(nn.Module):
    """The first output of a network times fixed factors, summed."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        """A number."""
        found = self.module(*inputs)
        y = found[0] if isinstance(found, tuple) else found
        return (y * torch.cos(torch.arange(y.numel()).reshape(y.shape))).sum()


def network(name: str) -> Loss:
    """A network whose values neither vanish nor explode, no two of its parameters alike.

    The exporter makes one initializer of equal ones.
    """
    torch.manual_seed(3)
    made = Loss(NETWORKS[name]())
    made.eval()
    for p in made.parameters():
        p.data += 0.05 * torch.randn_like(p)
    norms = [m for m in made.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
        norm.train()
    with torch.no_grad():
        made(*_feeds(name).values())
    made.eval()
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_the_gradients_of_torch(name: str) -> None:
    module, feeds = network(name), _feeds(name)
    graph = sx.load(exported(module, feeds))
    weights = [n for n, _ in module.named_parameters() if n in graph.initializers]
    inputs = [n for n, x in feeds.items() if x.is_floating_point()]
    assert len(weights) >= 2
    made = sx.gradient(graph, [*weights, *inputs])
    assert not [f for f in sx.check(made) if f.is_error]
    session = sx.InferenceSession(made)
    outputs = session.run(None, {n: x.numpy() for n, x in feeds.items()})
    found: dict[str, Any] = dict(zip((v.name for v in made.outputs), outputs, strict=True))
    double = copy.deepcopy(module).double()
    ends = {n: x.double().requires_grad_() if n in inputs else x for n, x in feeds.items()}
    known = {**ends, **dict(double.named_parameters())}
    names = [*weights, *inputs]
    wanted = torch.autograd.grad(
        double(*ends.values()), [known[n] for n in names], allow_unused=True
    )
    exact = [
        torch.zeros_like(known[n]) if g is None else g for n, g in zip(names, wanted, strict=True)
    ]
    most = max(float(g.abs().max()) for g in exact)
    for n, grad in zip(names, exact, strict=True):
        scale = max(float(grad.abs().max()), 1e-3 * most)
        error = np.abs(found[f"{n}.grad"] - grad.numpy()).max() / scale
        assert error < 1e-4, n
