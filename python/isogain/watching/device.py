"""Statistics of tensors that live on a device: reduced there, copied once a step, read when the copy has arrived.

Nothing here waits for the device within a hook. Each tensor becomes a row of eight numbers by operations on the stream that
made it; at the end of a measured step all rows go to pinned memory in one copy without waiting, and the step is judged at
the end of the first later step at which the copy is there (of the very next one in a distributed training, so that all
processes do the same).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from isogain import _core
from isogain.watching.parameters import Parameters, local

__all__ = ["DeviceSide", "Packet", "is_on_device", "row"]

#: Steps that may wait for their copies; the oldest is waited for when there are more.
MOST_WAITING = 8


def row(tensor: torch.Tensor) -> torch.Tensor:
    """Count, sum, sum of squares, zeros, non-finite values, minimum, maximum and largest magnitude of the finite values:
    a vector of 8 on the tensor's device, in float64 where the device has it."""
    values = tensor.detach()
    wide = torch.float32 if values.device.type == "mps" else torch.float64
    if not values.is_floating_point():
        raise TypeError(f"needs floating-point numbers, not {str(values.dtype).removeprefix('torch.')}")
    if values.numel() == 0:
        return torch.zeros(8, dtype=wide, device=values.device)
    is_finite = torch.isfinite(values)
    finite = torch.where(is_finite, values, 0)
    infinity = float("inf")
    norm = torch.linalg.vector_norm(finite, dtype=wide)
    parts = [
        # Filled there: a copy of a number would wait for the device.
        torch.full((), values.numel(), dtype=wide, device=values.device),
        finite.sum(dtype=wide),
        norm * norm,
        (values == 0).sum().to(wide),
        (~is_finite).sum().to(wide),
        torch.where(is_finite, values, infinity).amin().to(wide),
        torch.where(is_finite, values, -infinity).amax().to(wide),
        finite.abs().amax().to(wide),
    ]
    return torch.stack(parts)


def magnitudes(tensor: torch.Tensor) -> torch.Tensor:
    """How many values have which biased binary exponent, as float32 holds them: 256 counts on the tensor's device. Bin 0 has
    zeros and what is smaller than normal numbers, bin 255 what is not finite."""
    values = tensor.detach().reshape(-1).float()
    exponents = torch.frexp(values)[1].long() + 126
    exponents = torch.where(values == 0, 0, exponents.clamp(0, 254))
    bins = torch.where(torch.isfinite(values), exponents, 255)
    counts = torch.zeros(256, dtype=torch.int64, device=values.device)
    # Unlike `bincount` it need not know the largest one first, for which it would wait for the device.
    return counts.scatter_add_(0, bins, torch.ones_like(bins))


@dataclass
class Packet:
    """What a step measured, on its way to this process."""

    step: int
    level: int
    scale: float
    learning_rate: float
    processes: int = 1
    #: `(which, place)` of each row.
    places: list[tuple[str, int]] = field(default_factory=list)
    rows: list[torch.Tensor] = field(default_factory=list)
    #: `(slot, axis length, samples)` of each count of dead units.
    units: list[tuple[int, int, int]] = field(default_factory=list)
    dead: list[torch.Tensor] = field(default_factory=list)
    #: Counts of each row's tensor by magnitude, where histograms are taken.
    takes_histograms: bool = False
    magnitudes: list[torch.Tensor] = field(default_factory=list)
    losses: list[torch.Tensor] = field(default_factory=list)
    losses_told: int = 0
    copy: torch.Tensor | None = None
    event: Any = None

    def send(self) -> None:
        """Starts the copy."""
        parts = [*self.rows, *self.dead, *self.magnitudes, *self.losses]
        if not parts:
            self.copy = torch.zeros(0)
            return
        device = next((part.device for part in parts if part.device.type != "cpu"), torch.device("cpu"))
        wide = torch.float32 if device.type == "mps" else torch.float64
        flat = torch.cat([part.reshape(-1).to(device, wide) for part in parts])
        if device.type == "cuda":
            self.copy = torch.empty(flat.shape, dtype=wide, pin_memory=True)
            self.copy.copy_(flat, non_blocking=True)
            self.event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.event.record()
        else:
            self.copy = flat.cpu()
        self.rows, self.dead, self.magnitudes, self.losses = [], [], [], []

    def has_arrived(self, wait: bool) -> bool:
        """Whether the copy is there; `wait` makes sure of it."""
        if self.event is None:
            return True
        if wait:
            self.event.synchronize()
            return True
        return bool(self.event.query())


