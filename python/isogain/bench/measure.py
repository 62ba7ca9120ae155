"""CPU time of watched steps over bare ones.

Both trainings run side by side in one process on one thread, step by step in alternating order, so that whatever else the
machine does meets both. A ratio is formed for each round, and the median of the rounds is told with its quartiles.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from isogain.bench.models import Task
from isogain.bench.watchers import Step, plain

__all__ = ["Ratio", "compare"]

#: Steps before the first round: a run's first 20 steps are measured in full.
WARM_UP = 24


@dataclass(frozen=True)
class Ratio:
    """Watched over bare, median and quartiles of the rounds."""

    median: float
    low: float
    high: float
    bare_milliseconds: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f}, {self.rounds} rounds)"


def compare(
    make_task: Callable[[], Task], make_step: Callable[[Task], Step], rounds: int, steps: int, warm_up: int = WARM_UP
) -> Ratio:
    """`rounds` rounds of `steps` steps each."""
    torch.manual_seed(0)
    bare = plain(make_task())
    torch.manual_seed(0)
    watched = make_step(make_task())
    for _ in range(3):
        bare()
    for _ in range(warm_up):
        watched()
    ratios, costs = [], []
    for _ in range(rounds):
        spent = [0, 0]
        for at in range(steps):
            for which in (0, 1) if at % 2 else (1, 0):
                begin = time.process_time_ns()
                (bare, watched)[which]()
                spent[which] += time.process_time_ns() - begin
        ratios.append(spent[1] / spent[0])
        costs.append(spent[0] / steps / 1e6)
    quartiles = statistics.quantiles(ratios, n=4) if rounds > 1 else [ratios[0]] * 3
    return Ratio(statistics.median(ratios), quartiles[0], quartiles[2], statistics.median(costs), rounds)
