"""The tensors that go to the core: each once, in memory order, with its channels last."""

from __future__ import annotations

from torch import Tensor

from isogain import layout


class Buffers:
    """The tensors of one description, which speaks of them by their indices."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._indices: dict[tuple[int, bool], int] = {}
        self._turned: dict[int, Tensor] = {}
        # Held so that their identities are not given to other tensors.
        self._sources: list[Tensor] = []

    def add(self, tensor: Tensor, axis: int | None = None) -> int:
        """Index of the tensor. `axis` is where its channels are: 1, -1, or None for any order."""
        moves = axis == 1 and tensor.dim() > 2
        key = (id(tensor), moves)
        if key not in self._indices:
            plain = tensor.detach().to("cpu")
            self.tensors.append((plain.movedim(1, -1) if moves else plain).contiguous())
            self._sources.append(tensor)
            self._indices[key] = len(self.tensors) - 1
        return self._indices[key]

    def by_sample(self, tensor: Tensor, steps_and_samples: tuple[int, int]) -> Tensor:
        """The tensor with all steps of a sample together, the same one for each call."""
        if id(tensor) not in self._turned:
            self._turned[id(tensor)] = layout.by_sample(tensor.detach(), steps_and_samples)
            self._sources.append(tensor)
        return self._turned[id(tensor)]
