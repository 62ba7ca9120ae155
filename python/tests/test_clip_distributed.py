"""Clipping of sharded gradients: two processes over gloo against one process with the whole gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import isogain


def test_two_processes_agree_with_one() -> None:
    worker = Path(__file__).with_name("clip_worker.py")
    path = os.pathsep.join([str(Path(isogain.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(worker)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "rank 0 agrees" in done.stdout and "rank 1 agrees" in done.stdout
