"""What changes outside of the model: the optimizer's numbers and clipping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn, optim

from isogain import updates
from isogain.surgery.clipping import Clip
from isogain.surgery.errors import CannotApply

# The names of the settings in a change, and in an optimizer's parameter groups.
_KEYS = {"learning_rate": "lr", "eps": "eps"}


# Those that are no number of a group, but done at every step; with the source of it. `{}` is the value.
_AT_EVERY_STEP = {
    "clip_update": "isogain.updates.clip_updates(optimizer)",
    "spike_limit": "isogain.updates.limit_spikes(optimizer, limit={!r}, reset_every=None)",
    "trust_ratio": "isogain.updates.normalise(optimizer)",
    "reset_every": "isogain.updates.limit_spikes(optimizer, limit=None, reset_every={:.0f})",
    "base_width": "isogain.updates.scale_rates_by_width(optimizer, model, base_width={:.0f}{reader})",
    "sign_momentum": "isogain.updates.follow_signs(optimizer, momentum={!r})",
    "muon": "isogain.updates.orthogonalise(optimizer, model{reader}{heads})",
}


def main_group(optimizer: optim.Optimizer) -> dict[str, Any]:
    """The parameter group with the most numbers: its learning rate is what is meant by the optimizer's."""
    return max(optimizer.param_groups, key=lambda group: sum(p.numel() for p in group["params"]))


@dataclass(frozen=True)
class Ends:
    """Paths of the layers at both ends of a model."""

    reader: str
    """The one that reads the data."""
    heads: tuple[str, ...]
    """Those that give the outputs."""

    def code(self) -> dict[str, str]:
        """Both as arguments."""
        heads = ", ".join(f"model.get_submodule({path!r})" for path in self.heads)
        return {"reader": f", reader=model.get_submodule({self.reader!r})", "heads": f", heads=[{heads}]"}


def set_optimizer(
    optimizer: optim.Optimizer, settings: Mapping[str, float], model: nn.Module, ends: Ends | None = None
) -> None:
    """Sets numbers of the optimizer of this model, and what it does at every step. Several groups keep the ratio of their
    rates. `ends` are the layers at the model's ends, where they are known.

    Raises `CannotApply` for a number that this optimizer does not have.
    """
    for name, value in settings.items():
        if name in _AT_EVERY_STEP:
            continue
        key = _KEYS.get(name)
        # Adafactor has two eps, of which neither is Adam's.
        if key is None or any(isinstance(group.get(key), tuple | None) for group in optimizer.param_groups):
            raise CannotApply(f"optimizer {name} = {value:g}", f"{type(optimizer).__name__} has no such setting")
        main = main_group(optimizer)[key]
        for group in optimizer.param_groups:
            is_scaled = name == "learning_rate" and group[key] != main
            group[key] = value * group[key] / main if is_scaled else value
    try:
        if settings.get("clip_update"):
            updates.clip_updates(optimizer)
        if settings.get("trust_ratio"):
            updates.normalise(optimizer)
        limit, every = settings.get("spike_limit"), settings.get("reset_every")
        if limit is not None or every is not None:
            updates.limit_spikes(optimizer, limit, None if every is None else int(every))
        reader = None if ends is None else model.get_submodule(ends.reader)
        if settings.get("base_width"):
            updates.scale_rates_by_width(optimizer, model, int(settings["base_width"]), reader)
        if "sign_momentum" in settings:
            updates.follow_signs(optimizer, settings["sign_momentum"])
        if settings.get("muon"):
            heads = None if ends is None else [model.get_submodule(path) for path in ends.heads]
            updates.orthogonalise(optimizer, model, reader, heads)
    except ValueError as error:
        told = ", ".join(f"{name} = {value:g}" for name, value in settings.items() if name in _AT_EVERY_STEP)
        raise CannotApply(f"optimizer {told}", str(error)) from error


def told(name: str, value: float) -> tuple[str, str, str]:
    """A line of the diff for a setting."""
    what = {
        "clip_update": "are shortened while the second moment is behind the gradient",
        "trust_ratio": "are as long as the learning rate times the weights",
        "spike_limit": f"follow no gradient whose square is above {value:g} times its second moment",
        "base_width": f"of a weight between layers are {value:g} over its fan-in times as long",
        "sign_momentum": f"follow the sign of a velocity of momentum {value:g}",
        "muon": "are orthogonal matrices where a hidden weight is one, and AdamW's elsewhere",
        "reset_every": f"begin with fresh moments every {value:g} updates",
    }
    if name in what:
        return ("optimizer", "steps", what[name])
    return ("optimizer", name.replace("_", " "), f"becomes {value:g}")


def code(
    settings: Mapping[str, float], clip: Clip | None, scales_targets: bool, ends: Ends | None = None
) -> list[str]:
    """What to do around the training loop, as comments: it does not happen when the model is built."""
    lines = []
    numbers = {name: value for name, value in settings.items() if name not in _AT_EVERY_STEP}
    if numbers:
        lines += ["for group in optimizer.param_groups:"]
        lines += [f"    group[{_KEYS.get(name, name)!r}] = {value!r}" for name, value in numbers.items()]
    named = {"reader": "", "heads": ""} if ends is None else ends.code()
    lines += [_AT_EVERY_STEP[name].format(value, **named) for name, value in settings.items() if name in _AT_EVERY_STEP]
    if clip is not None:
        lines += clip.code()
    if scales_targets:
        lines += ["mean, deviation = training_targets.mean(0), training_targets.std(0, correction=0)"]
        lines += [
            "loss = loss_fn(model(inputs), (targets - mean) / deviation), and predict model(inputs) * deviation + mean"
        ]
    return [f"# {line}" for line in lines]
