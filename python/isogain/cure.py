"""`isogain.cure`: diagnose, try what is prescribed over paired seeds, and say what improves."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn, optim

from isogain import _core, executors
from isogain import data as reading
from isogain.progress import Progress
from isogain.result import LeftOut, Result
from isogain.treat import CannotApply, set_optimizer
from isogain.treat.modules import run as forward
from isogain.treat.observe import untouched
from isogain.trials import BuildModel, Job, LossFunction, MakeOptimizer, Metric, Outcome, Trial, accuracy, build, device_of, moved
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
    budget: int | None = None,
) -> Result:
    """Finds what is wrong with a model before training, tries the remedies, and judges them over paired seeds.

    `build_model` gives a fresh model; the global torch generator is seeded before each call. `data` is (inputs, targets),
    ((inputs, targets), (test inputs, test targets)), a torch dataset or a pair of them, or a function seed -> iterable of
    batches (inputs, targets). `loss_fn(outputs, targets)` is a mean over the batch and above 0. `optimizer` makes an
    optimizer from parameters; its learning rate is the middle of the search, the same search for the untreated model.
    `metric(outputs, targets)` is better when larger; by default the accuracy where targets are classes.

    Each training takes `steps` updates with batches of `batch_size`. `budget` bounds the updates of everything together;
    by default 60 trainings. `executor` is `processes`, `serial`, `ray`, or an object like one of them. `run` is a folder
    to keep every trial in. Ctrl-C ends the search with the best so far.

    Raises `ValueError` for a budget too small for any comparison, and whatever `build_model` raises.
    """
    start = time.monotonic()
    if steps < 1 or seeds < 1:
        raise ValueError(f"steps = {steps}, seeds = {seeds}: needs at least 1 of each")
    make_optimizer = optimizer or _sgd
    source = reading.read(data, batch_size)
    with torch.random.fork_rng():
        case = _Case(build_model, source, loss_fn, make_optimizer, metric)
        report = case.diagnosed()
        if not _ills(report.findings):
            return Result.healthy(report, case.trial)
        prescriptions, left_out = case.applicable(report.prescriptions)
        untrained = untrained_loss(case.model, case.outputs, list(source.training()), loss_fn)
    wanted = {
        "learning_rate": case.trial.learning_rate,
        "seeds": list(range(seeds)),
        "steps": steps,
        "untrained_loss": untrained,
        "budget_steps": budget,
        "arms": [_arm(prescription) for prescription in prescriptions],
    }
    search = _Search(_core.Schedule(json.dumps(wanted)), prescriptions, Progress(progress), _folder(run))
    chosen = executors.named(executor, device_of(case.model).type == "cpu")
    try:
        with chosen.workers(case.trial) as workers:
            search.run(workers)
    except KeyboardInterrupt:
        search.interrupted = True
    finally:
        search.progress.close()
    result = Result.of(search.told(time.monotonic() - start, steps), report, case.trial, prescriptions, left_out)
    if run is not None:
        result.save(Path(run))
    return result


def _sgd(parameters: Any) -> optim.Optimizer:
    return optim.SGD(parameters, lr=LEARNING_RATE)


def _ills(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [finding for finding in findings if finding.get("level") != "note"]


def _folder(run: str | Path | None) -> Path | None:
    if run is not None:
        Path(run).mkdir(parents=True, exist_ok=True)
        (Path(run) / "trials.jsonl").write_text("")
    return None if run is None else Path(run)


def _is_learning_rate(prescription: Mapping[str, Any]) -> bool:
    return prescription["remedies"] == ["change-learning-rate"]


def _arm(prescription: Mapping[str, Any]) -> dict[str, Any]:
    other = prescription["changes"]["optimizer"]["learning_rate"] if _is_learning_rate(prescription) else None
    ceiling = (prescription.get("prediction") or {}).get("learning_rate_ceiling")
    return {"remedies": len(prescription["remedies"]), "learning_rate": other, "ceiling": ceiling}


class _Case:
    """The untreated model and what trials of it need."""

    def __init__(
        self,
        build_model: BuildModel,
        data: reading.Data,
        loss_fn: LossFunction,
        make_optimizer: MakeOptimizer,
        metric: Metric | None,
    ) -> None:
        self.model = build(build_model, {}, data, seed=0).model
        self.batch = moved(next(data.batches(0)), device_of(self.model))
        with untouched(self.model):
            self.outputs = forward(self.model, self.batch[0])
        self.optimizer = make_optimizer([p for p in self.model.parameters() if p.requires_grad])
        rate = float(self.optimizer.param_groups[0]["lr"])
        if metric is None and _is_classification(self.outputs, self.batch[1]):
            metric = accuracy
        self.trial = Trial(build_model, data, loss_fn, make_optimizer, rate, metric, [{}])

    def diagnosed(self) -> Any:
        """What `isogain.check` says of it."""
        from isogain.check import check

        return check(self.model, self.batch, self.trial.loss_fn, optimizer=self.optimizer)

    def applicable(self, prescriptions: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[LeftOut]]:
        """The prescriptions that this model takes, each with an arm of its own, and why the others are left out."""
        taken, left_out = [], []
        for prescription in prescriptions:
            try:
                self.try_on(prescription)
            except CannotApply as error:
                left_out.append(LeftOut(prescription["remedies"], prescription["parameters"], str(error)))
            else:
                taken.append(prescription)
                self.trial.arms.append(dict(prescription["changes"]))
        return taken, left_out

    def try_on(self, prescription: Mapping[str, Any]) -> None:
        changes = dict(prescription["changes"])
        rates = _core.learning_rates(self.trial.learning_rate)
        rate = changes.get("optimizer", {}).get("learning_rate")
        if _is_learning_rate(prescription) and rate not in rates:
            raise CannotApply(f"learning rate {rate:g}", f"the search tries {', '.join(f'{rate:g}' for rate in rates)}")
        treated = build(self.trial.build_model, changes, self.trial.data, seed=0)
        parameters = [p for p in treated.model.parameters() if p.requires_grad]
        set_optimizer(self.trial.make_optimizer(parameters), treated.optimizer)


def _is_classification(outputs: Any, targets: Any) -> bool:
    are_tensors = isinstance(outputs, torch.Tensor) and isinstance(targets, torch.Tensor)
    return are_tensors and not targets.is_floating_point() and outputs.ndim == targets.ndim + 1


@dataclass
class Searched:
    """What a search came to, before it is shown."""

    trial: dict[str, Any] | None
    """The core's report; `None` when it was stopped before the untreated model was trained once."""
    outcomes: dict[tuple[int, float, int], Outcome]
    """Whole trainings by arm, learning rate and seed."""
    failures: dict[int, str]
    """By arm, why its last failed trial ended early."""
    places: dict[str, int]
    """How many trials each worker ran."""
    steps: int
    interrupted: bool


