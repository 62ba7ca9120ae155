"""How far a search is, on one line of a terminal."""

from __future__ import annotations

import sys


class Progress:
    """Rewrites a line of stderr; silent where that is no terminal."""

    def __init__(self, wanted: bool) -> None:
        self.on = wanted and sys.stderr.isatty()
        self.name, self.total, self.done, self.trials = "", 0, 0, 0
        self.best = float("inf")

    def stage(self, name: str, steps: int) -> None:
        """Something else begins, of at most that many optimizer updates."""
        self.name, self.total, self.done = name, steps, 0
        self.show()

    def advance(self, steps: int, loss: float | None) -> None:
        """A trial ended."""
        self.done += steps
        self.trials += 1
        self.best = min(self.best, float("inf") if loss is None else loss)
        self.show()

    def show(self) -> None:
        if self.on:
            share = min(1.0, self.done / max(self.total, 1))
            sys.stderr.write(
                f"\r\033[Kisogain: {self.name} {share:4.0%}, {self.trials} trials, smallest loss {self.best:.4g}"
            )
            sys.stderr.flush()

    def close(self) -> None:
        """Leaves an empty line."""
        if self.on:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
