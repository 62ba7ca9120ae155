"""Trials spread over the user's own Ray cluster; needs `pip install isogain[ray]`.

Every node must be able to import isogain, torch, and what the model is built from. Verdicts are the same as at home:
the schedule is asked and told here, and a trial depends on its job alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from isogain.trials import Job, Outcome, Trial


class Ray:
    """Uses the cluster that Ray is connected to, or connects to `address` (`auto`: the one that runs here, as `ray
    start` left it). `cpus` and `gpus` are what each trial asks of a node."""

    def __init__(self, address: str = "auto", cpus: float = 1, gpus: float = 0) -> None:
        self.address, self.cpus, self.gpus = address, cpus, gpus

    @contextmanager
    def workers(self, trial: Trial) -> Iterator[_Cluster]:
        """The workers; a connection made here ends here, and trials that are still running are cancelled."""
        try:
            import ray
        except ImportError as error:
            raise ImportError("executor='ray' needs Ray: pip install isogain[ray]") from error
        connected = ray.is_initialized()
        if not connected:
            ray.init(address=self.address, log_to_driver=False)
        cluster = _Cluster(ray, trial, self.cpus, self.gpus)
        try:
            yield cluster
        finally:
            cluster.cancel()
            if not connected:
                ray.shutdown()


class _Cluster:
    def __init__(self, ray: Any, trial: Trial, cpus: float, gpus: float) -> None:
        self.ray = ray
        # A node that is lost gives its trials back to Ray, which runs them elsewhere: a trial depends on its job alone.
        options = {"num_cpus": cpus, "num_gpus": gpus, "scheduling_strategy": "SPREAD", "max_retries": 3}
        self.function = ray.remote(**options)(_work)
        # The data goes to each node once.
        self.trial = ray.put(trial)
        self.jobs: dict[Any, Job] = {}
        total = ray.cluster_resources()
        by_cpu = total.get("CPU", 0.0) // cpus if cpus else float("inf")
        by_gpu = total.get("GPU", 0.0) // gpus if gpus else float("inf")
        self.slots = int(min(by_cpu, by_gpu, 1e6))
        if self.slots < 1:
            asked = f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
            raise RuntimeError(f"no node of the Ray cluster can run a trial, which asks for {asked}; it has {total}")

    def submit(self, job: Job) -> None:
        self.jobs[self.function.remote(self.trial, job)] = job

    def next(self) -> tuple[Job, Outcome]:
        [done], _ = self.ray.wait(list(self.jobs), num_returns=1)
        job = self.jobs.pop(done)
        try:
            return job, self.ray.get(done)
        except self.ray.exceptions.RayError as error:
            return job, Outcome(raised=True, failure=f"Ray lost the trial: {type(error).__name__}: {error}")

    def cancel(self) -> None:
        for running in self.jobs:
            self.ray.cancel(running, force=True)
        self.jobs.clear()


def _work(trial: Trial, job: Job) -> Outcome:
    import ray
    import torch

    torch.set_num_threads(1)
    outcome = trial(job)
    outcome.where = f"node {ray.get_runtime_context().get_node_id()}"
    return outcome