@dataclass
class _Search:
    schedule: Any
    prescriptions: list[dict[str, Any]]
    progress: Progress
    folder: Path | None
    random: Any = None
    outcomes: dict[tuple[Any, ...], Outcome] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False

    def run(self, workers: executors.Workers) -> None:
        """The search, then a random search at the same cost."""
        self.progress.stage("trying remedies", self.schedule.most_steps())
        executors.run(self.schedule, workers, self.hear)
        self.random = self.schedule.random_search(0)
        self.progress.stage("random search at the same cost", self.random.most_steps())
        executors.run(self.random, workers, self.hear)

    def hear(self, job: Job, outcome: Outcome) -> None:
        self.progress.advance(job.steps, outcome.loss)
        self.places[outcome.where] = self.places.get(outcome.where, 0) + 1
        if outcome.failure is not None:
            self.failures[job.arm] = outcome.failure
        key = (job.arm, job.learning_rate, job.seed)
        if key not in self.outcomes or len(self.outcomes[key].losses) <= len(outcome.losses):
            self.outcomes[key] = outcome
        if self.folder is not None:
            self.write(self.folder, job, outcome)

    def write(self, folder: Path, job: Job, outcome: Outcome) -> None:
        of = self.prescriptions[job.arm - 1] if job.arm else {"remedies": [], "parameters": ""}
        line = {"remedies": of["remedies"], "parameters": of["parameters"], "job": job._asdict(), "score": outcome.score()}
        line |= {"failure": outcome.failure, "seconds": outcome.seconds, "where": outcome.where}
        with (folder / "trials.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def told(self, seconds: float, steps: int) -> Searched:
        """What is known: everything, or what there was when it was stopped."""
        asked = [{key: p.get(key) for key in ("remedies", "parameters", "recipe", "prediction")} for p in self.prescriptions]
        document = _core.trial_report(self.schedule, self.random, json.dumps(asked), seconds)
        trial = None if document is None else json.loads(document)
        return Searched(trial, self.outcomes, self.failures, self.places, steps, self.interrupted)
