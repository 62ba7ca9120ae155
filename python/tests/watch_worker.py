"""One of two processes: trains under DDP or FSDP2 and compares the record with that of one process that has the whole batch."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import isogain

STEPS, SIZE = 3, 16


def say(text: str) -> None:
    """One write, so that the lines of two processes do not mix."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Net(nn.Module):
    """Sizes that two processes cannot share evenly, and a part that no loss depends on."""

    def __init__(self, unused: bool = False) -> None:
        super().__init__()
        self.first, self.relu, self.odd, self.head = nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3), nn.Linear(3, 1)
        self.unused = nn.Linear(2, 2) if unused else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.tanh(self.odd(self.relu(self.first(x)))))
        return out


def data(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(SIZE, 8, generator=generator), torch.randn(SIZE, 1, generator=generator)


def record(folder: Path, wrap: Callable[[nn.Module], nn.Module], share: bool, accumulate: int, unused: bool) -> Any:
    """The lines of a short training on this process's share of each batch."""
    torch.manual_seed(0)
    model = wrap(Net(unused))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rank, count = (dist.get_rank(), dist.get_world_size()) if share else (0, 1)
    with isogain.watch(model, optimizer, run=folder, distributed=share or False, histogram=True) as w:
        for step in range(STEPS):
            x, y = (part[rank::count] for part in data(step))
            optimizer.zero_grad()
            parts = list(zip(x.chunk(accumulate), y.chunk(accumulate)))
            for at, (x_part, y_part) in enumerate(parts):
                waits = at < len(parts) - 1 and isinstance(model, DistributedDataParallel)
                with model.no_sync() if waits else warnings.catch_warnings():  # type: ignore[attr-defined]
                    loss = F.mse_loss(model(x_part).float(), y_part) / accumulate
                    w.loss(loss * accumulate)
                    loss.backward()
            optimizer.step()
        assert not w._guard.failures, w._guard.failures
    dist.barrier()
    if (folder / "run.jsonl").exists():
        return [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    return None


def compare(name: str, alone: list[Any], shared: list[Any], tolerance: float = 1e-5) -> None:
    steps = [[line for line in lines if line["line"] == "step"] for lines in (alone, shared)]
    assert len(steps[0]) == len(steps[1]) == STEPS
    for one, many in zip(*steps):
        assert math.isclose(one["loss"], many["loss"], rel_tol=tolerance), (name, one["loss"], many["loss"])
        for kind, tensors in (("joints", ("activation", "cotangent")), ("parameters", ("weight", "gradient", "update"))):
            assert [part["name"] for part in one[kind]] == [part["name"] for part in many[kind]], name
            for left, right in zip(one[kind], many[kind]):
                for tensor in tensors:
                    a, b = left[tensor], right[tensor]
                    where = (name, one["step"], left["name"], tensor, a, b)
                    assert a["count"] == b["count"] and a["non_finite"] == b["non_finite"], where
                    # A norm to 1e-5 is a sum of squares to 2e-5.
                    assert math.isclose(a["sum_of_squares"], b["sum_of_squares"], rel_tol=2 * tolerance), where
                    for value in ("min", "max", "abs_max"):
                        if a[value] is not None:
                            scale = a["abs_max"]
                            assert abs(a[value] - b[value]) <= tolerance * scale + 1e-12, (*where, value)
        compare_histograms(name, one["histograms"], many["histograms"], moves=None if tolerance > 1e-5 else 1)


def compare_histograms(name: str, alone: list[Any], shared: list[Any], moves: int | None) -> None:
    """The same tensors with as many values; of each, so many may have been rounded into the next bin."""
    assert [(entry["name"], entry["kind"]) for entry in alone] == [(entry["name"], entry["kind"]) for entry in shared], name
    for one, many in zip(alone, shared):
        left, right = ([0] * part["histogram"]["first_bin"] + part["histogram"]["counts"] for part in (one, many))
        assert sum(left) == sum(right), (name, one, many)
        if moves is not None:
            bins = max(len(left), len(right))
            padded = [counts + [0] * (bins - len(counts)) for counts in (left, right)]
            assert sum(abs(a - b) for a, b in zip(*padded)) <= 2 * moves, (name, one, many)


def sharded(model: nn.Module, mixed: bool = False) -> nn.Module:
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16) if mixed else MixedPrecisionPolicy()
    for layer in (model.first, model.odd, model.head):  # type: ignore[attr-defined]
        fully_shard(layer, mp_policy=policy)
    return fully_shard(model, mp_policy=policy)


CASES: dict[str, tuple[Callable[[nn.Module], nn.Module], int, bool]] = {
    "ddp": (lambda model: DistributedDataParallel(model), 1, False),
    "ddp, bucket views": (lambda model: DistributedDataParallel(model, gradient_as_bucket_view=True), 1, False),
    "ddp, no_sync": (lambda model: DistributedDataParallel(model), 2, False),
    "ddp, unused": (lambda model: DistributedDataParallel(model, find_unused_parameters=True), 1, True),
    "fsdp2": (sharded, 1, False),
}


def main() -> None:
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    rank = dist.get_rank()
    folders = [Path(tempfile.mkdtemp())] if rank == 0 else [None]
    dist.broadcast_object_list(folders, src=0)
    folder = folders[0]
    assert folder is not None
    for name, (wrap, accumulate, unused) in CASES.items():
        # Accumulation takes strided shares of halves: each process alone has the same samples in the same order.
        alone = record(folder / f"{name} alone {rank}", lambda model: model, False, 1, unused)
        shared = record(folder / name, wrap, True, accumulate, unused)
        compare(name, alone, shared)
        say(f"rank {rank} agrees: {name}")
    mixed = record(folder / "mixed", lambda model: sharded(model, mixed=True), True, 1, False)
    alone = record(folder / f"mixed alone {rank}", lambda model: model, False, 1, False)
    compare("mixed", alone, mixed, tolerance=0.05)
    say(f"rank {rank} agrees: mixed precision")
    differing(folder / "differing", rank)
    raised(rank)
    every(folder / "every", rank)
    dist.destroy_process_group()


class Differing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(8, 7), nn.Linear(7, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        out: torch.Tensor = self.head(torch.tanh(h) if dist.get_rank() == 0 else torch.relu(h))
        return out


def differing(folder: Path, rank: int) -> None:
    """A function that only one process calls is nothing that both could sum up; the rest is recorded."""
    model = DistributedDataParallel(Differing())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer, run=folder) as w:
        for step in range(3):
            x, y = data(step)
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
        assert not w._guard.failures, w._guard.failures
    dist.barrier()
    lines = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    names = [[joint["name"] for joint in line["joints"]] for line in lines if line["line"] == "step"]
    assert names == [["first", "head"]] * 3, names
    say(f"rank {rank} leaves out what differs")


def raised(rank: int) -> None:
    """What is wrong in one process is raised in all."""
    torch.manual_seed(0)
    model = DistributedDataParallel(Net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    try:
        with isogain.watch(model, optimizer, on_finding="raise") as w:
            for step in range(STEPS):
                x, y = data(step)
                if step == 1 and rank == 1:
                    x[0, 0] = float("nan")
                loss = F.mse_loss(model(x), y)
                w.loss(loss)
                loss.backward()
                optimizer.step()
    except isogain.FindingError as error:
        assert error.finding.rule == "non-finite" and error.finding.step == 1, error
        say(f"rank {rank} raises")


def every(folder: Path, rank: int) -> None:
    """With `dist_every`, processes meet at every other step only."""
    model = DistributedDataParallel(Net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with isogain.watch(model, optimizer, run=folder, dist_every=2):
        for step in range(5):
            x, y = data(step)
            F.mse_loss(model(x), y).backward()
            optimizer.step()
    dist.barrier()
    lines = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["line"] == "step"] == [0, 2, 4]
    say(f"rank {rank} meets every other step")


if __name__ == "__main__":
    main()
    # Not through the interpreter's end: gloo's threads are at times still running there, which aborts the process.
    os._exit(0)
