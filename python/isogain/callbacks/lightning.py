"""A Lightning callback.

    from isogain.callbacks.lightning import Watch
    trainer = lightning.Trainer(callbacks=[Watch(run="runs/mine")])
"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from isogain.findings import Finding
from isogain.watching import Watcher

__all__ = ["Watch"]


class Watch(Callback):
    """Watches a fit. Takes the settings of `isogain.watch`; planned steps and the loss scaler come from the trainer."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self.watcher: Watcher | None = None

    @property
    def findings(self) -> list[Finding]:
        """What was found so far."""
        return [] if self.watcher is None else self.watcher.findings

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        planned = trainer.estimated_stepping_batches
        known = {
            "steps": int(planned) if 0 < planned < float("inf") else None,
            "scaler": getattr(trainer.precision_plugin, "scaler", None),
        }
        self.watcher = Watcher(pl_module, trainer.optimizers, **{**known, **self._settings})

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor) -> None:
        if self.watcher is not None:
            # Lightning divides by the number of batches that accumulate.
            self.watcher.loss(loss * trainer.accumulate_grad_batches if trainer.accumulate_grad_batches > 1 else loss)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.watcher is not None:
            self.watcher.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.watcher is not None:
            self.watcher.close()
