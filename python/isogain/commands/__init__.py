"""The commands of the wheel: one file each, one line each in `COMMANDS`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from isogain import _core
from isogain.commands import check, compare, explain, export, view
from isogain.commands.output import ERROR, INTERRUPTED, CommandError, fail

COMMANDS = (check, view, compare, export, explain)

# What only the program in Rust does, which has the same name.
OF_THE_PROGRAM = ("cure", "train")

DESCRIPTION = """\
Finds where a deep network's gradient vanishes or explodes, and explains why. This command reads
what is on disk: weights, and runs that were recorded. Models are examined from Python:

    import isogain
    print(isogain.check(model, batch, loss_fn))
"""

EPILOGUE = """\
examples:
  isogain check model.safetensors        what the weights alone say, before any data is seen
  isogain view runs/mine --html run.html a page that opens offline
  isogain compare runs/a runs/b          what differs, where the losses part, how they ended
  isogain explain vanishing-gradient     the problem, the formula, what to do

The program in Rust is called isogain too. It trains networks that are written down as recipes (isogain
check net.toml, cure, train), which this command does not; explain is the same text in both.

Exit status: 0 nothing is wrong, 1 findings, 2 an error, 130 stopped by Ctrl-C.
"""


def parser() -> argparse.ArgumentParser:
    """Everything that can be said on the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="isogain", description=DESCRIPTION, epilog=EPILOGUE, formatter_class=raw)
    top.add_argument("-V", "--version", action="version", version=f"isogain {_core.__version__} (wheel)")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        one = commands.add_parser(
            name, help=command.HELP, description=command.DESCRIPTION, epilog=command.EPILOGUE, formatter_class=raw
        )
        command.arguments(one)
        one.set_defaults(run=command.run)
    return top


def run(arguments: Sequence[str]) -> int:
    """Runs one command; errors are one line on standard error."""
    if arguments and arguments[0] in OF_THE_PROGRAM:
        return fail(
            f"`isogain {arguments[0]}` trains a recipe, and belongs to the isogain program in Rust; this is the command "
            "of the Python package, where a model is examined with isogain.check(model, batch, loss_fn)"
        )
    try:
        options = parser().parse_args(arguments)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else ERROR
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        return fail(f"cannot open {error.filename}: {error.strerror}" if error.filename else str(error))
    except (CommandError, ValueError) as error:
        return fail(str(error))
