"""The command `isogain` that comes with the wheel: `isogain explain`, `check`, `view`, `compare`, `export`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from isogain.commands import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0 nothing is wrong, 1 findings, 2 an error, 130 stopped by Ctrl-C."""
    return run(sys.argv[1:] if arguments is None else list(arguments))


if __name__ == "__main__":
    sys.exit(main())
