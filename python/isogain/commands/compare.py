"""`isogain compare`: recorded runs side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from isogain import _core
from isogain.commands.output import CLEAN, CommandError, has_colour, write

HELP = "recorded runs side by side: what differs, where the losses part, how they ended"
DESCRIPTION = """\
Recorded runs side by side: which settings of recipe, network and data differ (what a recipe leaves out
counts as its default), at which step the losses leave those of the first run, and how each one ended.
"""
EPILOGUE = "Exit status: 0, whatever the runs are like; 2 for an error."


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", type=Path, help="folders of runs; the others are compared with the first"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="for a person, or for a program")


def run(options: argparse.Namespace) -> int:
    if len(options.runs) < 2:
        raise CommandError("a comparison needs two runs at least: isogain compare runs/a runs/b")
    write(_core.compare(options.runs, options.format, colour=has_colour()))
    return CLEAN
