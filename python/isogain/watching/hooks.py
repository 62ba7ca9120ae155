"""Forward hooks, and when they are there: between measured steps none is, so that such a step costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from isogain import _core
from isogain.watching.compiled import enroll, tap_in_graph
from isogain.watching.device import DeviceSide
from isogain.watching.functional import Functional
from isogain.watching.guard import Guard
from isogain.watching.operations import is_through, kind_of, leaves

__all__ = ["EVERYTHING", "LAYERS", "NOTHING", "Taps"]

#: How much of a step is measured.
NOTHING, LAYERS, EVERYTHING = 0, 1, 2

Hook = Callable[[nn.Module, tuple[Any, ...], Any], Any]


class Taps:
    """The taps of a model's modules. A module's place is its number in the native half."""

    def __init__(
        self,
        model: nn.Module,
        native: _core.Watch,
        guard: Guard,
        pass_begins: Callable[[], None],
    ) -> None:
        self._native = native
        self._guard = guard
        self._pass_begins = pass_begins
        self._first_compiled: int | None = None
        self._taps: list[_core.Tap] = []
        self._modules: list[nn.Module] = []
        self._hooks: list[Hook] = []
        self._handles: dict[int, RemovableHandle] = {}
        self._needed: set[int] | None = None
        self._number = enroll(self)
        #: Reads tensors that are on a device, where the model is.
        self.device: DeviceSide | None = None
        #: Activations that are no modules; None where the processes of a training do not have the same ones.
        self.functional: Functional | None = Functional(model, native, self._see_functional)
        self.level = NOTHING
        for name, module in leaves(model):
            tap = native.tap(name, kind_of(module), is_through(module))
            self._taps.append(tap)
            self._modules.append(module)
            self._hooks.append(_hook(tap, self, self._number, name, is_through(module)))

    def __len__(self) -> int:
        return len(self._modules)

    def install(self, level: int) -> None:
        """Puts the hooks in place that a step of this level needs, and takes the others away."""
        if level == EVERYTHING and self.functional is not None:
            self.functional.begin()
        if level == self.level and (level != LAYERS or self._needed is not None):
            return
        self.level = level
        wanted: set[int] = set()
        if level == EVERYTHING:
            wanted = set(range(len(self._modules)))
        elif level == LAYERS:
            if self._needed is None and self._native.is_described():
                self._needed = set(self._native.needed())
            wanted = self._needed if self._needed is not None else set(range(len(self._modules)))
        for place in self._handles.keys() - wanted:
            self._handles.pop(place).remove()
        for place in wanted - self._handles.keys():
            self._handles[place] = self._modules[place].register_forward_hook(self._hooks[place])

    def guarded(self, see: Callable[[], None]) -> None:
        """Does what must not disturb the training."""
        self._guard.run("activations", see)

    def read(self, given: Any) -> None:
        """A module read this, or the model returned it: an activation that is no module may have made it."""
        if self.functional is not None and self.level == EVERYTHING:
            self._guard.run("functional activations", self.functional.read, given)

    def made(self, name: str, output: Any) -> None:
        """A module returned this."""
        if self.functional is not None and self.level == EVERYTHING:
            self._guard.run("functional activations", self.functional.made, name, output)

    def _see_functional(self, tap: _core.Tap, reads_previous: bool, output: torch.Tensor) -> None:
        if self.device is None:
            tap.functional(reads_previous, output)
        else:
            self.device.see(tap, True, (), output, reads_previous)

    def see_on_device(self, tap: _core.Tap, args: tuple[Any, ...], output: Any) -> None:
        """What a hook does where the model is on a device."""
        if self.device is not None:
            self.device.see(tap, self.level == EVERYTHING, args, output)

    def see_compiled(self, place: int, tensor: torch.Tensor, backward: bool) -> None:
        """What a compiled program calls."""
        if not backward and self._first_compiled in (None, place):
            # No hook of the whole model runs within a compiled program: its first tap stands for it.
            self._first_compiled = place
            self._pass_begins()
        if self.device is None:
            self._taps[place].compiled(tensor, backward)
        else:
            self.guarded(lambda: self._see_compiled_on_device(place, tensor, backward))

    def _see_compiled_on_device(self, place: int, tensor: torch.Tensor, backward: bool) -> None:
        if self.device is not None:
            self.device.see_compiled(self._taps[place], tensor, backward)


def _hook(tap: _core.Tap, taps: Taps, number: int, name: str, through: bool) -> Hook:
    is_compiling = torch.compiler.is_compiling
    place = tap.place

    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if is_compiling():
            return output if through else tap_in_graph(output, number, place)
        given = args[0] if args else None
        everything = taps.level == EVERYTHING
        if everything:
            taps.read(given)
        if taps.device is None:
            tap(given, output)
        else:
            taps.guarded(lambda: taps.see_on_device(tap, args, output))
        if everything and not through:
            taps.made(name, output)
        return None

    return hook
