"""The chain rule taken apart while a model trains: a check on one and the same batch, at chosen steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from isogain import _core
from isogain.diagnose import examined

__all__ = ["FixedBatch"]


class FixedBatch:
    """A batch that is none of the training's, and the steps at which the model is checked on it."""

    def __init__(
        self,
        model: nn.Module,
        batch: Any,
        loss_fn: Callable[..., Any] | None,
        at: Iterable[int] | None,
        native: _core.Watch,
    ) -> None:
        self._model, self._batch, self._loss_fn, self._native = model, batch, loss_fn, native
        self._at = None if at is None else sorted(set(at))
        if self._at and self._at[0] < 0:
            raise ValueError(f"batch_at names step {self._at[0]}; steps count from 0")
        #: Whether the model runs on the batch now: what its hooks see then is no part of the training.
        self.runs = False

    def is_due(self, step: int) -> bool:
        """Whether `step` is one of the chosen ones; where none were chosen, 0, 1, 10, 100 and so on."""
        if self._at is not None:
            return step in self._at
        return step == 0 or str(step).strip("0") == "1"

    def next(self, step: int) -> int:
        """The first chosen step from `step` on; one that is never reached where there is none."""
        if self._at is not None:
            return next((at for at in self._at if at >= step), NEVER)
        power = 1
        while power < step:
            power *= 10
        return power if step else 0

    def take(self, step: int) -> None:
        """Checks the model as it is now. Its gradients, buffers and random generators stay as they are."""
        self.runs = True
        level = self._native.pause()
        try:
            self._native.put_snapshot(step, examined(self._model, self._batch, self._loss_fn)._checked)
        finally:
            self._native.resume(level)
            self.runs = False


#: No training gets here.
NEVER = 1 << 62
