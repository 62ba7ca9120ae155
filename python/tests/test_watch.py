"""`isogain.watch`: from hooks to findings and the record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import isogain
from isogain.findings import FindingError, FindingWarning

PROTOTYPES = torch.randn(10, 64, generator=torch.Generator().manual_seed(7))


def batch(generator: torch.Generator, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten noisy prototypes: a task that a healthy network learns in 100 steps."""
    y = torch.randint(0, 10, (size,), generator=generator)
    return (PROTOTYPES[y] + torch.randn(size, 64, generator=generator)) / 2**0.5, y


def mlp(depth: int, width: int = 64, activation: Callable[[], nn.Module] = nn.ReLU, he: bool = False) -> nn.Sequential:
    """`depth` hidden layers, then ten logits."""
    layers: list[nn.Module] = []
    for at in range(depth):
        layers += [nn.Linear(width if at else 64, width), activation()]
    layers.append(nn.Linear(width, 10))
    model = nn.Sequential(*layers)
    if he:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
    return model


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, w: isogain.Watcher | None, seed: int = 1
) -> list[float]:
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        x, y = batch(generator)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        if w is not None:
            w.loss(loss)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def lines(run: Path, kind: str) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in (run / "run.jsonl").read_text().splitlines()]
    return [line for line in read if line["line"] == kind]


def rules(findings: list[isogain.Finding]) -> set[str]:
    """Names of all findings, consequences included."""
    found: set[str] = set()
    for finding in findings:
        found |= {finding.rule} | rules(list(finding.consequences))
    return found


def test_a_vanishing_gradient_is_found_told_and_recorded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(30)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with isogain.watch(model, optimizer, run=tmp_path / "run") as w:
            train(model, optimizer, 40, w)
    assert [(f.rule, f.level) for f in w.findings] == [("vanishing-gradient", "error")]
    (told,) = [str(warning.message) for warning in caught if warning.category is FindingWarning]
    for part in ("step 4: error[vanishing-gradient]", "layers    0 to 58", "help      rescale-init", "x0.408"):
        assert part in told
    (header,) = lines(tmp_path / "run", "header")
    assert [op["name"] for op in header["network"]["ops"]][:3] == ["0", "1", "2"]
    assert header["data"]["classes"] == 10
    (finding,) = lines(tmp_path / "run", "finding")
    assert finding["rule"] == "vanishing-gradient"
    steps = lines(tmp_path / "run", "step")
    assert [step["step"] for step in steps] == [*range(20), 20, 22, 25, 28, 32, 36]


def test_what_is_recorded_is_what_torch_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = batch(torch.Generator().manual_seed(3))
    with isogain.watch(model, optimizer, run=tmp_path / "run") as w:
        before = model[0].weight.detach().clone()
        hidden = model[1](model[0](x))
        hidden.retain_grad()
        loss = nn.functional.cross_entropy(model[4](model[3](model[2](hidden))), y)
        w.loss(loss)
        loss.backward()
        optimizer.step()
    (step,) = lines(tmp_path / "run", "step")
    assert step["loss"] == pytest.approx(loss.item())
    assert step["learning_rate"] == 0.1
    (weight,) = [p for p in step["parameters"] if p["name"] == "0.weight"]
    assert weight["weight"]["sum_of_squares"] == pytest.approx(before.double().square().sum().item())
    gradient = model[0].weight.grad
    assert gradient is not None
    assert weight["gradient"]["sum_of_squares"] == pytest.approx(gradient.double().square().sum().item())
    change = (model[0].weight - before).double()
    assert weight["update"]["sum_of_squares"] == pytest.approx(change.square().sum().item())
    (relu,) = [joint for joint in step["joints"] if joint["name"] == "1"]
    assert relu["activation"]["sum"] == pytest.approx(hidden.double().sum().item())
    assert relu["activation"]["zeros"] == int((hidden == 0).sum())
    assert hidden.grad is not None
    assert relu["cotangent"]["sum_of_squares"] == pytest.approx(hidden.grad.double().square().sum().item())


def test_findings_are_raised_or_handed_over() -> None:
    torch.manual_seed(0)
    model = mlp(30)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with pytest.raises(FindingError, match="vanishing-gradient"):
        with isogain.watch(model, optimizer, on_finding="raise") as w:
            train(model, optimizer, 40, w)
    assert not model[0]._forward_hooks
    seen: list[isogain.Finding] = []
    with isogain.watch(model, optimizer, on_finding=seen.append) as w:
        train(model, optimizer, 40, w)
    assert [finding.rule for finding in seen] == ["vanishing-gradient"]


def test_the_optimizer_of_another_model_is_warned_of() -> None:
    model = mlp(2)
    with pytest.warns(UserWarning, match="holds no parameter of this model") as warned:
        isogain.watch(model, torch.optim.SGD(mlp(2).parameters(), 0.1)).close()
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        isogain.watch(model, torch.optim.SGD(list(model.parameters())[:1], 0.1)).close()
        isogain.watch(model).close()


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    model = mlp(2)
    with pytest.raises(ValueError, match="every is 0; it must be at least 1"):
        isogain.watch(model, every=0)
    with pytest.raises(ValueError, match='"warn", "raise" or a function'):
        isogain.watch(model, on_finding="shout")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="list is no torch|str is no torch"):
        isogain.watch(model, "adam")
    (tmp_path / "run.jsonl").write_text("{}")
    with pytest.raises(ValueError, match="run.jsonl"):
        isogain.watch(model, run=tmp_path)


def test_the_record_is_read_by_the_command(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(30)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with isogain.watch(model, optimizer, run=tmp_path / "run", on_finding=lambda finding: None) as w:
        train(model, optimizer, 20, w)
    command = [sys.executable, "-m", "isogain", "view", str(tmp_path / "run"), "--html", str(tmp_path / "run.html")]
    path = os.pathsep.join([str(Path(isogain.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert "run.html" in done.stderr, done.stderr
    page = (tmp_path / "run.html").read_text()
    assert "vanishing-gradient" in page and "isogain.watch" in page
