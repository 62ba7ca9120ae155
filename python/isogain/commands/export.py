"""`isogain export`: a recorded run in the format of another program."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from isogain import _core
from isogain.commands.output import CLEAN, fail, note, write

HELP = "a recorded run for TensorBoard, as CSV or Parquet (one number a row, ready for a data frame), or as JSON"
DESCRIPTION = """\
A recorded run in the format of another program.

csv, parquet  step,name,kind,statistic,value: one number a row. `kind` is activation, cotangent, weight,
              gradient, update, clip, flow or step; `name` is the operation or parameter, or run.
json          {schema, header, findings, trials, outcome, notes, healed, resumed, truncated, steps}
tensorboard   a file of events in the folder --out, or in RUN/tensorboard
"""
EPILOGUE = """\
examples:
  isogain export runs/mine --to csv > mine.csv
  isogain export runs/mine --to tensorboard      then: tensorboard --logdir runs/mine/tensorboard
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a run, or its run.jsonl")
    formats = ("csv", "json", "parquet", "tensorboard")
    parser.add_argument("--to", choices=formats, required=True, help="the format")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write to this file (or folder), not to standard output")


def run(options: argparse.Namespace) -> int:
    recorded = _core.RecordedRun(options.run_folder)
    out: Path | None = options.out
    if options.to == "tensorboard":
        folder = out or (options.run_folder if options.run_folder.is_dir() else options.run_folder.parent) / "tensorboard"
        folder.mkdir(parents=True, exist_ok=True)
        out = folder / recorded.EVENTS
    elif options.to == "parquet" and out is None and sys.stdout.isatty():
        return fail("a terminal cannot show Parquet; say where it goes with --out FILE")
    written = recorded.export(options.to)
    if out is None:
        write(written)
    else:
        out.write_bytes(written)
        note(f"wrote {out}")
    return CLEAN
