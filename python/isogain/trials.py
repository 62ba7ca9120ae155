"""Trials of a PyTorch model: one training as the schedule asks for it, and how it is judged.

A trial depends on its job alone: the model is built and drawn after `torch.manual_seed(seed)`, batches are a function
of seed and step, and it is judged in evaluation mode on the same data whatever was done to the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn, optim
from torch.utils._pytree import tree_leaves, tree_map

from isogain.data import Data
from isogain.surgery import Treatment, set_optimizer, treat
from isogain.surgery.modules import run
from isogain.surgery.standardise import Scaling

BuildModel = Callable[[], nn.Module]
LossFunction = Callable[[Any, Any], Tensor]
MakeOptimizer = Callable[[Any], optim.Optimizer]
Metric = Callable[[Any, Any], float]


class Job(NamedTuple):
    """One training to run, as the schedule asked for it."""

    id: int
    arm: int
    """0 is the untreated model, i + 1 the i-th prescription."""
    learning_rate: float
    seed: int
    steps: int


class AskTell(Protocol):
    """Something that asks for trials and is told what came out."""

    def ask(self) -> tuple[int, int, float, int, int] | None: ...
    def tell(self, id: int, score: str, /) -> None: ...
    def is_finished(self) -> bool: ...


@dataclass
class Outcome:
    """What came out of a trial; a loss or metric is `None` where it is not finite or does not apply."""

    loss: float | None = None
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    test_loss: float | None = None
    losses: list[float | None] = field(default_factory=list)
    """Loss of each step's batch."""
    failure: str | None = None
    """Why the training ended early: the error it raised, or where the loss stopped being finite."""
    out_of_time: bool = False
    """Whether it was ended because the whole search's time was over."""
    raised: bool = False
    """Whether that was an error: divergence is expected of the largest learning rates."""
    seconds: float = 0.0
    where: str = "here"
    """Which worker or node ran it."""

    def score(self) -> dict[str, float | None]:
        """What the schedule is told."""
        names = ("loss", "train_accuracy", "test_accuracy", "test_loss")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Trial:
    """Everything a training needs besides its job; runs in any process that holds it."""

    build_model: BuildModel
    data: Data
    loss_fn: LossFunction
    make_optimizer: MakeOptimizer
    learning_rate: float
    """The optimizer's own learning rate; a job's replaces it."""
    metric: Metric | None
    arms: list[dict[str, Any]]
    """Changes of each arm; the first is empty."""
    deadline: float | None = None
    """When every training ends, whatever it is at, as `time.time` counts, which the machines of a cluster agree on."""

    def __call__(self, job: Job) -> Outcome:
        """Trains and judges. What the model's code raises makes the trial a failed one."""
        start = time.monotonic()
        outcome = Outcome()
        try:
            self.train(job, outcome)
        except Exception as error:  # whatever a user's model raises is the trial's result, not the search's end
            outcome.failure, outcome.raised = f"{type(error).__name__}: {error}", True
            outcome.loss = outcome.test_loss = None
        outcome.seconds = time.monotonic() - start
        return outcome

    def build(self, seed: int, arm: int) -> Treatment:
        """A fresh treated model, on whatever device `build_model` puts it."""
        return build(self.build_model, self.arms[arm], self.data, seed)

    def train(self, job: Job, outcome: Outcome) -> None:
        training = Training(self, job.arm, job.learning_rate, job.seed)
        for step in range(job.steps):
            if self.deadline is not None and time.time() > self.deadline:
                outcome.out_of_time = True
                return
            value = training.update()
            outcome.losses.append(finite(value))
            if outcome.losses[-1] is None:
                outcome.failure = f"the loss is {value} at step {step}"
                return
        training.judge(outcome)


