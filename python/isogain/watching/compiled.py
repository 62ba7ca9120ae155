"""Taps within a compiled program."""

from __future__ import annotations

from typing import Any


def tap_in_graph(place: int, output: Any) -> Any:
    return None
