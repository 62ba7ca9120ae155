"""`isogain export`: a recorded run in the format of another program."""

from __future__ import annotations

import argparse
from pathlib import Path

from isogain import _core
from isogain.commands.output import CLEAN, note, write

HELP = "a recorded run as CSV (one number a row, ready for a data frame) or as one JSON document"
DESCRIPTION = """\
A recorded run in the format of another program.

csv   step,name,kind,statistic,value: one number a row. `kind` is activation, cotangent, weight, gradient,
      update, clip, flow or step; `name` is the operation or parameter, or run.
json  {schema, header, findings, trials, outcome, notes, resumed, truncated, steps}
"""
EPILOGUE = "example: isogain export runs/mine --to csv > mine.csv"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a run, or its run.jsonl")
    parser.add_argument("--to", choices=("csv", "json"), required=True, help="the format")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write to this file, not to standard output")


def run(options: argparse.Namespace) -> int:
    written = _core.RecordedRun(options.run_folder).export(options.to)
    out: Path | None = options.out
    if out is None:
        write(written)
    else:
        out.write_bytes(written)
        note(f"wrote {out}")
    return CLEAN
