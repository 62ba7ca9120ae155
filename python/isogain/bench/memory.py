"""What watching keeps: memory at the end of many steps over that at their start."""

from __future__ import annotations

import gc
import os
import tempfile
import tracemalloc

import torch
from torch import nn
from torch.nn import functional as F

import isogain

__all__ = ["grown"]

#: Steps before the first look: all that is kept up to a limit has reached it.
WARM_UP = 2000


def grown(steps: int, every: int | None) -> tuple[int, int]:
    """Bytes of Python objects and of the process that `steps` steps of a small network add."""
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    inputs, targets = torch.randn(64, 64), torch.randint(0, 10, (64,))
    folder = os.path.join(tempfile.mkdtemp(), "run")
    with isogain.watch(model, optimizer, run=folder, every=every, on_finding=lambda finding: None) as w:

        def train(count: int) -> None:
            for _ in range(count):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(inputs), targets)
                w.loss(loss)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

        train(WARM_UP)
        gc.collect()
        tracemalloc.start()
        before, resident = tracemalloc.get_traced_memory()[0], _resident()
        train(steps)
        gc.collect()
        objects = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        return objects, _resident() - resident


def _resident() -> int:
    """Bytes of this process in memory; Linux only."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
