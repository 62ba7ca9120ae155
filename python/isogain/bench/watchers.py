"""What is compared: this package at several cadences, and what people use otherwise. One line of the table each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import torch

from isogain.bench.models import Task

__all__ = ["WATCHERS", "Step", "Unavailable"]

#: One training step.
Step = Callable[[], None]


class Unavailable(Exception):
    """What is not installed, so that it cannot be compared, and how to get it."""


def plain(task: Task, after: Callable[[torch.Tensor], object] = lambda loss: None) -> Step:
    """A training without a watcher; `after` runs between backward pass and update."""
    optimizer = torch.optim.SGD(task.model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss = task.loss()
        loss.backward()  # type: ignore[no-untyped-call]
        after(loss)
        optimizer.step()

    return step


def _isogain(every: int | None, **settings: Any) -> Callable[[Task], Step]:
    def make(task: Task) -> Step:
        import isogain

        optimizer = torch.optim.SGD(task.model.parameters(), lr=1e-4)
        folder = tempfile.mkdtemp()
        w = isogain.watch(task.model, optimizer, run=os.path.join(folder, "run"), every=every, **settings)

        def step() -> None:
            optimizer.zero_grad()
            loss = task.loss()
            w.loss(loss)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return step

    return make


def _norms(task: Task) -> Step:
    def log(loss: torch.Tensor) -> list[float]:
        return [p.grad.norm().item() for p in task.model.parameters() if p.grad is not None]

    return plain(task, log)


def _imported(name: str) -> Any:
    """A package that is there, though what it needs may not be."""
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        raise Unavailable(f"what {name} itself imports: {missing}") from missing


def _wandb(task: Task) -> Step:
    if importlib.util.find_spec("wandb") is None:
        raise Unavailable("pip install wandb")
    wandb = _imported("wandb")
    folder = tempfile.mkdtemp()
    run = wandb.init(mode="offline", dir=folder, project="isogain-bench", settings=wandb.Settings(silent=True))
    run.watch(task.model, log="gradients", log_freq=1)
    return plain(task, lambda loss: run.log({"loss": loss.item()}))


def _tensorboard(task: Task) -> Step:
    if importlib.util.find_spec("tensorboard") is None:
        raise Unavailable("pip install tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(tempfile.mkdtemp())
    count = 0

    def log(loss: torch.Tensor) -> None:
        nonlocal count
        count += 1
        for name, parameter in task.model.named_parameters():
            writer.add_histogram(name, parameter.grad, count)

    return plain(task, log)


def _torchexplorer(task: Task) -> Step:
    # It lays its graph out by a program of graphviz that pip does not bring, and fails without it.
    missing = [] if importlib.util.find_spec("torchexplorer") else ["pip install torchexplorer"]
    missing += [] if shutil.which("dot") else ["the program `dot` of graphviz"]
    if missing:
        raise Unavailable(" and ".join(missing))
    torchexplorer = _imported("torchexplorer")
    torchexplorer.watch(task.model, log_freq=1, backend="standalone")
    return plain(task)


WATCHERS: dict[str, Callable[[Task], Step]] = {
    "nothing (null)": plain,
    "isogain, every step": _isogain(1),
    "isogain, default": _isogain(None),
    "isogain, every step, no activations": _isogain(1, activations=False),
    "p.grad.norm().item() each": _norms,
    "wandb.watch gradients, every step": _wandb,
    "TensorBoard histograms, every step": _tensorboard,
    "torchexplorer": _torchexplorer,
}
