"""What a caller gave, looked at before anything is done with it."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer


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


def holds_any(optimizers: list[Optimizer], model: nn.Module) -> bool:
    """Whether one of them moves a parameter of the model itself."""
    own = {id(parameter) for parameter in model.parameters()}
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    return any(id(parameter) in own for group in groups for parameter in group["params"])
