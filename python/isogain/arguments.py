"""What a caller gave, looked at before anything is done with it."""

from __future__ import annotations

from numbers import Integral
from typing import Any


def expect_whole(least: int, **numbers: Any) -> None:
    """Raises `TypeError` for what is no whole number, and `ValueError` for one below `least`; both say its name. `None` stands for
    an argument that was left out."""
    for name, value in numbers.items():
        if value is None:
            continue
        if not isinstance(value, Integral):
            raise TypeError(f"{name} is {value!r}; it must be a whole number")
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
