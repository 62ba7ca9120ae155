"""What a caller gave, looked at before anything is done with it."""

from __future__ import annotations

from typing import Any


def expect_int(least: int, **numbers: Any) -> None:
    """Raises `TypeError` for what is no int, and `ValueError` for one below `least`; both say its name."""
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}; it must be an int")
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")


def expect_optional_int(least: int, **numbers: Any) -> None:
    """The same, for numbers that may be left out, as `None`."""
    expect_int(least, **{name: value for name, value in numbers.items() if value is not None})
