"""The caller's random state, kept."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def kept_random() -> Iterator[None]:
    """Whatever is drawn inside, the global generators go on after it as if nothing had been."""
    as_they_were = generators()
    try:
        yield
    finally:
        as_they_were()


def generators() -> Callable[[], None]:
    """What sets the global generators of PyTorch, Python and numpy back to where they are now, as often as it is called."""
    numpy = sys.modules.get("numpy")
    own, python = torch.get_rng_state(), random.getstate()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    arrays = numpy.random.get_state() if numpy is not None else None

    def put_back() -> None:
        torch.set_rng_state(own)
        random.setstate(python)
        if devices:
            torch.cuda.set_rng_state_all(devices)
        if numpy is not None and arrays is not None:
            numpy.random.set_state(arrays)

    return put_back
