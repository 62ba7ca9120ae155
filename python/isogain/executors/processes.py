"""Trials in processes of this machine, one torch thread each, so that what runs beside a trial cannot change its
numbers."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from isogain.trials import Job, Outcome, Trial


class Processes:
    """`count` workers, by default one for each core. They are forked where that is safe, so that a model may be built
    by any function; else they are spawned, and what `isogain.cure` was given must be importable (no lambda, no
    notebook cell)."""

    def __init__(self, count: int | None = None, start: str | None = None) -> None:
        self.context: Any = multiprocessing.get_context(start or ("fork" if can_fork() else "spawn"))
        self.count = count or _cores()

    @contextmanager
    def workers(self, trial: Trial) -> Iterator[_Pool]:
        """The workers; they are killed at the end, because a trial that is still running then is not wanted any
        more."""
        pool = _Pool(self.context, trial, self.count)
        try:
            yield pool
        finally:
            pool.close()


def can_fork() -> bool:
    """Whether a forked process may train. Where there is a GPU, autograd starts threads for it at the first backward
    pass of a process, even on the CPU, and refuses to work in a fork from then on."""
    return sys.platform == "linux" and torch.cuda.device_count() == 0


def can_spawn(trial: Trial) -> bool:
    """Whether a fresh process finds everything a trial calls. What is in `__main__` is left out: importing that again
    would run a script twice, and a notebook has nothing to import."""
    called = [trial.build_model, trial.loss_fn, trial.make_optimizer, trial.metric]
    try:
        pickle.dumps(called)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return all(getattr(each, "__module__", "") != "__main__" for each in called)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    def __init__(self, context: Any, trial: Trial, number: int) -> None:
        self.number = number
        self.pipe, far = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(far, trial, number), daemon=True)
        try:
            self.process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise TypeError(
                f"a spawned process cannot be given the trial ({error}): build_model, loss_fn and the like must be "
                "functions of an importable module; executor='serial' takes any"
            ) from error
        far.close()
        self.job: Job | None = None

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.process.close()


class _Pool:
    def __init__(self, context: Any, trial: Trial, count: int) -> None:
        self.context, self.trial, self.slots = context, trial, count
        self.running: list[_Worker] = []
        # Started when there is something to do: a search may have fewer jobs than the machine has cores.
        self.idle: list[_Worker] = []
        self.started = 0

    def submit(self, job: Job) -> None:
        worker = self.idle.pop() if self.idle else self.start()
        worker.job = job
        worker.pipe.send(job)
        self.running.append(worker)

    def start(self) -> _Worker:
        self.started += 1
        return _Worker(self.context, self.trial, self.started)

    def next(self) -> tuple[Job, Outcome]:
        ready: Any = wait([worker.pipe for worker in self.running])
        worker = next(worker for worker in self.running if worker.pipe is ready[0])
        self.running.remove(worker)
        job = worker.job
        assert job is not None
        try:
            outcome = worker.pipe.recv()
        except EOFError:
            worker.process.join()
            code = worker.process.exitcode
            worker.close()
            return job, Outcome(raised=True, failure=f"its process ended with status {code} (out of memory?)")
        self.idle.append(worker)
        return job, outcome

    def close(self) -> None:
        for worker in (*self.running, *self.idle):
            worker.close()


def _work(pipe: Connection, trial: Trial, number: int) -> None:
    # Ctrl-C reaches every process of the terminal; only the search decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        outcome = trial(job)
        outcome.where = f"process {number}"
        pipe.send(outcome)
