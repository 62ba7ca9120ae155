"""One trial after the other in this process: for models on a GPU, which has no room for several, and for debugging.

There is no executor of threads: PyTorch has one global random generator for all of them, so trials that draw from it
at the same time would not be the same again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from isogain.surgery.randomness import kept_random
from isogain.trials import Job, Outcome, Trial


class Serial:
    """Runs each job when its result is asked for."""

    @contextmanager
    def workers(self, trial: Trial) -> Iterator[_Here]:
        """The workers; the caller's random state is as before when they are done. One thread, as in every executor: the
        order of a sum depends on their number."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with kept_random():
                yield _Here(trial)
        finally:
            torch.set_num_threads(threads)


class _Here:
    slots = 1

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def next(self) -> tuple[Job, Outcome]:
        job = self.jobs.pop(0)
        return job, self.trial(job)
