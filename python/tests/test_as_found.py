"""A check leaves no trace: not in what modules remember, and not in those that the loss function calls."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import isogain
from twins import classes


def spectral() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(64, 32)), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))


def state(*modules: nn.Module) -> list[Tensor]:
    return [tensor.clone() for module in modules for tensor in module.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def test_what_computed_weights_remember() -> None:
    model = spectral()
    before = state(model)
    isogain.check(model, classes(), nn.CrossEntropyLoss())
    assert same(before, state(model))


def test_training_is_the_same_with_checks_in_between(tmp_path: Path) -> None:
    def trained(**watching: Any) -> list[Tensor]:
        model = spectral()
        optimizer = torch.optim.Adam(model.parameters())
        inputs, targets = classes()
        with isogain.watch(model, optimizer, **watching) if watching else contextlib.nullcontext():
            for _ in range(12):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(inputs), targets).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return state(model)

    watching = {"batch": classes(), "loss_fn": nn.CrossEntropyLoss(), "run": tmp_path / "run", "on_finding": lambda _: None}
    assert same(trained(), trained(**watching))


def test_modules_that_the_loss_calls() -> None:
    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(10)

        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return nn.functional.cross_entropy(self.norm(outputs), targets)

    loss, critic = Loss(), spectral()[:1]
    before = state(loss, critic)
    isogain.check(nn.Linear(64, 10), classes(), loss)
    isogain.check(nn.Linear(64, 64), classes(), lambda outputs, targets: critic(outputs).square().mean() + loss(outputs[:, :10], targets))
    assert same(before, state(loss, critic))


def test_tensors_that_are_neither_parameters_nor_buffers() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.utils.weight_norm(nn.Linear(64, 10))
            self.register_buffer("mean", torch.zeros(10))
            self.last: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.last = self.first = self.layer(x)
            self.mean = 0.9 * self.mean + 0.1 * self.last.detach().mean(0)
            return self.last

    model = Caching()
    weight, mean = model.layer.weight, model.mean
    isogain.check(model, classes(), nn.CrossEntropyLoss())
    assert model.layer.weight is weight and model.mean is mean and not mean.any()
    assert model.last is None and not hasattr(model, "first")


def test_scripted_modules() -> None:
    part = torch.jit.script(nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU()))
    model = nn.Sequential(part, nn.Linear(32, 10))
    before = state(model)
    assert isogain.check(model, classes(), nn.CrossEntropyLoss()).flow["joints"]
    assert same(before, state(model))
    with pytest.raises(TypeError, match="compiled by TorchScript"):
        isogain.check(part, classes(), nn.CrossEntropyLoss())


def test_modules_without_shapes_are_refused() -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 10))
    with pytest.raises(ValueError, match=r"0\.weight has no shape yet: run one batch through the model first"):
        isogain.check(model, classes(), nn.CrossEntropyLoss())
    assert isinstance(model[0], nn.LazyLinear) and nn.parameter.is_lazy(model[0].weight)


def test_states_that_go_on_and_what_cannot_be_compared_are_left_as_found() -> None:
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head, self.state, self.log = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 2), None, []
            self.adjacency = torch.eye(4).to_sparse()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out, self.state = self.rnn(x, self.state)
            self.log.append(out)
            return self.head(torch.sparse.mm(self.adjacency, out[:, -1]))

    model, data = Stateful(), (torch.randn(4, 5, 8), torch.tensor([0, 1, 0, 1]))
    isogain.check(model, data, nn.CrossEntropyLoss())
    assert model.state is None and model.log == []
    model(data[0])
    state = model.state
    isogain.check(model, data, nn.CrossEntropyLoss())
    assert model.state is state and len(model.log) == 1
