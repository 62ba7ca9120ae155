"""The caller's random state, kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def kept_random() -> Iterator[None]:
    """Whatever is drawn inside, the global generators of CPU and GPUs go on after it as if nothing had been."""
    started: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = list(range(torch.cuda.device_count())) if started else []
    with torch.random.fork_rng(devices=devices):
        yield
