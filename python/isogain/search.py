"""A search in progress: the schedule's trials, then a random search at the same cost, and what is kept of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isogain import _core
from isogain.executors import Workers
from isogain.executors import run as run_all
from isogain.progress import Progress
from isogain.budget import Stopped, TimeOverError
from isogain.trials import Job, Outcome


@dataclass(frozen=True)
class Prescribed:
    """A prescription of the check, and what one batch says of the treated model."""

    prescription: dict[str, Any]
    prediction: dict[str, Any] | None

    def arm(self) -> dict[str, Any]:
        """What the schedule is told of it. An arm that only changes the learning rate is the untreated model, which has
        been trained at that rate anyway."""
        remedies = self.prescription["remedies"]
        is_rate = remedies == ["change-learning-rate"]
        return {
            "name": self.name,
            "remedies": len(remedies),
            "learning_rate": self.prescription["changes"]["optimizer"]["learning_rate"] if is_rate else None,
            "ceiling": None if self.prediction is None else self.prediction["learning_rate_ceiling"],
        }

    @property
    def name(self) -> str:
        """`rescale-init (init = he-normal)`."""
        names, parameters = " + ".join(self.prescription["remedies"]), self.prescription["parameters"]
        return f"{names} ({parameters})" if parameters else names


@dataclass
class Search:
    """Arm 0 is the untreated model, arm i + 1 is `prescribed[i]`."""

    schedule: _core.Schedule
    prescribed: list[Prescribed]
    steps: int
    progress: Progress
    folder: Path | None
    random: _core.RandomSearch | None = None
    losses: dict[tuple[int, float, int], list[float | None]] = field(default_factory=dict)
    """Loss by step of whole trainings, by arm, learning rate and seed."""
    failures: dict[int, str] = field(default_factory=dict)
    """By arm, the error that ended the last of its trainings that had one."""
    diverged: dict[int, int] = field(default_factory=dict)
    """By arm, how many of its trainings diverged: some do at the largest learning rates of every search."""
    places: dict[str, int] = field(default_factory=dict)
    """How many trials each worker ran."""

    def __post_init__(self) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lines.write_text("", encoding="utf-8")

    @property
    def _lines(self) -> Path:
        assert self.folder is not None
        return self.folder / "trials.jsonl"

    def run(self, workers: Workers) -> None:
        """Until both are over."""
        self.progress.stage("trying remedies", self.schedule.most_steps())
        run_all(self.schedule, workers, self._hear)
        self.random = self.schedule.random_search(0)
        if self.random is None:
            return
        self.progress.stage("random search at the same cost", self.random.most_steps())
        run_all(self.random, workers, self._hear)

    def report(self, seconds: float, stopped: Stopped | None) -> str | None:
        """The core's report as JSON: everything, or what was known when it was stopped; `None` when nothing was."""
        told = [{**each.prescription, "prediction": each.prediction} for each in self.prescribed]
        return _core.trial_report(self.schedule, self.random, json.dumps(told), seconds, stopped)

    def curves(self, arm: int, learning_rate: float) -> list[tuple[int, list[float | None]]]:
        """Seed and losses of the whole trainings of a configuration."""
        return sorted((key[2], losses) for key, losses in self.losses.items() if key[:2] == (arm, learning_rate))

    def _hear(self, job: Job, outcome: Outcome) -> None:
        if outcome.out_of_time:
            raise TimeOverError
        self.progress.advance(job.steps, outcome.loss)
        self.places[outcome.where] = self.places.get(outcome.where, 0) + 1
        if outcome.raised:
            self.failures[job.arm] = str(outcome.failure)
        elif outcome.failure is not None:
            self.diverged[job.arm] = self.diverged.get(job.arm, 0) + 1
        if job.steps == self.steps:
            self.losses[job.arm, job.learning_rate, job.seed] = outcome.losses
        if self.folder is not None:
            self._write(job, outcome)

    def _write(self, job: Job, outcome: Outcome) -> None:
        of = self.prescribed[job.arm - 1].prescription if job.arm else {"remedies": [], "parameters": ""}
        line = {
            "remedies": of["remedies"],
            "parameters": of["parameters"],
            "job": job._asdict(),
            "score": outcome.score(),
        }
        line |= {"failure": outcome.failure, "seconds": outcome.seconds, "where": outcome.where}
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
