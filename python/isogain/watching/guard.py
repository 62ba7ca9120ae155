"""What must never reach the user's loop: the watcher's own errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

__all__ = ["Guard"]

#: Faults that are told by name.
MOST_TOLD = 8


class Guard:
    """Runs the watcher's parts. One that fails is switched off, and told of once, at the end."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        #: Parts that are switched off, and why.
        self.failures: dict[str, str] = {}

    def run(self, part: str, action: Callable[..., None], *given: Any) -> None:
        """Does `action` with what is given, unless its part is switched off. Without `steps` nothing is left to watch."""
        if part in self.failures:
            return
        try:
            action(*given)
        except Exception as error:  # noqa: BLE001: nothing of the watcher may stop a training
            self.failures[part] = f"{type(error).__name__}: {error}"
            if part == "steps":
                self._stop()

    def tell(self, others: list[tuple[str, str]]) -> None:
        """Warns of all that was switched off, `others` included."""
        faults = [*self.failures.items(), *others]
        if faults:
            listed = "; ".join(f"{name}: {reason}" for name, reason in faults[:MOST_TOLD])
            more = f" and {len(faults) - MOST_TOLD} more" if len(faults) > MOST_TOLD else ""
            warnings.warn(f"isogain.watch switched off what it could not watch: {listed}{more}", stacklevel=3)
