"""Watching two processes over gloo: the record is that of one process with the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import isogain


def test_two_processes_record_what_one_does() -> None:
    worker = Path(__file__).with_name("watch_worker.py")
    path = os.pathsep.join([str(Path(isogain.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(worker)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    cases = ["ddp", "ddp, bucket views", "ddp, no_sync", "ddp, unused", "fsdp2", "mixed precision"]
    for rank in (0, 1):
        for case in cases:
            assert f"rank {rank} agrees: {case}\n" in done.stdout, case
        assert f"rank {rank} raises" in done.stdout
        assert f"rank {rank} meets every other step" in done.stdout
