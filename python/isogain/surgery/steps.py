"""The steps of a treatment. Each can be done, be told in a line, and be written as source that does the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from isogain.surgery.code import OLD, Call, name_of


def replace(model: nn.Module, names: list[str], make: Callable[[nn.Module], nn.Module]) -> None:
    """Puts make(old) in the place of each named module; a module that is used in several places stays one."""
    made: dict[nn.Module, nn.Module] = {}
    for name in names:
        parent, _, last = name.rpartition(".")
        old = model.get_submodule(name)
        if old not in made:
            made[old] = make(old)
            made[old].train(old.training)
        setattr(model.get_submodule(parent), last, made[old])


Told = tuple[str, str, str]
Parts = Callable[[nn.Module], tuple[list[torch.Tensor], list[torch.Tensor]]]


class Step(Protocol):
    """One step; `told` are a place, the kind of module there, and what happens to it."""

    def apply(self, model: nn.Module, inputs: Any) -> nn.Module: ...
    def told(self) -> list[Told]: ...
    def code(self) -> str: ...
    def functions(self) -> Iterable[Callable[..., Any]]: ...
    def joined(self, other: Step) -> Step | None: ...


@dataclass
class Replace:
    """Other modules in the place of some."""

    names: list[str]
    make: Call
    kind: str
    what: str

    def apply(self, model: nn.Module, inputs: Any) -> nn.Module:
        replace(model, self.names, lambda old: self.make(old=old))
        return model

    def told(self) -> list[Told]:
        return [(name, self.kind, self.what) for name in self.names]

    def code(self) -> str:
        return f"replace(model, {listed(self.names)}, lambda {OLD}: {self.make.text()})"

    def functions(self) -> Iterable[Callable[..., Any]]:
        return [replace, *self.make.functions()]

    def joined(self, other: Step) -> Step | None:
        if isinstance(other, Replace) and dataclasses.replace(other, names=self.names) == self:
            return dataclasses.replace(self, names=self.names + other.names)
        return None


@dataclass
class Draw:
    """Parameters of layers drawn anew. `weight` is called on the weight (`None` for the layer's own
    `reset_parameters`), `bias` on the bias, `last` on the layer."""

    names: list[str]
    kind: str
    what: str
    weight: Call | None
    bias: Call | None = None
    last: Call | None = None
    parts: Parts | None = None
    """Gives what `weight` and `bias` are called on, for a layer that keeps them under other names."""
    computed: bool = False
    """Whether the weight is computed from other parameters (weight_norm), so that it is assigned, not written to."""
    finish: str | None = None
    """What passes over a batch do to it afterwards."""
    scheme: str = ""
    """What it is drawn by, as it was asked for."""

    def apply(self, model: nn.Module, inputs: Any) -> nn.Module:
        for name in self.names:
            layer: Any = model.get_submodule(name)
            if self.weight is None:
                layer.reset_parameters()
            elif self.parts is not None:
                weights, biases = self.parts(layer)
                for tensor in weights:
                    self.weight(tensor)
                if self.bias is not None:
                    for tensor in biases:
                        self.bias(tensor)
            elif self.computed:
                weight = torch.empty_like(layer.weight)
                self.weight(weight)
                layer.weight = weight
            else:
                self.weight(layer.weight)
            if self.bias is not None and self.parts is None:
                self.bias(layer.bias)
            if self.last is not None:
                self.last(layer)
        return model

    def told(self) -> list[Told]:
        return [(name, self.kind, self.what) for name in self.names]

    def code(self) -> str:
        lines = [f"for name in {listed(self.names)}:", "    layer = model.get_submodule(name)"]
        if self.weight is None:
            lines.append("    layer.reset_parameters()")
        elif self.parts is not None:
            lines.append(f"    weights, biases = {name_of(self.parts)}(layer)")
            lines += ["    for weight in weights:", f"        {self.weight.text('weight')}"]
            if self.bias is not None:
                lines += ["    for bias in biases:", f"        {self.bias.text('bias')}"]
            return "\n".join(lines)
        elif self.computed:
            lines.append("    weight = torch.empty_like(layer.weight)")
            lines += [f"    {self.weight.text('weight')}", "    layer.weight = weight"]
        else:
            lines.append(f"    {self.weight.text('layer.weight')}")
        if self.bias is not None:
            lines.append(f"    {self.bias.text('layer.bias')}")
        if self.last is not None:
            lines.append(f"    {self.last.text('layer')}")
        return "\n".join(lines)

    def functions(self) -> Iterable[Callable[..., Any]]:
        calls = [call for call in (self.weight, self.bias, self.last) if call]
        own = [] if self.parts is None else [self.parts]
        return [*own, *(function for call in calls for function in call.functions())]

    def joined(self, other: Step) -> Step | None:
        if isinstance(other, Draw) and dataclasses.replace(other, names=self.names) == self:
            return dataclasses.replace(self, names=self.names + other.names)
        return None


@dataclass
class Do:
    """A function of the whole model: `make(model, ...)`."""

    make: Call
    lines: list[Told]
    inputs: str = ""
    """Name of the variable that holds the second argument, if it needs one."""
    gives_model: bool = False

    def apply(self, model: nn.Module, inputs: Any) -> nn.Module:
        result = self.make(model, inputs) if self.inputs else self.make(model)
        return result if self.gives_model else model

    def told(self) -> list[Told]:
        return self.lines

    def code(self) -> str:
        call = self.make.text("model", self.inputs) if self.inputs else self.make.text("model")
        return f"model = {call}" if self.gives_model else call

    def functions(self) -> Iterable[Callable[..., Any]]:
        return self.make.functions()

    def joined(self, other: Step) -> Step | None:
        return None


def joined(steps: Sequence[Step]) -> list[Step]:
    """Neighbours that do the same as one step."""
    result: list[Step] = []
    for step in steps:
        together = result[-1].joined(step) if result else None
        if together is not None:
            result[-1] = together
        else:
            result.append(step)
    return result


def listed(names: Sequence[str]) -> str:
    """Source of a list of names, broken before 120 characters."""
    text = repr(list(names))
    if len(text) <= 80:
        return text
    lines, line = [], ""
    for name in names:
        part = f"{name!r}, "
        if len(line) + len(part) > 110:
            lines.append(line.rstrip())
            line = ""
        line += part
    return "[\n    " + "\n    ".join([*lines, line.rstrip()]) + "\n]"
