"""`isogain explain`: the page of a rule or a remedy."""

from __future__ import annotations

import argparse

from isogain import _core
from isogain.commands.output import CLEAN, write

HELP = "what a rule or a remedy means: the problem, the formula, a network that has it, what to do"
DESCRIPTION = "What a rule or a remedy means: the problem, the formula, a network that has it, what to do."
EPILOGUE = None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", nargs="?",
        help="a rule (vanishing-gradient, G012) or a remedy (rescale-init); the list of all when left out",
    )  # fmt: skip
    parser.add_argument("--format", choices=("text", "json"), default="text", help="for a person, or for a program")


def run(options: argparse.Namespace) -> int:
    write(_core.explain(options.name, options.format))
    return CLEAN
