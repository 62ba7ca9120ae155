"""Activations that are no modules (`F.relu(x)`, `torch.tanh(x)`), found in the autograd graph.

When a module has read its input, that tensor's place in the graph says which function made it. So nothing is put between the
model and PyTorch, and nothing is looked for but at steps that are measured in full. Found is what a module reads, or what
the model returns, as the activation left it or as a view of that; saved tensors are not touched, since asking for one may run
a checkpointed region again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from isogain import _core
from isogain.watching.operations import clean

__all__ = ["Functional"]

#: Key under which a node of the graph keeps the name of the module that made it.
MARK = "isogain"
#: What an activation is known by from step to step: what stands behind it, and its name. A second one at the same place is
#: its second call.
Place = tuple[tuple[str, ...], str]
#: Nodes that are looked at on the way back to a module.
MOST_NODES = 16

_PLAIN = {
    "ReluBackward0": "relu",
    "TanhBackward0": "tanh",
    "SigmoidBackward0": "sigmoid",
    "GeluBackward0": "gelu",
    "SiluBackward0": "silu",
    "SoftplusBackward0": "softplus",
}


def activation_of(node: Any) -> tuple[str, float | None] | None:
    """The activation that a node of the graph belongs to, with its number where it has one."""
    kind = type(node).__name__
    if kind in _PLAIN:
        return _PLAIN[kind], None
    if kind == "LeakyReluBackward0":
        return "leaky-relu", float(node._saved_negative_slope)
    if kind == "EluBackward0":
        return ("elu", float(node._saved_alpha)) if float(node._saved_scale) == 1.0 else ("selu", None)
    if kind == "HardtanhBackward0" and (float(node._saved_min_val), float(node._saved_max_val)) == (-1.0, 1.0):
        return "hard-tanh", None
    return None


class Functional:
    """The functional activations of a model, with the names that `isogain.check` gives them: of what runs around them."""

    def __init__(
        self, model: nn.Module, native: _core.Watch, see: Callable[[_core.Tap, bool, torch.Tensor], None]
    ) -> None:
        self._native = native
        #: Modules that hold others and are never called: what stands in a loop over them belongs to their owner.
        lists = (nn.ModuleList, nn.ModuleDict)
        self._lists = {clean(name) for name, module in model.named_modules() if isinstance(module, lists)}
        self._see = see
        self._taps: dict[Place, _core.Tap] = {}
        self._names: set[str] = set()
        #: Whether those known by now are all.
        self.is_complete = False
        self._last: str | None = None

    @property
    def found(self) -> list[Place]:
        """What was found so far."""
        return list(self._taps)

    def begin(self) -> None:
        """A new step."""
        self._last = None

    def made(self, name: str, output: Any) -> None:
        """A module returned this."""
        self._last = name
        for tensor in output if isinstance(output, (tuple, list)) else (output,):
            node: Any = tensor.grad_fn if isinstance(tensor, torch.Tensor) else None
            if node is not None:
                node.metadata[MARK] = name

    def read(self, given: Any) -> None:
        """A module reads this, or the model returns it."""
        if not isinstance(given, torch.Tensor) or given.grad_fn is None:
            return
        tensor = given if activation_of(given.grad_fn) is not None or given._base is None else given._base
        node: Any = tensor.grad_fn
        if node is None or MARK in node.metadata or (found := activation_of(node)) is None:
            return
        function, parameter = found
        key = (_marks_behind(node), function)
        reads_previous = _reads(node, self._last)
        if key not in self._taps:
            if self.is_complete:
                return
            name = self._unique(f"{self._owner(key[0])}.{function.replace('-', '_')}".lstrip("."))
            kind = {"kind": "activation", "activation": function, "parameter": parameter}
            self._taps[key] = self._native.tap(name, json.dumps(kind), False, True)
        node.metadata[MARK] = self._last = f"{key[0][0] if key[0] else ''} {function}"
        self._see(self._taps[key], reads_previous, tensor)

    def _owner(self, behind: tuple[str, ...]) -> str:
        """The module around the nearest one."""
        owner = behind[0].partition(" ")[0].rpartition(".")[0] if behind else ""
        while owner in self._lists:
            owner = owner.rpartition(".")[0]
        return owner

    def _unique(self, name: str) -> str:
        found, count = name, 1
        while found in self._names:
            count += 1
            found = f"{name}-{count}"
        self._names.add(found)
        return found


def _marks_behind(node: Any) -> tuple[str, ...]:
    """What the nearest operations behind a node are marked with, the nearest first."""
    found, waiting = [], [node]
    for _ in range(MOST_NODES):
        if not waiting:
            break
        for before, _ in waiting.pop(0).next_functions:
            if before is not None and MARK in before.metadata:
                found.append(str(before.metadata[MARK]))
            elif before is not None:
                waiting.append(before)
    return tuple(found)


def _reads(node: Any, name: str | None) -> bool:
    """Whether an activation's input is, but for its shape, what the last operation returned."""
    before = node.next_functions[0][0]
    while before is not None and MARK not in before.metadata:
        if type(before).__name__ not in ("ViewBackward0", "ReshapeAliasBackward0", "UnsafeViewBackward0", "TransposeBackward0"):
            return False
        before = before.next_functions[0][0]
    return name is not None and before is not None and before.metadata[MARK] == name
