"""Where trials run: in processes of this machine, in this process, or on a Ray cluster. The schedule decides only
when a round is complete and reads it in the order asked, so that every executor gives the same verdicts."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from isogain.trials import AskTell, Job, Outcome, Trial

# Name, module and class of each.
EXECUTORS = {
    "processes": ("isogain.executors.processes", "Processes"),
    "serial": ("isogain.executors.serial", "Serial"),
    "ray": ("isogain.executors.ray", "Ray"),
}


class Workers(Protocol):
    """Runs jobs of one trial."""

    slots: int
    """Jobs at the same time."""

    def submit(self, job: Job) -> None: ...
    def next(self) -> tuple[Job, Outcome]:
        """Waits for any submitted job."""
        ...


class Executor(Protocol):
    """Starts workers; leaving the context ends them, whatever they are doing."""

    def workers(self, trial: Trial) -> AbstractContextManager[Workers]: ...


def named(name: str | Executor | None, trial: Trial, on_cpu: bool) -> Executor:
    """An executor by name; by default processes for models on the CPU where they can be started for this trial, and one
    trial after the other elsewhere.

    Raises `ValueError` for a name that is not known.
    """
    if name is None:
        processes = importlib.import_module("isogain.executors.processes")
        name = "processes" if on_cpu and (processes.can_fork() or processes.can_spawn(trial)) else "serial"
    if not isinstance(name, str):
        return name
    if name not in EXECUTORS:
        raise ValueError(f"unknown executor {name!r}; known: {', '.join(EXECUTORS)}")
    module, kind = EXECUTORS[name]
    made: Executor = getattr(importlib.import_module(module), kind)()
    return made


def run(schedule: AskTell, workers: Workers, told: Callable[[Job, Outcome], None]) -> None:
    """Runs until the schedule asks for nothing more; `told` hears of each trial before the schedule does."""
    running = 0
    while not schedule.is_finished():
        while running < workers.slots and (asked := schedule.ask()) is not None:
            workers.submit(Job(*asked))
            running += 1
        job, outcome = workers.next()
        running -= 1
        told(job, outcome)
        schedule.tell(job.id, json.dumps(outcome.score()))
