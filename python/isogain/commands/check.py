"""`isogain check`: what the weights of a model say, without data and without code."""

from __future__ import annotations

import argparse
from pathlib import Path

from isogain import _core
from isogain.commands.output import CommandError, has_colour, status, write

HELP = "what weights alone say: scale against theory, singular values, dead or repeated units"
DESCRIPTION = """\
What the weights of a model say, without data and without code: how large each layer is against theory
and which initialiser leaves such weights; by how much it would change a gradient under ReLU or tanh;
its singular values; units that are dead, constant or repeat another one; values that are not finite.

What depends on data or on the order of operations is only seen by isogain.check(model, batch, loss_fn)
in Python.
"""
EPILOGUE = """\
Files of torch.save are read with weights_only=True, which runs no code from them. Several files are the
shards of one model: isogain check model-*.safetensors

The program in Rust has a check too, of recipes: isogain check net.toml
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "weights", metavar="WEIGHTS", nargs="+", type=Path,
        help="a .safetensors file, or one of torch.save (.pt, .pth, .bin, .ckpt), which needs PyTorch",
    )  # fmt: skip
    parser.add_argument("--format", choices=("text", "json"), default="text", help="for a person, or for a program")
    parser.add_argument(
        "--no-spectrum", action="store_true",
        help="leave the singular values out: they take most of the time on a large model",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    paths: list[Path] = options.weights
    for path in paths:
        if path.suffix == ".toml":
            raise CommandError(
                f"{path} is a recipe, which the isogain program in Rust checks; this is the command of the Python "
                "package, which takes weights (.safetensors, .pt)"
            )
    spectrum = not options.no_spectrum
    if any(_is_of_torch(path) for path in paths):
        found = _of_torch(paths, spectrum)
    else:
        found = _core.Weights.of_files(paths, spectrum=spectrum)
    write(found.render(options.format, colour=has_colour()))
    return status(found.ok)


def _is_of_torch(path: Path) -> bool:
    """Whether the file begins as a zip archive or a pickle, as `torch.save` writes them, whatever its name is."""
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))


def _of_torch(paths: list[Path], spectrum: bool) -> _core.Weights:
    try:
        from isogain.commands import state_dict
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        why = f"{paths[0]} was written by torch.save: reading it needs PyTorch (pip install torch)"
        raise CommandError(why) from error
    return state_dict.survey(paths, spectrum)
