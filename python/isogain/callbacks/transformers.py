"""A callback for Hugging Face's Trainer.

    from isogain.callbacks.transformers import Watch
    trainer = Trainer(model, args, train_dataset=data, callbacks=[Watch(run="runs/mine")])
"""

from __future__ import annotations

import inspect
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from isogain.findings import Finding
from isogain.watching import Watcher

__all__ = ["Watch"]


class Watch(TrainerCallback):
    """Watches a training. Takes the settings of `isogain.watch`; planned steps come from the trainer, the loss from the
    model's output."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self.watcher: Watcher | None = None

    @property
    def findings(self) -> list[Finding]:
        """What was found so far."""
        return [] if self.watcher is None else self.watcher.findings

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any
    ) -> None:
        model = known["model"]
        taken = inspect.signature(model.forward).parameters.values()
        # Such a model gets the number of tokens of the whole step: its losses are parts of the step's, not means.
        parts = getattr(model, "accepts_loss_kwargs", any(name.kind is name.VAR_KEYWORD for name in taken))
        settings = {
            "steps": state.max_steps if state.max_steps > 0 else None,
            "losses": "sum" if parts and args.gradient_accumulation_steps > 1 else "mean",
        }
        self.watcher = Watcher(model, known["optimizer"], **{**settings, **self._settings})

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **known: Any) -> None:
        if self.watcher is not None:
            self.watcher.close()