class DeviceSide:
    """Takes the place of the native half's reading where tensors are on a device."""

    def __init__(self, native: _core.Watch, parameters: Parameters) -> None:
        self._native = native
        self._parameters = parameters
        self._waiting: deque[Packet] = deque()
        self._before: dict[int, torch.Tensor] = {}
        self._last_output: tuple[int, int] | None = None
        self._packet: Packet | None = None

    def begin(self, step: int, level: int, takes_histograms: bool = False) -> None:
        """A new step."""
        self._packet = Packet(step, level, 1.0, float("nan"), takes_histograms=takes_histograms) if level else None

    def see(
        self, tap: _core.Tap, everything: bool, args: tuple[Any, ...], output: Any, reads_previous: bool = False
    ) -> None:
        """The forward hook of a module; or an activation that is none, of which it is known whether it reads the last output."""
        found = _first_with_history(output)
        if found is None or self._packet is None:
            return
        slot = tap.slot()
        if slot is None:
            return
        if everything:
            self._shape(tap, slot, args, found, reads_previous)
        forward, backward = tap.wants(slot)
        if forward:
            self._add("activation", slot, found)
        if not backward:
            return
        index = found.output_nr

        def back(gradients: tuple[torch.Tensor | None, ...]) -> None:
            gradient = gradients[index]
            if gradient is not None and self._packet is not None:
                if tap.reached(slot, gradient.dtype == torch.float16):
                    self._add("cotangent", slot, gradient)

        node = found.grad_fn
        assert node is not None
        node.register_prehook(back)

    def see_compiled(self, tap: _core.Tap, tensor: torch.Tensor, backward: bool) -> None:
        """The same within a compiled program, where calls come back in the opposite order."""
        if self._packet is None:
            return
        slot = tap.back_slot() if backward else tap.slot()
        if slot is not None and (not backward or tap.reached(slot, tensor.dtype == torch.float16)):
            self._add("cotangent" if backward else "activation", slot, tensor)

    def _shape(
        self, tap: _core.Tap, slot: int, args: tuple[Any, ...], output: torch.Tensor, reads_previous: bool
    ) -> None:
        given = args[0] if args and isinstance(args[0], torch.Tensor) else None
        place = None if given is None else (given.data_ptr(), given.numel())
        place = self._last_output if reads_previous else place
        self._last_output = (output.data_ptr(), output.numel())
        axis = tap.shaped(slot, place, self._last_output, list(output.shape))
        packet = self._packet
        if axis is None or packet is None or not tap.can_die:
            return
        others = [at for at in range(output.dim()) if at != axis]
        is_on = (output.detach() != 0).any(dim=others) if others else output.detach() != 0
        packet.units.append((slot, int(output.shape[axis]), output.numel() // max(int(output.shape[axis]), 1)))
        packet.dead.append((~is_on).sum())

    def _add(self, which: str, place: int, tensor: torch.Tensor) -> None:
        if self._packet is not None:
            self._packet.places.append((which, place))
            self._packet.rows.append(row(tensor))
            if self._packet.takes_histograms:
                self._packet.magnitudes.append(magnitudes(tensor))

    def read(self, which: str, places: list[int], keep: bool = False) -> None:
        """Rows of weights, gradients or updates."""
        for place in places:
            parameter = self._parameters.tensors[place]
            if which == "gradient":
                if parameter.grad is not None:
                    self._add("gradient", place, local(parameter.grad))
            elif which == "weight":
                self._add("weight", place, local(parameter))
                if keep:
                    self._before[place] = local(parameter).clone()
            elif place in self._before:
                self._add("update", place, local(parameter) - self._before.pop(place))

    def end(self, losses: list[torch.Tensor], learning_rate: float, scale: float, processes: int) -> None:
        """Sends what this step measured on its way."""
        if self._packet is not None:
            packet = self._packet
            packet.learning_rate, packet.scale, packet.processes = learning_rate, scale, processes
            self._packet.losses = [loss.detach() for loss in losses]
            self._packet.losses_told = len(losses)
            self._packet.send()
            self._waiting.append(self._packet)
            self._packet = None

    def arrived(self, wait: bool) -> tuple[Packet, float | None] | None:
        """The oldest step whose copy is there, loaded into the native half, and its mean loss."""
        if not self._waiting:
            return None
        packet = self._waiting[0]
        if not packet.has_arrived(wait or len(self._waiting) > MOST_WAITING):
            return None
        self._waiting.popleft()
        assert packet.copy is not None
        values = packet.copy.tolist()
        self._native.load(packet.level, packet.scale)
        self._native.take_histograms(packet.takes_histograms)
        kinds: dict[str, tuple[list[int], list[list[float]]]] = {}
        for at, (which, place) in enumerate(packet.places):
            places, rows = kinds.setdefault(which, ([], []))
            found = values[8 * at : 8 * at + 8]
            places.append(place)
            rows.append(_unscaled(found, packet.scale * packet.processes) if which == "cotangent" else found)
        for which, (places, rows) in kinds.items():
            self._native.put(which, places, rows)
        after = 8 * len(packet.places)
        for (slot, units, samples), dead in zip(packet.units, values[after:]):
            self._native.put_units(slot, units, int(dead), samples)
        after += len(packet.units)
        if packet.takes_histograms:
            for which, place in packet.places:
                counts = [int(count) for count in values[after : after + 256]]
                divisor = packet.scale * packet.processes if which == "cotangent" else 1.0
                self._native.put_histogram(which, place, counts, divisor)
                after += 256
        losses = values[after:]
        return packet, (sum(losses) / len(losses) if losses else None)


def _unscaled(found: list[float], scale: float) -> list[float]:
    if scale == 1.0:
        return found
    count, total, squares, zeros, non_finite, low, high, largest = found
    by = 1.0 / scale
    return [count, total * by, squares * by * by, zeros, non_finite, low * by, high * by, largest * by]


def _first_with_history(output: Any) -> torch.Tensor | None:
    if isinstance(output, torch.Tensor):
        return output if output.grad_fn is not None else None
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else ()
    return next((found for part in parts if (found := _first_with_history(part)) is not None), None)


def is_on_device(model: nn.Module) -> bool:
    """Whether a model lives on a device."""
    return any(parameter.device.type not in ("cpu", "meta") for parameter in model.parameters())
