"""Loss scaling: what cotangents were multiplied with, and the steps that an overflow left out."""

from __future__ import annotations

from typing import Any

__all__ = ["Scaling"]

#: Overflows in a row after which they are no longer a scaler finding its scale, but a fault.
MOST_OVERFLOWS = 8


class Scaling:
    """Follows a `torch.amp.GradScaler`, or anything with `get_scale()`; without one the scale is 1."""

    def __init__(self, scaler: Any) -> None:
        if scaler is not None and not callable(getattr(scaler, "get_scale", None)):
            raise TypeError(f"scaler is a {type(scaler).__name__}; it must have get_scale(), like torch.amp.GradScaler")
        self._scaler = scaler
        self._before: float | None = None
        self._stepped = True
        #: Overflows since the last update.
        self.in_a_row = 0
        #: Steps that were left out.
        self.overflows: list[int] = []

    def __bool__(self) -> bool:
        return self._scaler is not None

    def scale(self) -> float:
        """The factor now. On a GPU this waits for the device."""
        return 1.0 if self._scaler is None else float(self._scaler.get_scale())

    def updated(self) -> None:
        """The optimizer moved the weights."""
        self._stepped = True
        self.in_a_row = 0

    def overflowed(self, step: int) -> bool:
        """Whether the scaler gave up a step since this was asked last; to be asked before each forward pass."""
        scale = self.scale()
        fell = self._before is not None and scale < self._before and not self._stepped
        self._before = scale
        self._stepped = False
        if fell:
            self.overflows.append(step)
            self.in_a_row += 1
        return fell

    @property
    def is_fault(self) -> bool:
        """Whether overflows go on and on."""
        return self.in_a_row >= MOST_OVERFLOWS
