"""Whether neighbouring inputs get gradients that are alike, along an arc from one sample to another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import isogain
from isogain import neighbours


def vectors(samples: int = 32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(samples, 64), torch.randint(0, 10, (samples,))


def mlp(depth: int, norm: Callable[[], nn.Module] = nn.Identity, act: type[nn.Module] = nn.ReLU, gain: float = 2**0.5) -> nn.Module:
    """64 units, He's weights for ReLU, no biases to begin with."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layer = nn.Linear(64, 64)
        nn.init.normal_(layer.weight, std=gain / 8)
        nn.init.zeros_(layer.bias)
        layers += [layer, norm(), act()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        block = lambda: nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())
        self.blocks, self.head = nn.ModuleList([block() for _ in range(24)]), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def verdict(report: isogain.Report) -> str:
    return next(told["verdict"] for told in report.differential if told["kind"] == "shatter")


@pytest.mark.parametrize(
    ("model", "is_shattered"),
    [
        (lambda: mlp(30), False),
        (lambda: mlp(24, lambda: nn.BatchNorm1d(64)), True),
        (Residual, False),
        (lambda: mlp(24, act=nn.Tanh, gain=1.0), False),
        (lambda: mlp(24, act=nn.Tanh, gain=3.0), True),
    ],
)
def test_it_is_measured_as_in_a_recipes_check(model: Callable[[], nn.Module], is_shattered: bool) -> None:
    report = isogain.check(model(), vectors(), F.cross_entropy)
    rules = [finding["rule"] for finding in report.findings]
    assert ("shattered-gradient" in rules) is is_shattered
    assert verdict(report) == ("holds" if is_shattered else "clear")


def test_a_network_without_kinks_and_depth_by_hand() -> None:
    """Of a linear model under the squared error dL/dx is (w.x - y) w / batch: two numbers at neighbouring points."""
    inputs, targets = vectors(8)[0], torch.randn(8, 1)
    model = nn.Sequential(nn.Linear(64, 8, bias=False), nn.Linear(8, 1, bias=False))
    measured = isogain.check(model, (inputs, targets), F.mse_loss).snapshot["shattering"]
    t = torch.linspace(0, math.pi / 2, 64, dtype=torch.float64)
    a, b = inputs[0].double(), inputs[1].double()
    arc = t.cos()[:, None] * a + t.sin()[:, None] * b
    hidden = arc @ model[0].weight.double().T
    errors = (hidden @ model[1].weight.double().T).flatten() - targets[0].double()

    def correlation(rows: Tensor) -> float:
        return float((rows[1:] * rows[:-1]).sum() / (0.5 * (rows[1:].square() + rows[:-1].square()).sum()))

    assert math.isclose(measured["gradient_correlation"], correlation(errors[:, None].detach()), abs_tol=1e-5)
    assert math.isclose(measured["activation_correlation"], correlation((hidden - hidden.mean(0)).detach()), abs_tol=1e-5)


def test_images_and_what_comes_beside_them() -> None:
    class Conditioned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.of_kind = nn.Conv2d(3, 8, 3), nn.Embedding(4, 8)
            self.head = nn.Linear(8, 10)

        def forward(self, image: Tensor, kind: Tensor) -> Tensor:
            return self.head((self.first(image).relu().mean((2, 3)) + self.of_kind(kind)).relu())

    batch = (torch.randn(6, 3, 8, 8), torch.randint(0, 4, (6,))), torch.randint(0, 10, (6,))
    assert verdict(isogain.check(Conditioned(), batch, F.cross_entropy)) == "clear"


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 16), nn.Linear(16, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embed(tokens).mean(1))


class OfOneSize(nn.Module):
    """Takes batches of eight alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.offset, self.head = nn.Linear(64, 64), nn.Parameter(torch.zeros(8, 64)), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.layer(x) + self.offset).relu())


@pytest.mark.parametrize(
    ("model", "batch", "loss"),
    [
        (Tokens, (torch.randint(0, 10, (8, 5)), torch.randint(0, 10, (8,))), F.cross_entropy),
        (OfOneSize, vectors(8), F.cross_entropy),
        (lambda: mlp(2), vectors(1), F.cross_entropy),
        # Nobody knows which of its targets belongs to which input.
        (lambda: mlp(2), (vectors(8)[0], None), lambda output: F.cross_entropy(output, vectors(8)[1])),
        (lambda: mlp(2), (vectors(8)[0], torch.randint(0, 10, (8,))), lambda output, _: F.cross_entropy(output, vectors(8)[1])),
    ],
)  # fmt: skip
def test_where_it_cannot_be_measured_it_is_unknown(model: Callable[[], nn.Module], batch: Any, loss: Callable[..., Tensor]) -> None:
    assert verdict(isogain.check(model(), batch, loss)) == "unknown"


def test_a_large_pass_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_VALUES", 64 * (64 * 3 + 20))
    assert verdict(isogain.check(mlp(1), vectors(), F.cross_entropy)) == "clear"
    assert verdict(isogain.check(mlp(2), vectors(), F.cross_entropy)) == "unknown"


def test_nothing_of_it_stays() -> None:
    model, batch = mlp(3, lambda: nn.BatchNorm1d(64)), vectors()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    isogain.check(model, batch, F.cross_entropy)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
