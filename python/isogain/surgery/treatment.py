"""A prescription applied to a model by surgery on its modules."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from isogain.surgery import activation, finish, init, norm, output, settings, skip, standardise, weight
from isogain.surgery.clipping import Clip
from isogain.surgery.code import sources
from isogain.surgery.errors import CannotApply
from isogain.surgery.modules import run
from isogain.surgery.observe import Layout, assume, observe, tensors_in, untouched
from isogain.surgery.randomness import kept_random
from isogain.surgery.settings import Ends
from isogain.surgery.standardise import Scaling
from isogain.surgery.steps import Do, Step, Told, joined

KNOWN = (
    "init",
    "head_init",
    "activation",
    "norm",
    "weight_norm",
    "skip",
    "output_activation",
    "optimizer",
    "clip",
    "input",
    "target",
)


@dataclass
class Treatment:
    """What a treatment came to."""

    model: nn.Module
    """The changed model."""
    diff: list[str]
    """What changed and where, a line each."""
    code: str
    """The same done to `model` in plain PyTorch; `inputs` stands for a batch's inputs where it is used."""
    optimizer: dict[str, float] = field(default_factory=dict)
    """Settings to make in the optimizer, such as `learning_rate`; see `settings.set_optimizer`."""
    ends: Ends | None = None
    """The layers at the model's ends, where the optimizer's settings ask for them."""
    clip: Clip | None = None
    """To be called with the model between `loss.backward()` and `optimizer.step()`."""
    input: str | None = None
    """`standardise` where the model's first module now does that."""
    target: Scaling | None = None
    """How to scale the targets of a regression before the loss, and the outputs back after."""

    def __str__(self) -> str:
        return "\n".join(self.diff)


def treat(
    model: nn.Module,
    changes: Mapping[str, Any],
    *,
    batch: Any = None,
    seed: int = 0,
    in_place: bool = False,
    training_inputs: Tensor | None = None,
    training_targets: Tensor | None = None,
) -> Treatment:
    """Applies changes to a copy of the model, or with `in_place` to the model itself.

    `changes` has any of `init`, `head_init`, `activation`, `norm`, `weight_norm`, `skip`, `output_activation`,
    `optimizer`, `clip`, `input`, `target`, as `isogain.check(...).prescriptions` lists them. `batch` is (inputs, targets) or bare inputs:
    with it the model is seen running, and the result is checked to run and to give the same shapes; without it a
    model is taken to call its modules in the order in which it holds them. `seed` is that of the weights drawn anew.
    `training_inputs` and `training_targets` are those to take mean and deviation of, by default the batch's.

    The random state of the caller, and the model unless `in_place`, are left as they were. Parameters that are frozen
    keep their values, tied ones stay tied, types and devices stay.

    Raises `CannotApply` with what cannot be done and where, `ValueError` for a change that is not known.
    """
    unknown = sorted(set(changes) - set(KNOWN))
    if unknown:
        raise ValueError(f"unknown change {unknown[0]!r}; known: {', '.join(KNOWN)}")
    surgery = _Surgery(model if in_place else _copied(model), inputs_of(batch), seed)
    before = surgery.layout() if surgery.inputs is not None else None
    surgery.change(changes, training_inputs)
    if before is not None:
        surgery.check_outputs(before)
    numbers = {name: float(value) for name, value in (changes.get("optimizer") or {}).items()}
    clip = Clip.read(changes["clip"], surgery.heads) if changes.get("clip") else None
    told = [line for step in surgery.steps for line in step.told()]
    told += [settings.told(name, value) for name, value in numbers.items()]
    if clip is not None:
        told.append(("training", "gradient", clip.told()))
    target = None
    if changes.get("target"):
        target = Scaling.of(_targets_of(batch) if training_targets is None else training_targets)
        told.append(
            ("training", "targets", "are (targets - mean) / deviation of the training part; outputs come back so")
        )
    ends = surgery.ends() if before is not None and {"base_width", "muon"} & set(numbers) else None
    code = surgery.code(settings.code(numbers, clip, target is not None, ends))
    return Treatment(surgery.model, diff(told), code, numbers, ends, clip, changes.get("input"), target)


def inputs_of(batch: Any) -> Any:
    """The model's inputs in a batch: the first of (inputs, targets), else the batch itself."""
    return batch[0] if isinstance(batch, tuple | list) and len(batch) == 2 else batch


def _targets_of(batch: Any) -> Any:
    return batch[1] if isinstance(batch, tuple | list) and len(batch) == 2 else None


def diff(told: Iterable[Told]) -> list[str]:
    """Lines for what was done; places that are treated alike as one: `layers.0 ... layers.58 (30 Linear): init ...`."""
    places: dict[tuple[str, str], list[str]] = {}
    for place, kind, what in told:
        places.setdefault((kind, what), []).append(place)
    return [
        f"{at[0]} ... {at[-1]} ({len(at)} {kind}): {what}" if len(at) > 1 else f"{at[0]}: {kind} {what}"
        for (kind, what), at in places.items()
    ]


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise CannotApply(
            "anything", f"the model cannot be copied; build a fresh one and use in_place=True ({error})"
        ) from error