class Training:
    """A training of one arm in progress."""

    def __init__(self, trial: Trial, arm: int, learning_rate: float, seed: int) -> None:
        self.trial = trial
        self.treatment = trial.build(seed, arm)
        self.model = self.treatment.model
        self.optimizer = trial.make_optimizer(trained(self.model))
        settings = {**self.treatment.optimizer, "learning_rate": learning_rate}
        set_optimizer(self.optimizer, settings, self.model, self.treatment.ends)
        self.place = device_of(self.model)
        self.model.train()
        self.batches = trial.data.batches(seed)

    def update(self) -> float:
        """One update on the next batch; its loss before. A loss that is not finite changes nothing."""
        inputs, targets = moved(next(self.batches), self.place)
        if self.treatment.target is not None:
            targets = self.treatment.target.scaled(targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.trial.loss_fn(run(self.model, inputs), targets)
        value = float(loss.detach())
        if finite(value) is None:
            return value
        loss.backward()  # type: ignore[no-untyped-call]
        if self.treatment.clip is not None:
            self.treatment.clip(self.model)
        self.optimizer.step()
        return value

    def judge(self, outcome: Outcome) -> None:
        """On the whole training part, and on the test part where there is one."""
        data, loss_fn, metric = self.trial.data, self.trial.loss_fn, self.trial.metric
        outcome.loss, outcome.train_accuracy = judge(
            self.model, data.training(), loss_fn, metric, self.treatment.target
        )
        if data.has_test:
            outcome.test_loss, outcome.test_accuracy = judge(
                self.model, data.test(), loss_fn, metric, self.treatment.target
            )


def build(build_model: BuildModel, changes: dict[str, Any], data: Data, seed: int) -> Treatment:
    """A fresh model with these changes, built and drawn from the seed."""
    torch.manual_seed(seed)
    model = build_model()
    if not isinstance(model, nn.Module):
        raise TypeError(f"build_model must give a torch.nn.Module; it gives a {type(model).__name__}")
    if not changes:
        return Treatment(model, [], "")
    place = device_of(model)
    batch = moved(next(data.batches(seed)), place)
    inputs, targets = moved(data.training_part(), place) if {"input", "target"} & set(changes) else (None, None)
    return treat(
        model, changes, batch=batch, seed=seed, in_place=True, training_inputs=inputs, training_targets=targets
    )


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not frozen."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def judge(
    model: nn.Module, batches: Any, loss_fn: LossFunction, metric: Metric | None, scaling: Scaling | None = None
) -> tuple[float | None, float | None]:
    """Mean loss and metric over batches in evaluation mode, each sample counting the same; where the model was
    trained on scaled targets, its outputs are brought back to the units of the data first."""
    model.eval()
    place = device_of(model)
    loss = score = samples = 0.0
    with torch.no_grad():
        for batch in batches:
            inputs, targets = moved(batch, place)
            outputs: Any = run(model, inputs)
            outputs = outputs if scaling is None else scaling.restored(outputs)
            count = size(targets)
            samples += count
            loss += count * float(loss_fn(outputs, targets))
            if metric is not None:
                score += count * float(metric(outputs, targets))
    mean = finite(loss / samples)
    return mean, None if metric is None else finite(score / samples)


def accuracy(outputs: Any, targets: Any) -> float:
    """Share of the samples whose largest output is the target class; outputs `[B, classes, ...]`, targets `[B,
    ...]`."""
    return float((outputs.argmax(dim=1) == targets).double().mean())


def finite(value: float) -> float | None:
    """The value, or `None` where it is not finite."""
    return value if -float("inf") < value < float("inf") else None


def size(batch: Any) -> int:
    """Number of samples."""
    first = next(leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor))
    return len(first) if first.ndim else 1


def device_of(model: nn.Module) -> torch.device:
    """Where the first parameter lives."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def moved(value: Any, place: torch.device) -> Any:
    """Every tensor in a batch on that device."""
    return tree_map(lambda leaf: leaf.to(place) if isinstance(leaf, Tensor) else leaf, value)
