"""`isogain view`: one recorded run, as text or as a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from isogain import _core
from isogain.commands.output import has_colour, note, status, write

HELP = "one recorded run: what is wrong, how it stands, and with --html its loss and gradient by layer"
DESCRIPTION = """\
One recorded run, finished or still going on: what is wrong and how it stands. With --html a page that
opens offline, in one file: the loss, gradient and signal by layer over the steps, how far each update
moves its weight, the findings, the recipe.
"""
EPILOGUE = 'A run is the folder that isogain.watch(..., run="runs/mine") writes, or `isogain train` (the program in Rust).'


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a run, or its run.jsonl")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write the page there")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="for a person, or for a program")


def run(options: argparse.Namespace) -> int:
    found = _core.RecordedRun(options.run_folder)
    page: Path | None = options.html
    if page is None:
        write(found.render(options.format, colour=has_colour()))
    else:
        page.write_text(found.html(), encoding="utf-8")
        note(f"wrote {page}")
    return status(found.ok)
