"""Clipping of sharded gradients: two processes over gloo against one process with the whole gradients."""

from __future__ import annotations

from processes import two_processes


def test_two_processes_agree_with_one() -> None:
    said = two_processes("clip_worker.py", timeout=120)
    assert "rank 0 agrees" in said and "rank 1 agrees" in said
