"""The time that a search may take, and what trainings cost on this machine: the schedule has no clock."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any, Literal

import torch

from isogain.trials import Outcome, Training, Trial

Stopped = Literal["interrupted", "budget"]
"""What ended a search before it was through."""

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
#: Updates that are timed, after one that is not: the first one sets memory up.
_TIMED = 2
#: Part of a budget that is kept for the report at most.
_REPORT = 0.1


class TimeOverError(Exception):
    """The time of the whole search is over."""


def seconds(budget: str | timedelta) -> float:
    """`"90s"`, `"5m"`, `"1.5h"` or a `timedelta` in seconds.

    Raises `ValueError` for another text, and for a time that is not above 0.
    """
    if isinstance(budget, timedelta):
        found = budget.total_seconds()
    else:
        read = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([smh])\s*", budget)
        if read is None:
            raise ValueError(f"budget is {budget!r}; a time is a number with its unit, such as '90s', '5m', '1h'")
        found = float(read[1]) * _SECONDS[read[2]]
    if not found > 0.0:
        raise ValueError(f"budget is {budget!r}; it must be above 0")
    return found


class Clock:
    """The time that there is, from its making on."""

    def __init__(self, budget: float) -> None:
        self.budget, self.start = budget, time.time()
        self.report = 0.0

    def checked(self) -> None:
        """Called when the untreated model was checked: the report at the end takes as long at most."""
        self.report = min(time.time() - self.start, _REPORT * self.budget)

    @property
    def deadline(self) -> float:
        """When trainings end, as `time.time` counts."""
        return self.start + self.budget - self.report

    def wanted(self, trial: Trial, at_once: int) -> dict[str, Any]:
        """What the schedule is told: the time that there is for trainings, and what they cost."""
        update, overhead, costs = _measured(trial)
        besides = time.time() - self.start + self.report
        cost = {"update": update, "overhead": overhead, "costs": costs, "at_once": at_once}
        return {"budget": self.budget, "besides": besides, **cost}


def _measured(trial: Trial) -> tuple[float, float, list[float]]:
    """Seconds of an update of the untreated model and of building and judging it, and an update of each arm in those."""
    threads = torch.get_num_threads()
    # As in every executor.
    torch.set_num_threads(1)
    try:
        begun = time.perf_counter()
        untreated = Training(trial, 0, trial.learning_rate, 0)
        built = time.perf_counter() - begun
        update = _update(untreated)
        begun = time.perf_counter()
        untreated.judge(Outcome())
        overhead = built + time.perf_counter() - begun
        return update, overhead, [1.0, *(_cost(trial, arm, update) for arm in range(1, len(trial.arms)))]
    finally:
        torch.set_num_threads(threads)


def _cost(trial: Trial, arm: int, update: float) -> float:
    try:
        return _update(Training(trial, arm, trial.learning_rate, 0)) / update
    except Exception:  # a treated model that cannot be trained: its trials say what is wrong
        return 1.0


def _update(training: Training) -> float:
    training.update()
    begun = time.perf_counter()
    for _ in range(_TIMED):
        training.update()
    return (time.perf_counter() - begun) / _TIMED
