"""What is found while training: nothing in what trains, and the illness by name in what does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import isogain
from test_watch import batch, lines, mlp, rules, train
from watch_models import GPT, Recurrent, Sample, he, images, loss_of, resnet, vgg, words


def run(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    sample: Sample,
    count: int,
    tmp_path: Path | None = None,
    **settings: object,
) -> tuple[isogain.Watcher, list[float]]:
    generator = torch.Generator().manual_seed(1)
    losses = []
    folder = None if tmp_path is None else tmp_path / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", isogain.FindingWarning)
        with isogain.watch(model, optimizer, run=folder, **settings) as w:
            for _ in range(count):
                x, y = sample(generator)
                optimizer.zero_grad()
                loss = loss_of(model, x, y)
                w.loss(loss)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return w, losses


def sgd(model: nn.Module, lr: float = 0.05, momentum: float = 0.0) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)


HEALTHY: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], torch.optim.Optimizer], Sample]] = {
    "He MLP, SGD": (he, sgd, batch),
    "He MLP, Adam": (he, lambda model: torch.optim.Adam(model.parameters(), lr=1e-3), batch),
    "tanh MLP, SGD": (lambda: mlp(6, activation=nn.Tanh), lambda model: sgd(model, 0.2), batch),
    "ResNet-18, SGD": (resnet, lambda model: sgd(model, 0.05, 0.9), images),
    "ResNet-18, SGD, high rate": (resnet, lambda model: sgd(model, 0.2, 0.9), images),
    "VGG-11 BN, Adam": (vgg, lambda model: torch.optim.Adam(model.parameters(), lr=1e-3), images),
    "GPT, AdamW": (GPT, lambda model: torch.optim.AdamW(model.parameters(), lr=3e-3), words),
    "GPT, SGD": (GPT, lambda model: sgd(model, 0.3, 0.9), words),
    "LSTM, Adam": (Recurrent, lambda model: torch.optim.Adam(model.parameters(), lr=1e-2), words),
}


@pytest.mark.parametrize("every", [None, 1])
@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_wrong_with_what_trains(name: str, every: int | None) -> None:
    torch.manual_seed(0)
    make, optimizer, sample = HEALTHY[name]
    model = make()
    w, losses = run(model, optimizer(model), sample, 100, every=every)
    assert min(losses[-10:]) < 0.85 * losses[0], "the test's own claim that it trains"
    assert w.findings == []
    assert not w._guard.failures and not w._native.problems()


def test_a_deep_network_with_the_default_initialisation_vanishes() -> None:
    for optimizer in (sgd, lambda model: torch.optim.Adam(model.parameters(), lr=1e-3)):
        torch.manual_seed(0)
        model = mlp(30)
        w, _ = run(model, optimizer(model), batch, 30)
        assert (w.findings[0].rule, w.findings[0].level) == ("vanishing-gradient", "error")
        assert w.findings[0].layers == ("0", "58")


def test_a_deep_sigmoid_network_vanishes() -> None:
    torch.manual_seed(0)
    model = mlp(15, activation=nn.Sigmoid)
    w, _ = run(model, sgd(model), batch, 30)
    assert "vanishing-gradient" in rules(w.findings)
    assert w.findings[0].level == "error"


def test_a_learning_rate_that_kills_relus_leaves_dead_units() -> None:
    torch.manual_seed(0)
    model = mlp(4, he=True)
    w, _ = run(model, torch.optim.Adam(model.parameters(), lr=2.0), batch, 60)
    worst = [finding for finding in w.findings if finding.rule == "dead-units"][-1]
    assert worst.level == "error" and "no gradient passes" in worst.message
    assert "exactly-zero-gradient" in rules(w.findings)


def test_a_learning_rate_that_is_too_high_makes_the_loss_run_away(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(4, activation=nn.Tanh)
    w, losses = run(model, sgd(model, 30.0), batch, 40, tmp_path)
    assert losses[-1] > 5 * losses[0]
    finding = next(f for f in w.findings if f.rule == "diverging-loss")
    assert finding.level == "error" and "change-learning-rate" in finding.remedies


@pytest.mark.parametrize("every", [1, None])
def test_the_first_non_finite_value_is_named_with_layer_and_step(tmp_path: Path, every: int | None) -> None:
    torch.manual_seed(0)
    model = mlp(4, he=True)
    optimizer = sgd(model)
    generator = torch.Generator().manual_seed(1)
    with pytest.warns(isogain.FindingWarning, match="non-finite"):
        with isogain.watch(model, optimizer, run=tmp_path / "run", every=every) as w:
            for step in range(30):
                x, y = batch(generator)
                if step == 18:
                    with torch.no_grad():
                        model[4].weight[3, 5] = float("nan")
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                w.loss(loss)
                loss.backward()
                optimizer.step()
    assert [f.rule for f in w.findings] == ["non-finite"]
    assert (w.findings[0].step, w.findings[0].layers) == (18, ("4", "4"))
    assert "in 4 (forward)" in w.findings[0].message
    written = [step["step"] for step in lines(tmp_path / "run", "step")]
    assert written[:19] == list(range(19))


def test_the_flight_recorder_writes_what_led_to_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(3, he=True)
    optimizer = sgd(model)
    generator = torch.Generator().manual_seed(1)
    with pytest.warns(isogain.FindingWarning, match="step 95"):
        with isogain.watch(model, optimizer, run=tmp_path / "run", every=1) as w:
            for step in range(97):
                x, y = batch(generator)
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                w.loss(loss)
                loss.backward()
                if step == 95:
                    assert model[2].weight.grad is not None
                    model[2].weight.grad[0, 0] = float("inf")
                optimizer.step()
    assert w.findings[0].message.startswith("the first non-finite value appears at step 95 in 2.weight")
    written = [step["step"] for step in lines(tmp_path / "run", "step")]
    assert sorted(step for step in written if step >= 80) == list(range(80, 97))


def test_a_run_that_breaks_between_measured_steps_is_found_by_its_loss() -> None:
    torch.manual_seed(0)
    model = mlp(3, he=True)
    optimizer = sgd(model)
    generator = torch.Generator().manual_seed(1)
    with pytest.warns(isogain.FindingWarning, match="non-finite"):
        with isogain.watch(model, optimizer) as w:
            for step in range(40):
                x, y = batch(generator)
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x if step != 30 else x * float("nan")), y)
                w.loss(loss)
                loss.backward()
                optimizer.step()
    assert w.findings[0].step == 30
    assert len(w.findings) == 1


def test_half_precision_without_loss_scaling_loses_the_gradient() -> None:
    torch.manual_seed(0)
    model = mlp(8).half()
    optimizer = sgd(model)

    def half(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = batch(generator, 256)
        return x.half(), y

    w, _ = run(model, optimizer, half, 20)
    assert "gradient-underflow" in rules(w.findings)
    finding = w.findings[0]
    assert "fp16 without loss scaling" in str(finding) and "GradScaler" in str(finding)


def test_loss_scaling_keeps_half_precision() -> None:
    torch.manual_seed(0)
    model = mlp(3, he=True)
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    generator = torch.Generator().manual_seed(1)
    with isogain.watch(model, optimizer, scaler=scaler) as w:
        for _ in range(30):
            x, y = batch(generator, 256)
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.float16):
                loss = F.cross_entropy(model(x), y)
            w.loss(loss)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    assert w.findings == []


def test_inputs_that_are_not_scaled_are_found_at_the_first_step() -> None:
    torch.manual_seed(0)
    model = mlp(3, he=True)

    def bytes_(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = batch(generator)
        return 128 + 128 * x, y

    w, _ = run(model, sgd(model, 1e-4), bytes_, 3)
    assert (w.findings[0].rule, w.findings[0].step) == ("unscaled-input", 0)


def test_planned_steps_tell_a_learning_rate_that_is_too_low() -> None:
    torch.manual_seed(0)
    model = he(3)
    w, _ = run(model, sgd(model, 1e-7), batch, 12, steps=200)
    assert "learning-rate-too-low" in rules(w.findings)
    torch.manual_seed(0)
    model = he(3)
    w, _ = run(model, sgd(model, 1e-7), batch, 12)
    assert w.findings == []


def test_what_starts_at_zero_on_purpose_is_healthy() -> None:
    class ReZero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(64, 32), nn.Linear(32, 10)
            self.branches = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.ReLU()) for _ in range(6))
            self.scale = nn.Parameter(torch.zeros(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.stem(x)
            for at, branch in enumerate(self.branches):
                h = h + self.scale[at] * branch(h)
            out: torch.Tensor = self.head(h)
            return out

    torch.manual_seed(0)
    model = ReZero()
    w, losses = run(model, sgd(model, 0.1), batch, 60)
    assert losses[-1] < 0.7 * losses[0]
    assert w.findings == []


def test_a_fine_tuned_network_with_tiny_losses_is_healthy() -> None:
    torch.manual_seed(0)
    model = he(3)
    train(model, sgd(model, 0.1), 300, None)
    w, losses = run(model, sgd(model, 1e-3), batch, 80, steps=80)
    assert max(losses) < 0.7
    assert w.findings == []
