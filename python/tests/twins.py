"""Small ill networks and their healthy twins, written as people write them. Each ill one names the rule that must lead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Subject:
    model: nn.Module
    batch: tuple[Any, Any]
    loss: Callable[..., Tensor] = F.cross_entropy
    optimizer: torch.optim.Optimizer | None = None


@dataclass(frozen=True)
class Twins:
    rule: str
    """What an error or warning about the ill one must be called."""
    ill: Callable[[], Subject]
    healthy: Callable[[], Subject]


def classes(samples: int = 64, features: int = 64) -> tuple[Tensor, Tensor]:
    labels = torch.arange(samples) % 10
    return torch.randn(10, features)[labels] + 0.5 * torch.randn(samples, features), labels


def images(samples: int = 16) -> tuple[Tensor, Tensor]:
    return torch.randn(samples, 3, 16, 16), torch.arange(samples) % 10


def mlp(depth: int, width: int = 64, activation: type[nn.Module] = nn.ReLU, outputs: int = 10) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(64, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def drawn(model: nn.Module, weights: Callable[[Tensor], Any], bias: float = 0.0) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            weights(module.weight)
            nn.init.constant_(module.bias, bias)
    return model


def he(weight: Tensor) -> Any:
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


def vgg_like() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for block in range(4):
        for _ in range(3):
            layers += [nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(inplace=True)]
            channels = 32
        layers += [nn.MaxPool2d(2)] if block < 2 else []
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


class Block(nn.Module):
    def __init__(self, scale: float, width: int = 64) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.fc2(F.relu(self.fc1(F.relu(x))))


class ReZero(Block):
    """The branch starts at exactly zero, and its weights get no gradient in the first step: healthy."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gate * self.fc2(F.relu(self.fc1(F.relu(x))))


def residual(block: Callable[[], nn.Module], count: int = 40) -> nn.Module:
    return drawn(nn.Sequential(nn.Linear(64, 64), *(block() for _ in range(count)), nn.Linear(64, 10)), he)


def regression(head: nn.Module | None, scale: float, shift: float = 0.0, outputs: int = 4) -> Subject:
    inputs = torch.randn(64, 64)
    targets = scale * torch.tanh(inputs[:, :outputs]) + shift
    body = mlp(2, activation=nn.Tanh, outputs=outputs)
    return Subject(body if head is None else nn.Sequential(*body, head), (inputs, targets), F.mse_loss)


def normed(norm: Callable[[int], nn.Module], samples: int) -> Subject:
    layers: list[nn.Module] = [nn.Linear(64, 32), norm(32), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Linear(32, 32), norm(32), nn.ReLU()]
    return Subject(nn.Sequential(*layers, nn.Linear(32, 10)), classes(samples))


def one_unit(outputs: int) -> Subject:
    inputs, labels = classes()
    return Subject(mlp(2, outputs=outputs), (inputs, labels % outputs))


def tiny_gradients(eps: float) -> Subject:
    """A loss that somebody divided by the number of pixels, say."""
    model = drawn(mlp(3), he)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=eps)
    return Subject(model, classes(), lambda output, target: 1e-9 * F.cross_entropy(output, target), optimizer)


def raw_pixels(raw: bool) -> Subject:
    pixels = torch.randint(0, 256, (64, 64)).float()
    inputs = pixels if raw else (pixels - 127.5) / 74.0
    return Subject(drawn(mlp(2, activation=nn.Sigmoid), nn.init.xavier_normal_), (inputs, torch.arange(64) % 10))


TWINS = {
    "default init, 30 layers": Twins(
        "vanishing-gradient",
        lambda: Subject(mlp(30), classes()),
        lambda: Subject(drawn(mlp(30), he), classes()),
    ),
    "sigmoid, 12 layers": Twins(
        "vanishing-gradient",
        lambda: Subject(mlp(12, activation=nn.Sigmoid), classes()),
        lambda: Subject(drawn(mlp(12, activation=nn.Tanh), nn.init.xavier_normal_), classes()),
    ),
    "weights of deviation 1": Twins(
        "exploding-activation",
        lambda: Subject(drawn(mlp(8), nn.init.normal_), classes()),
        lambda: Subject(drawn(mlp(8), he), classes()),
    ),
    "convolutions of deviation 0.01": Twins(
        "vanishing-activation",
        lambda: Subject(drawn(vgg_like(), lambda weight: nn.init.normal_(weight, std=0.01)), images()),
        lambda: Subject(drawn(vgg_like(), he), images()),
    ),
    "zero weights": Twins(
        "symmetric-weights",
        lambda: Subject(drawn(mlp(4), nn.init.zeros_), classes()),
        lambda: Subject(residual(ReZero), classes()),
    ),
    "raw pixels": Twins("unscaled-input", lambda: raw_pixels(True), lambda: raw_pixels(False)),
    "sigmoid head, targets from -1 to 1": Twins(
        "blocked-output", lambda: regression(nn.Sigmoid(), 1.0), lambda: regression(nn.Tanh(), 0.9)
    ),
    "ReLU head, negative targets": Twins(
        "blocked-output", lambda: regression(nn.ReLU(), 0.5, shift=-2.0), lambda: regression(None, 0.5, shift=-1.0)
    ),
    "softmax over one unit": Twins("blocked-output", lambda: one_unit(1), lambda: one_unit(2)),
    "40 unscaled residual blocks": Twins(
        "unscaled-residual",
        lambda: Subject(residual(lambda: Block(1.0)), classes()),
        lambda: Subject(residual(lambda: Block(40**-0.5)), classes()),
    ),
    "batch norm over two samples": Twins(
        "small-batch-norm", lambda: normed(nn.BatchNorm1d, 2), lambda: normed(nn.LayerNorm, 2)
    ),
    "units that are born dead": Twins(
        "dead-units",
        lambda: Subject(drawn(mlp(3), he, bias=-50.0), classes()),
        lambda: Subject(drawn(mlp(3), he), classes()),
    ),
    "gradients below Adam's eps": Twins(
        "gradient-below-eps", lambda: tiny_gradients(1e-8), lambda: tiny_gradients(1e-20)
    ),
}
