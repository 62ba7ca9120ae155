"""Two processes over gloo, as `torchrun` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import isogain


def two_processes(worker: str, timeout: float) -> str:
    """What both copies of a worker beside this file print; it must end well in each."""
    path = os.pathsep.join([str(Path(isogain.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            *[sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
            str(Path(__file__).with_name(worker)),
        ],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return done.stdout
