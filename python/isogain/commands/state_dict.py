"""Weights that `torch.save` wrote: found in the file, then handed over one by one."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isogain import _core
from isogain.commands.output import CommandError

# Where training programs keep the weights among other things, the usual ones first.
KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "weights", "params", "ema")

# What wrappers (DistributedDataParallel, torch.compile) put in front of every name.
PREFIXES = ("module.", "_orig_mod.")

READABLE = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})


def survey(paths: list[Path], spectrum: bool) -> _core.Weights:
    """What the weights in these files, shards of one model, say."""
    tensors: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in weights_of(path).items():
            if name in tensors:
                raise CommandError(f"two tensors are called '{name}'; the files of one model must not overlap")
            tensors[name] = tensor
    found = _core.WeightSurvey([(name, list(tensor.shape)) for name, tensor in tensors.items()], spectrum=spectrum)
    for name, tensor in tensors.items():
        if tensor.dtype in READABLE and tensor.layout is torch.strided and not tensor.is_meta:
            found.add(name, tensor.detach())
        else:
            found.skip(f"{name} ({str(tensor.dtype).removeprefix('torch.')})")
    return found.report(", ".join(str(path) for path in paths))


def weights_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, wherever in the file it is, without what wrappers put in front of the names."""
    try:
        # Mapped, so that a tensor is read when it is looked at; the format before PyTorch 1.6 cannot be.
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise CommandError(
            f"{path} holds more than tensors, and isogain runs no code from a file; "
            "save the weights alone: torch.save(model.state_dict(), path)"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise CommandError(f"{path}: not a whole file of torch.save: {str(error).splitlines()[0]}") from error
    found = _state_dict(loaded)
    if found is None:
        raise CommandError(f"{path} holds no weights by name, but {_described(loaded)}; save model.state_dict()")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def _state_dict(loaded: Any) -> dict[str, Tensor] | None:
    if not isinstance(loaded, Mapping):
        return None
    here = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
    inner = [loaded[key] for key in KEYS if isinstance(loaded.get(key), Mapping)]
    # Step counters and the like may lie beside the weights.
    candidates = [here] if not inner else [found for found in map(_state_dict, inner) if found]
    return next((found for found in candidates if found), None)


def _described(loaded: Any) -> str:
    if isinstance(loaded, Mapping):
        keys = ", ".join(repr(str(key)) for key in list(loaded)[:5])
        return f"a mapping with the keys {keys}" if keys else "an empty mapping"
    return f"a {type(loaded).__name__}"