class _Surgery:
    def __init__(self, model: nn.Module, inputs: Any, seed: int) -> None:
        self.model, self.inputs, self.seed = model, inputs, seed
        self.steps: list[Step] = []
        self.lines: list[str] = []
        lazy = [name for name, value in _state(model) if is_lazy(value)]
        if lazy and inputs is None:
            raise CannotApply("anything", "its shape is not known yet; give a batch", lazy[0])
        if lazy:
            with untouched(model):
                run(model, inputs)
            self.lines.append("run(model, inputs)  # gives lazy modules their shapes")

    def layout(self) -> Layout:
        return assume(self.model) if self.inputs is None else observe(self.model, self.inputs)

    def ends(self) -> Ends | None:
        """The layer that is called first, and those that give the outputs."""
        layout = self.layout()
        return Ends(layout.layers[0].path, tuple(sorted(layout.heads))) if layout.layers else None

    def heads(self) -> list[str]:
        """Those that give the outputs."""
        return sorted(self.layout().heads)

    def apply(self, steps: Sequence[Step], inputs: Any = None) -> None:
        for step in joined(steps):
            self.model = step.apply(self.model, inputs)
            self.steps.append(step)
            self.lines.append(step.code())

    def change(self, changes: Mapping[str, Any], training_inputs: Tensor | None) -> None:
        """Structure first, each kind seeing what the one before made; weights after; the input last, because a module
        in front changes the names of all others."""
        if "output_activation" in changes and changes["output_activation"] is None:
            self.apply(output.steps(self.model, self.layout()))
        if changes.get("activation"):
            self.apply(activation.steps(self.model, self.layout(), changes["activation"]))
        if changes.get("norm"):
            self.needs_batch("norm")
            self.apply(norm.steps(self.model, self.layout(), changes["norm"]))
        if changes.get("skip"):
            self.needs_batch("skip")
            self.apply(skip.steps(self.model, self.layout(), changes["skip"], self.inputs))
        draws: list[Step] = []
        if changes.get("init") or changes.get("head_init"):
            draws = init.steps(self.layout(), changes.get("init"), changes.get("head_init"))
            self.lines.append(f"torch.manual_seed({self.seed})")
            with kept_random():
                torch.manual_seed(self.seed)
                self.apply(draws)
        if changes.get("weight_norm"):
            # After the draws: what was drawn is what is trained.
            self.apply(weight.steps(self.model, self.layout(), changes["weight_norm"]))
        if changes.get("input"):
            inputs = self.inputs if training_inputs is None else training_inputs
            self.apply(standardise.steps(inputs), inputs)
        for scheme, step in finish.steps(draws, "1." if changes.get("input") else ""):
            if changes.get("weight_norm"):
                why = "weights that are computed from others have no size to scale on a batch"
                raise CannotApply(f"init = {scheme}", why)
            self.needs_batch(f"init = {scheme}")
            try:
                with kept_random():
                    self.apply([step], self.inputs)
            except RuntimeError as error:
                raise CannotApply(f"init = {scheme}", str(error)) from error

    def needs_batch(self, change: str) -> None:
        if self.inputs is None:
            raise CannotApply(change, "needs a batch, to see what follows what; give batch=(inputs, targets)")

    def check_outputs(self, before: Layout) -> None:
        """Runs the treated model: surgery on a model that reads the attributes of its layers may break it."""
        wanted = [tuple(tensor.shape) for tensor in tensors_in(before.outputs)]
        try:
            with untouched(self.model):
                found = [tuple(tensor.shape) for tensor in tensors_in(run(self.model, self.inputs))]
        except Exception as error:
            why = f"the model does not run any more ({type(error).__name__}: {error})"
            raise CannotApply(", ".join(diff(line for step in self.steps for line in step.told())), why) from error
        if found != wanted:
            raise CannotApply("anything", f"the outputs had shapes {wanted} and would have {found}")

    def code(self, comments: Sequence[str]) -> str:
        helpers = sources(function for step in self.steps for function in step.functions())
        if any(line.startswith("run(") for line in self.lines):
            helpers = list(dict.fromkeys([*sources([run]), *helpers]))
        header = ["import torch", "from torch import nn"]
        wanted = {"Callable": "from collections.abc import Callable", "Any": "from typing import Any"}
        standard = [
            line for name, line in wanted.items() if any(re.search(rf"\b{name}\b", helper) for helper in helpers)
        ]
        header = [*standard, "", *header] if standard else header
        names = {step.inputs for step in self.steps if isinstance(step, Do) and step.inputs}
        needed = ["# `model` is the model" + "".join(f", `{name}` {_MEANING[name]}" for name in sorted(names)) + "."]
        parts = ["\n".join(header), *helpers, "\n".join([*needed, *self.lines, *comments])]
        return "\n\n\n".join(parts) + "\n"


_MEANING = {"inputs": "a batch of inputs", "training_inputs": "the inputs of the whole training part"}


def _state(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
