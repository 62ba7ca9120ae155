"""Activations that are called as functions: seen as modules are, at steps that are measured in full."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import isogain
from test_watch import batch, lines, mlp, train


class Called(nn.Module):
    """The twin of `mlp`, whose activations are functions."""

    def __init__(self, depth: int, phi: Callable[[torch.Tensor], torch.Tensor], width: int = 64) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64 if at == 0 else width, width) for at in range(depth)])
        self.head, self.phi = nn.Linear(width, 10), phi

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = self.phi(layer(x))
        out: torch.Tensor = self.head(x)
        return out


def twins(depth: int, module: Callable[[], nn.Module], phi: Callable[[torch.Tensor], torch.Tensor]) -> list[nn.Module]:
    torch.manual_seed(0)
    of_modules, of_calls = mlp(depth, activation=module), Called(depth, phi)
    of_calls.load_state_dict(dict(zip(of_calls.state_dict(), of_modules.state_dict().values())))
    return [of_modules, of_calls]


PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[torch.Tensor], torch.Tensor]]] = {
    "relu": (nn.ReLU, F.relu),
    "relu in place": (nn.ReLU, lambda x: F.relu(x, inplace=True)),
    "tanh": (nn.Tanh, torch.tanh),
    "sigmoid": (nn.Sigmoid, torch.Tensor.sigmoid),
    "gelu": (nn.GELU, F.gelu),
    "leaky relu": (lambda: nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)),
    "elu": (nn.ELU, F.elu),
    "selu": (nn.SELU, F.selu),
    "hard tanh": (nn.Hardtanh, F.hardtanh),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_called_activation_is_recorded_as_its_module_is(tmp_path: Path, name: str) -> None:
    records, ends = [], []
    for at, model in enumerate(twins(3, *PAIRS[name])):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with isogain.watch(model, optimizer, run=tmp_path / str(at), every=1) as w:
            train(model, optimizer, 3, w)
            assert not w._guard.failures and not w._native.problems()
        records.append(lines(tmp_path / str(at), "step"))
        ends.append([value.clone() for value in model.state_dict().values()])
        network = lines(tmp_path / str(at), "header")[0]["network"]
        records[-1].append([{key: value for key, value in op.items() if key != "name"} for op in network["ops"]])
    for one, other in zip(*(record[:-1] for record in records)):
        for left, right in zip(one["joints"], other["joints"], strict=True):
            assert (left["activation"], left["cotangent"]) == (right["activation"], right["cotangent"]), left["name"]
    assert records[0][-1] == records[1][-1], "the network is understood as the same"
    assert all(torch.equal(a, b) for a, b in zip(*ends))


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_on_a_device_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = []
    for where in ("native", "device"):
        _, model = twins(3, *PAIRS[name])
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        monkeypatch.setattr("isogain.watching.watcher.is_on_device", lambda model: where == "device")
        with isogain.watch(model, optimizer, run=tmp_path / where) as w:
            train(model, optimizer, 2, w)
            assert not w._guard.failures
        found.append(lines(tmp_path / where, "step"))
        found[-1].append(lines(tmp_path / where, "header")[0]["network"])
    native, device = found
    assert native[-1] == device[-1]
    for left, right in zip(native[0]["joints"], device[0]["joints"], strict=True):
        assert left["name"] == right["name"]
        for tensor in ("activation", "cotangent"):
            assert left[tensor]["sum_of_squares"] == pytest.approx(right[tensor]["sum_of_squares"])


def test_names_are_those_of_check(tmp_path: Path) -> None:
    model = Called(3, torch.tanh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer, run=tmp_path / "run") as w:
        train(model, optimizer, 1, w)
    seen = [joint["name"] for joint in lines(tmp_path / "run", "step")[0]["joints"]]
    x, y = batch(torch.Generator().manual_seed(1))
    flow = isogain.check(model, (x, y), F.cross_entropy).flow
    checked = [joint["name"] for joint in [*flow["joints"], *flow["head"]["joints"]]]
    assert seen == ["layers.0", "tanh", "layers.1", "tanh-2", "layers.2", "tanh-3", "head"]
    assert set(seen) == set(checked)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_units_that_do_nothing_are_found_as_with_modules(name: str) -> None:
    found = []
    for model in twins(4, *PAIRS[name]):
        torch.manual_seed(1)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.Linear):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu").mul_(1.0 if name == "relu" else 30.0)
        optimizer = torch.optim.Adam(model.parameters(), lr=2.0 if name == "relu" else 1e-4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with isogain.watch(model, optimizer) as w:
                train(model, optimizer, 60, w)
        found.append([(finding.rule, finding.step) for finding in w.findings])
    rule = "dead-units" if name == "relu" else "saturated-units"
    assert rule in [name for name, _ in found[0]]
    assert found[0] == found[1]


class Net(nn.Module):
    """What people write: a residual sum, pooling, a flattened image, an activation at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.fc, self.norm = nn.MaxPool2d(2), nn.Linear(64, 10), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.conv1(x.view(-1, 1, 8, 8)))
        h = self.pool(F.relu(h + self.norm(self.conv2(h))))
        return torch.sigmoid(self.fc(F.silu(h).flatten(1)))


def test_where_activations_stand_in_a_real_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer, run=tmp_path / "run") as w:
        train(model, optimizer, 2, w)
        assert not w._guard.failures and not w._native.problems()
    for step in lines(tmp_path / "run", "step"):
        names = [joint["name"] for joint in step["joints"]]
        assert names == ["conv1", "relu", "conv2", "norm", "relu-2", "silu", "fc", "sigmoid"]
        sizes = {joint["name"]: joint["activation"]["count"] for joint in step["joints"]}
        assert sizes["relu"] == sizes["relu-2"] == 64 * 4 * 64 and sizes["silu"] == 64 * 64


def test_a_called_activation_does_not_stand_for_a_module() -> None:
    """A module that is an activation, or calls one itself, is seen once."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), Wrapped(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer) as w:
        train(model, optimizer, 1, w)
        assert w._native.names("activation") == ["0", "1", "2", "3", "4"]


class Wrapped(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_regions_are_run_again_as_often_as_without_a_watcher(reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
            self.runs = 0

        def region(self, x: torch.Tensor) -> torch.Tensor:
            self.runs += 1
            return F.relu(self.second(torch.tanh(x)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h: Any = checkpoint(self.region, self.first(x), use_reentrant=reentrant)
            out: torch.Tensor = self.head(h)
            return out

    found = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = Checkpointed()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        w = isogain.watch(model, optimizer) if watched else None
        losses = train(model, optimizer, 3, w)
        if w is not None:
            w.close()
            assert not w._guard.failures
        found.append((model.runs, losses))
    assert found[0] == found[1]


def test_between_measured_steps_a_called_activation_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Called(2, F.relu)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer) as w:
        train(model, optimizer, 21, w)
        assert w._taps is not None and w._taps.functional is not None
        monkeypatch.setattr(w._taps.functional, "read", lambda given: pytest.fail("step 21 is not measured"))
        train(model, optimizer, 1, w)
