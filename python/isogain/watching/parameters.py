"""Parameters, their gradients and updates, handed to the native half in one call each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, Union

import torch
from torch import nn
from torch.optim import Optimizer

from isogain import _core
from isogain.watching.operations import clean

__all__ = ["Filter", "Parameters", "local"]

#: Which parameters are looked at: all that are trained, or those for which the function of name and parameter says so.
Filter = Union[Literal["all"], Callable[[str, nn.Parameter], bool]]

#: Bytes of weights up to which a copy is kept over an update, to measure what changed.
MOST_COPIED = 1 << 30


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this process holds, as a plain dense tensor: of a DTensor its shard, of a sparse
    gradient its stored values (the rest is zero)."""
    to_local = getattr(tensor, "to_local", None)
    if to_local is not None:
        tensor = to_local()
    wait = getattr(tensor, "wait", None)
    if wait is not None:
        tensor = wait()
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce().values()
    return tensor.detach()


class Parameters:
    """The parameters of a model by place, which is their order in it. Tied weights have one place."""

    def __init__(self, model: nn.Module, keep: Filter, native: _core.Watch) -> None:
        self._model = model
        self._keep = keep
        self._native = native
        self._off: dict[int, str] = {}
        self.names: list[str] = []
        self.tensors: list[nn.Parameter] = []
        self._places: dict[int, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """Reads the model anew: sharding and the like replace parameters by others."""
        kept = [
            (clean(name), parameter)
            for name, parameter in self._model.named_parameters()
            if self._keep == "all" or self._keep(clean(name), parameter)
        ]
        self.names = [name for name, _ in kept]
        self.tensors = [parameter for _, parameter in kept]
        self._places = {id(parameter): place for place, parameter in enumerate(self.tensors)}
        self._known = {id(parameter) for parameter in self._model.parameters()}
        self._plain = [type(parameter) in (nn.Parameter, torch.Tensor) for parameter in self.tensors]
        self._native.parameters(self.names)

    @property
    def bytes(self) -> int:
        """Memory of all parameters that are trained."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors if tensor.requires_grad)

    def sizes(self) -> list[tuple[str, int]]:
        """Names and numbers of values; of a sharded parameter those of the whole."""
        return [(name, tensor.numel()) for name, tensor in zip(self.names, self.tensors)]

    def places(self, optimizer: Optimizer | None) -> list[int]:
        """Places of the parameters that an optimizer moves; of all that are trained without one."""
        if optimizer is None:
            return [place for place, tensor in enumerate(self.tensors) if tensor.requires_grad]
        owned = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if any(id(parameter) not in self._known for parameter in owned) and self._replaced():
            self.refresh()
        return [self._places[id(parameter)] for parameter in owned if id(parameter) in self._places]

    def _replaced(self) -> bool:
        return any(id(parameter) not in self._known for parameter in self._model.parameters())

    def read(self, which: Literal["weight", "gradient", "update"], places: Iterable[int], *, keep: bool = False) -> None:
        """Statistics of these parameters, of their gradients, or of what changed since weights were read to `keep`."""
        wanted = [place for place in places if place not in self._off]
        tensors: list[torch.Tensor | None]
        if which == "gradient":
            tensors = [self.tensors[place].grad for place in wanted]
        else:
            tensors = [self.tensors[place] for place in wanted]
        for at, place in enumerate(wanted):
            tensor = tensors[at]
            if tensor is not None and not self._plain[place]:
                tensors[at] = local(tensor)
        for place, _ in self._native.read(which, wanted, tensors, keep):
            tensor = self.tensors[place].grad if which == "gradient" else self.tensors[place]
            self._read_again(which, place, tensor, keep)

    def read_accumulated(self, place: int) -> None:
        """The gradient of one parameter as a backward pass leaves it, loss scale included."""
        gradient = self.tensors[place].grad
        if gradient is not None and place not in self._off:
            gradient = gradient if self._plain[place] else local(gradient)
            for _, reason in self._native.read("gradient", [place], [gradient], False, True):
                self._off[place] = reason

    def _read_again(self, which: str, place: int, tensor: torch.Tensor | None, keep: bool) -> None:
        """Once more without the short way; what cannot be read then is not asked for again."""
        if tensor is None:
            return
        self._plain[place] = False
        for _, reason in self._native.read(which, [place], [local(tensor)], keep):
            self._off[place] = reason

    def problems(self) -> list[tuple[str, str]]:
        """Parameters that cannot be read, with the reason."""
        return [(self.names[place], reason) for place, reason in self._off.items()]

