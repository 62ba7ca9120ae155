"""Watching two processes over gloo: the record is that of one process with the whole batch."""

from __future__ import annotations

from processes import two_processes


def test_two_processes_record_what_one_does() -> None:
    said = two_processes("watch_worker.py", timeout=180)
    cases = ["ddp", "ddp, bucket views", "ddp, no_sync", "ddp, unused", "fsdp2", "mixed precision"]
    for rank in (0, 1):
        for case in cases:
            assert f"rank {rank} agrees: {case}\n" in said, case
        assert f"rank {rank} leaves out what differs" in said
        assert f"rank {rank} raises" in said
        assert f"rank {rank} meets every other step" in said
