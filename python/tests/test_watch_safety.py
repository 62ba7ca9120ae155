"""A watcher changes no number, kills no training and keeps no memory."""

from __future__ import annotations

import gc
import resource
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import isogain
from test_watch import batch, lines, mlp, train
from watch_models import GPT, Sample, images, loss_of, resnet, vgg, words


def weights_after(
    make: Callable[[], nn.Module], sample: Sample, steps: int, folder: Path | None, adam: bool
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    model = make()
    kind = torch.optim.Adam if adam else torch.optim.SGD
    optimizer = kind(model.parameters(), lr=1e-3 if adam else 0.05)
    generator = torch.Generator().manual_seed(1)
    w = None if folder is None else isogain.watch(model, optimizer, run=folder, every=1)
    for _ in range(steps):
        x, y = sample(generator)
        optimizer.zero_grad()
        loss = loss_of(model, x, y)
        if w is not None:
            w.loss(loss)
        loss.backward()
        optimizer.step()
    if w is not None:
        w.close()
        assert not w._guard.failures
    return {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()


@pytest.mark.parametrize(
    ("make", "sample", "adam"),
    [
        (lambda: mlp(4, he=True), batch, False),
        (lambda: nn.Sequential(*mlp(2)[:-1], nn.Dropout(0.3), nn.BatchNorm1d(64), nn.Linear(64, 10)), batch, True),
        (vgg, images, True),
        (resnet, images, False),
        (GPT, words, True),
    ],
    ids=["mlp", "dropout and batch norm", "vgg", "resnet", "gpt"],
)
def test_the_same_bits_watched_or_not(tmp_path: Path, make: Any, sample: Sample, adam: bool) -> None:
    steps = 200 if make is not resnet else 60
    plain, plain_state = weights_after(make, sample, steps, None, adam)
    watched, watched_state = weights_after(make, sample, steps, tmp_path / "run", adam)
    assert torch.equal(plain_state, watched_state)
    assert plain.keys() == watched.keys()
    for name in plain:
        assert torch.equal(plain[name], watched[name]), name


class Unreadable(nn.Module):
    """Returns complex numbers, which no statistic is for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft(x)


class Real(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.real


def test_what_cannot_be_read_is_switched_off_and_said_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), Unreadable(), Real(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    w = isogain.watch(model, optimizer, run=tmp_path / "run")
    train(model, optimizer, 5, w)
    with pytest.warns(UserWarning, match="switched off what it could not watch: 1: .*floating-point"):
        w.close()
    names = {joint["name"] for joint in lines(tmp_path / "run", "step")[-1]["joints"]}
    assert names == {"0", "2", "3"}


@pytest.mark.parametrize("method", ["_read_gradients", "_read_weights", "_mean_loss", "_description"])
def test_an_error_of_the_watcher_does_not_reach_the_training(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("a fault of the watcher")

    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monkeypatch.setattr(isogain.Watcher, method, fails)
    with pytest.warns(UserWarning, match="a fault of the watcher") as caught:
        with isogain.watch(model, optimizer) as w:
            train(model, optimizer, 30, w)
    assert len(caught) == 1


def test_a_disk_that_is_full_does_not_stop_a_training(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot create the folder"):
        with isogain.watch(model, optimizer, run=tmp_path / "file" / "run") as w:
            train(model, optimizer, 3, w)
            assert w._native.is_described(), "and it is still watched"


def test_everything_is_taken_away_at_the_end() -> None:
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    with isogain.watch(model, optimizer, loss_fn=criterion, scaler=torch.amp.GradScaler("cpu")) as w:
        assert any(module._forward_hooks for module in model.modules())
    w.close()
    for module in [*model.modules(), criterion]:
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks
    assert all(not parameter._post_accumulate_grad_hooks for parameter in model.parameters())


def test_between_measured_steps_no_hook_is_there() -> None:
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer) as w:
        train(model, optimizer, 23, w)
        assert not any(module._forward_hooks for layer in model for module in layer.modules())
        train(model, optimizer, 2, w)
        assert any(module._forward_hooks for layer in model for module in layer.modules())


def test_memory_does_not_grow() -> None:
    """Kept at most: 1024 losses, 16 records in flight and 16 with parameters; one copy of the weights."""
    torch.manual_seed(0)
    model = mlp(2, width=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with isogain.watch(model, optimizer, every=1) as w:
            train(model, optimizer, 1500, w)
            gc.collect()
            tracemalloc.start()
            before, resident = tracemalloc.get_traced_memory()[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            train(model, optimizer, 1500, w, seed=2)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
    assert grown < 64 * 1024, f"{grown} bytes of Python objects in 1500 steps"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 8 * 1024, "kilobytes of the process"


def test_activations_are_not_kept_alive() -> None:
    import weakref

    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept: list[weakref.ref[torch.Tensor]] = []
    with isogain.watch(model, optimizer):
        handle = model[2].register_forward_hook(lambda module, args, output: kept.append(weakref.ref(output)))
        x, y = batch(torch.Generator().manual_seed(1))
        F.cross_entropy(model(x), y).backward()
        handle.remove()
    assert kept and kept[0]() is None
