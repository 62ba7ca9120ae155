"""Which parameters the gradient does not reach, and where it is cut.

The values of parameters are followed through every call of the pass, also where gradients do not go: a parameter without a
gradient whose values are in the loss is cut off from it, while one whose values are not in it is merely not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from isogain.trace import Node

#: Calls that take values out of PyTorch. They come back as tensors that no call made, or one that was given none.
_EXITS = ("numpy", "array", "tolist", "item", "float", "int")
#: Calls that make tensors of values from outside; others, as `zeros`, have values of their own.
_ENTRIES = ("tensor", "as_tensor", "asarray", "from_numpy", "full", "scalar_tensor")


@dataclass(frozen=True)
class Cut:
    """A call that was given what has a gradient, and gave what has none."""

    function: str
    module: str
    """Path of the module that ran; empty for the model itself and for the loss."""
    in_model: bool
    without_gradients: bool
    """Whether gradients were switched off, as under `torch.no_grad()`."""
    inputs: tuple[Node, ...]
    """The recorded tensors that it was given."""
    bits: int
    """What they are computed from."""


class Reach:
    """Follows values. Each parameter that requires a gradient has a bit, and after these each cut; of a tensor, those bits are
    set that it is computed from."""

    def __init__(self, model: nn.Module) -> None:
        trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._names = list(trained)
        self._bits = {id(tensor): 0 for tensor in (*model.parameters(), *model.buffers())}
        self._bits |= {id(parameter): 1 << place for place, parameter in enumerate(trained.values())}
        self._cuts: list[Cut] = []
        self._outside = 0
        """What left PyTorch so far."""
        self._held: list[Tensor] = []
        """So that their identities are not given to others."""

    def source(self, tensor: Tensor) -> None:
        """A tensor of the batch."""
        self._set(tensor, 0)

    def call(
        self, function: str, module: str, in_model: bool, given: list[Tensor], inputs: list[Node], made: Any, writes: bool
    ) -> None:
        """One call: its tensors, the recorded ones among them, what came out, and whether it wrote to the first of its tensors."""
        back = self._outside if in_model else 0
        bits = back if function in _ENTRIES and not given else 0
        for tensor in (*given, *(node.tensor for node in inputs)):
            bits |= self._bits.get(id(tensor), back)
        tensors = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        has_left = not tensors and function in _EXITS
        if bits and (has_left or (tensors and any(t.requires_grad for t in given) and not any(t.requires_grad for t in tensors))):
            self._cuts.append(Cut(function, module, in_model, not torch.is_grad_enabled(), tuple(inputs), bits))
            bits |= 1 << (len(self._names) + len(self._cuts) - 1)
        if has_left:
            self._outside |= bits
        for tensor in (*tensors, *given[:1]) if writes else tensors:
            self._set(tensor, self._bits.get(id(tensor), 0) | bits)

    def _set(self, tensor: Tensor, bits: int) -> None:
        self._bits[id(tensor)] = bits
        self._held.append(tensor)

    def unreached(self, loss: Tensor, gradients: Mapping[str, Tensor | None]) -> dict[str, Cut | None]:
        """The parameters without a gradient, with the last cut on their way to the loss; `None` for those that it does not use."""
        in_loss = self._bits.get(id(loss), 0)
        # Behind what still has a gradient nothing is cut: so look custom functions, which run without gradients inside.
        cuts = [
            cut
            for place, cut in enumerate(self._cuts, len(self._names))
            if in_loss >> place & 1 and all(node.gradient is None for node in cut.inputs)
        ]
        return {
            name: next((cut for cut in reversed(cuts) if cut.bits >> place & 1), None)
            for place, name in enumerate(self._names)
            if gradients[name] is None
        }
