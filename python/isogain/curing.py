"""The main job: find, explain, try, verify."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn, optim

from isogain import _core, executors
from isogain import data as reading
from isogain.arguments import expect_int, expect_optional_int
from isogain.budget import Clock, Stopped, TimeOverError, seconds
from isogain.diagnose import check, examined
from isogain.progress import Progress
from isogain.report import Report
from isogain.result import LeftOut, Result
from isogain.search import Prescribed, Search
from isogain.surgery import CannotApply, main_group, set_optimizer
from isogain.surgery.modules import run as forward
from isogain.surgery.observe import untouched
from isogain.surgery.randomness import kept_random
from isogain.trials import (
    BuildModel,
    LossFunction,
    MakeOptimizer,
    Metric,
    Trial,
    accuracy,
    build,
    device_of,
    moved,
    trained,
)
from isogain.untrained import untrained_loss

LEARNING_RATE = 0.05
"""Of the optimizer that is used when none is given, plain SGD."""


def cure(
    build_model: BuildModel,
    data: Any,
    loss_fn: LossFunction,
    *,
    optimizer: MakeOptimizer | None = None,
    steps: int = 1000,
    batch_size: int = 64,
    seeds: int = 3,
    metric: Metric | None = None,
    executor: str | executors.Executor | None = None,
    run: str | Path | None = None,
    progress: bool = True,
    budget: int | str | timedelta | None = None,
) -> Result:
    """Finds what is wrong with a model before training, tries the remedies, and judges them over paired seeds.

    Parameters
    ----------
    build_model
        Gives a fresh model, which shares nothing with the ones before; the global torch generator is seeded before each call.
    data
        `(inputs, targets)`, `((inputs, targets), (test inputs, test targets))`, a torch dataset of samples or `DataLoader` or
        a pair of them, or a function seed -> iterable of batches `(inputs, targets)`. Inputs and targets are tensors `[samples, ...]`,
        or several of them: `((a, b), targets)` are two arguments of the model, `({"x": a, "y": b}, targets)` two by keyword,
        `(inputs, (c, d))` two targets. A mapping alone has both, as for `check`.
    loss_fn
        `loss_fn(outputs, targets)`: the mean over the batch of what is above 0.
    optimizer
        Makes an optimizer from parameters, by default SGD. Its learning rate is in the middle of the search, and the
        untreated model gets the same search.
    steps, batch_size
        Updates of a whole training, and samples of each.
    seeds
        Trainings of each finalist that a verdict rests on; fewer than 3 prove nothing.
    metric
        `metric(outputs, targets)`, better when larger; by default the accuracy where targets are classes.
    executor
        `processes` (by default for models on the CPU), `serial`, `ray`, or an object like those in `isogain.executors`.
    run
        Folder to keep every trial, the report and the cure in.
    budget
        Most updates of everything together, by default 60 trainings for three seeds; or the time that it may take, `"90s"`,
        `"5m"`, `"1h"` or a `timedelta`. What does not fit is left out, random search first, and the result says so.

    Returns
    -------
    Result
        Print it, `build()` the cured model, or read its parts. Ctrl-C ends the search with the best so far.

    Raises
    ------
    TypeError
        When an argument is of another kind.
    ValueError
        When a number is below 1, `build_model` gives the same tensors twice, the budget is too small for any comparison, the
        loss is not above 0, or the data can be read in two ways.
    """
    start = time.monotonic()
    clock = Clock(seconds(budget)) if isinstance(budget, str | timedelta) else None
    updates = None if isinstance(budget, str | timedelta) else budget
    expect_int(1, steps=steps, seeds=seeds)
    expect_optional_int(1, budget=updates)
    _expect_makers(build_model, optimizer)
    source = reading.read(data, batch_size)
    watched = Progress(progress)
    with kept_random():
        case = _Case(build_model, source, loss_fn, optimizer or _sgd, metric, steps)
        if not case.report.is_ill:
            return Result(case.report, case.trial)
        trial = case.trial
        if clock is not None:
            clock.checked()
            trial = dataclasses.replace(trial, deadline=clock.deadline)
        watched.stage("predicting on one batch", 0)
        prescribed, left_out = case.applicable()
        untrained = untrained_loss(case.model, case.outputs, list(source.training()), loss_fn)
    wanted = {
        "learning_rate": case.trial.learning_rate,
        "seeds": list(range(seeds)),
        "steps": steps,
        "untrained_loss": untrained,
        "budget_steps": updates,
        "arms": [each.arm() for each in prescribed],
    }
    on_cpu = device_of(case.model).type == "cpu"
    stopped: Stopped | None = None
    try:
        with executors.named(executor, trial, on_cpu).workers(trial) as workers:
            schedule = _schedule(wanted, clock, trial, workers.slots)
            search = Search(schedule, prescribed, steps, watched, None if run is None else Path(run))
            try:
                search.run(workers)
            except KeyboardInterrupt:
                stopped = "interrupted"
            except TimeOverError:
                stopped = "budget"
    finally:
        watched.close()
    result = Result.of(search, time.monotonic() - start, case.report, trial, left_out, stopped)
    if run is not None:
        result.keep(Path(run))
    return result


def _schedule(wanted: dict[str, Any], clock: Clock | None, trial: Trial, at_once: int) -> _core.Schedule:
    """The search that fits the budget.

    Raises `ValueError` where none does.
    """
    if clock is None:
        return _core.Schedule(json.dumps(wanted))
    with kept_random():
        return _core.Schedule(json.dumps({**wanted, "time": clock.wanted(trial, at_once)}))


def _sgd(parameters: Any) -> optim.Optimizer:
    return optim.SGD(parameters, lr=LEARNING_RATE)


class _Case:
    """The untreated model, what is wrong with it, and what trials of it need."""

    def __init__(
        self,
        build_model: BuildModel,
        data: reading.Data,
        loss_fn: LossFunction,
        make_optimizer: MakeOptimizer,
        metric: Metric | None,
        steps: int,
    ) -> None:
        self.steps = steps
        self.model = build(build_model, {}, data, seed=0).model
        _expect_apart(self.model, build(build_model, {}, data, seed=0).model)
        self.batch = moved(next(data.batches(0)), device_of(self.model))
        with untouched(self.model):
            self.outputs = forward(self.model, self.batch[0])
        optimizer = make_optimizer(trained(self.model))
        if metric is None and _is_classification(self.outputs, self.batch[1]):
            metric = accuracy
        rate = main_group(optimizer)["lr"]
        if rate is None:
            raise ValueError(
                f"{type(optimizer).__name__} chooses its learning rate itself, and a search tries several: give it one, such as "
                "`lr=1e-3, relative_step=False`"
            )
        self.trial = Trial(build_model, data, loss_fn, make_optimizer, float(rate), metric, [{}])
        self.report = check(self.model, self.batch, loss_fn, optimizer=optimizer, steps=steps)

    def applicable(self) -> tuple[list[Prescribed], list[LeftOut]]:
        """The prescriptions that this model takes, the most promising on one batch first, each with an arm of its
        own; and why the others are left out."""
        taken: list[Prescribed] = []
        left_out: list[LeftOut] = []
        for prescription in self.report.prescriptions:
            try:
                taken.append(Prescribed(prescription, self.try_on(prescription)))
            except CannotApply as error:
                left_out.append(LeftOut(prescription["remedies"], prescription["parameters"], str(error)))
        predicted = [each for each in taken if each.prediction is not None]
        order = _core.best_first(json.dumps([each.prediction for each in predicted]))
        taken = [predicted[place] for place in order] + [each for each in taken if each.prediction is None]
        self.trial.arms.extend(dict(each.prescription["changes"]) for each in taken)
        return taken, left_out

    def try_on(self, prescription: Mapping[str, Any]) -> dict[str, Any] | None:
        """What one batch says of the treated model; `None` where the check cannot read it."""
        changes = dict(prescription["changes"])
        treated = build(self.trial.build_model, changes, self.trial.data, seed=0)
        optimizer = self.trial.make_optimizer(trained(treated.model))
        set_optimizer(optimizer, treated.optimizer, treated.model, treated.ends)
        inputs, targets = self.batch
        batch = (inputs, targets if treated.target is None else treated.target.scaled(targets))
        try:
            report: Report = examined(
                treated.model, batch, self.trial.loss_fn, optimizer=optimizer, steps=self.steps
            )
        except Exception:  # a treated model that cannot be measured may still train: its trials say what is wrong
            return None
        return report.prediction


def _expect_makers(build_model: object, optimizer: object) -> None:
    """Raises `TypeError` for a model or an optimizer in the place of what makes them."""
    if isinstance(build_model, nn.Module):
        raise TypeError("build_model is a model: needs a function that gives a fresh one, such as `lambda: copy.deepcopy(model)`")
    if optimizer is not None and not callable(optimizer):
        raise TypeError(
            f"optimizer is {optimizer!r}: needs what makes one from parameters, such as torch.optim.Adam or "
            "`lambda parameters: torch.optim.Adam(parameters, lr=1e-4)`"
        )


def _expect_apart(model: nn.Module, other: nn.Module) -> None:
    """Raises `ValueError` where what changes in training has one memory in two models that `build_model` gave: one training would
    go on from the other's weights. What is frozen may be shared."""

    def changing(of: nn.Module) -> dict[str, int]:
        tensors = [*((name, p) for name, p in of.named_parameters() if p.requires_grad), *of.named_buffers()]
        return {name: tensor.untyped_storage().data_ptr() for name, tensor in tensors if tensor.numel()}

    held = set(changing(other).values())
    both = [name for name, memory in changing(model).items() if memory in held]
    if model is other or both:
        same = "the same model twice" if model is other else f"models that share {both[0]} ({len(both)} tensors are in both)"
        raise ValueError(
            f"build_model gives {same}: each training needs a fresh one. Make the layers inside of the function, or give "
            "`lambda: copy.deepcopy(model)`"
        )


def _is_classification(outputs: Any, targets: Any) -> bool:
    are_tensors = isinstance(outputs, torch.Tensor) and isinstance(targets, torch.Tensor)
    return bool(are_tensors and not targets.is_floating_point() and outputs.ndim == targets.ndim + 1)
