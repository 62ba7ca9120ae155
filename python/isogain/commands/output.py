"""The one place that writes to the terminal."""

from __future__ import annotations

import os
import sys

CLEAN = 0
FINDINGS = 1
ERROR = 2
INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot do what it was asked; one sentence for people."""


def has_colour() -> bool:
    """Coloured on a terminal, unless NO_COLOR asks for none."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def write(result: str | bytes) -> None:
    """Writes the result. Who closes the pipe (`isogain view ... | head`) has read enough; that is not an error."""
    binary = result if isinstance(result, bytes) else result.encode("utf-8")
    try:
        stream = getattr(sys.stdout, "buffer", None)
        if stream is None:  # replaced by something that takes text alone
            sys.stdout.write(binary.decode("utf-8"))
        else:
            stream.write(binary)
        sys.stdout.flush()
    except BrokenPipeError:
        # What Python would still flush at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def note(text: str) -> None:
    """A line for people, beside the result."""
    print(text, file=sys.stderr)


def fail(why: str) -> int:
    """One clear line; the exit status of an error."""
    note(f"error: {why}")
    return ERROR


def status(ok: bool) -> int:
    """The exit status of a result."""
    return CLEAN if ok else FINDINGS
