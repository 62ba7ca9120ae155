"""A training in several processes: one picture of it, the same in every process.

Every process sums what it measured into two vectors of fixed layout, and two reductions make them those of the whole: one
sum, one maximum. Shards of a parameter (FSDP2, tensor parallel) are summed; of a parameter that every process holds whole
(DDP) only the first copy counts. Whether a step is measured depends on its number alone, so that all processes come to the
reductions together, and since they judge the same numbers they come to the same findings.
"""

from __future__ import annotations

import json
from typing import Any

import torch
import torch.distributed as dist

from isogain import _core
from isogain.watching.hooks import Taps
from isogain.watching.parameters import Parameters

__all__ = ["Processes", "processes_of"]


def processes_of(wanted: bool | None) -> Processes | None:
    """The processes of this training; `None` for a single one. `wanted` is the user's word, if there is one."""
    if wanted is False or not dist.is_available() or not dist.is_initialized():
        if wanted:
            raise RuntimeError("distributed=True, but torch.distributed is not initialised (init_process_group)")
        return None
    return Processes() if dist.get_world_size() > 1 else None


class Processes:
    """All processes of the default group."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.count = dist.get_world_size()
        backend = str(dist.get_backend())
        on_device = "gloo" not in backend and "mpi" not in backend
        self._device = torch.device(torch.accelerator.current_accelerator() or "cpu") if on_device else torch.device("cpu")
        self._calls: list[int] | None = None
        self._counted: list[bool] | None = None

    def reduce(
        self, native: _core.Watch, parameters: Parameters, taps: Taps | None, loss: float | None
    ) -> float | None:
        """Makes the statistics of this process those of all, and returns the mean loss; `None` where nobody knows one."""
        if self._calls is None:
            self._agree_on_functional(native, taps)
            # Which modules ran may differ between processes; the layout may not.
            calls = torch.tensor(native.calls(), dtype=torch.int64, device=self._device)
            if calls.numel():
                dist.all_reduce(calls, dist.ReduceOp.MAX)
            self._calls = [int(count) for count in calls.tolist()]
            self._counted = [_counts_here(tensor, self.rank) for tensor in parameters.tensors]
        sums, maxima = native.export(self._calls, self._counted or [])
        sums += [0.0, 0.0] if loss is None else [loss, 1.0]
        total = torch.tensor(sums, dtype=torch.float64, device=self._device)
        largest = torch.tensor(maxima, dtype=torch.float64, device=self._device)
        dist.all_reduce(total, dist.ReduceOp.SUM)
        if largest.numel():
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        *sums, summed, known = total.tolist()
        native.import_(self._calls, sums, largest.tolist())
        if native.takes_histograms():
            counts = native.export_histograms(self._calls, self._counted or [])
            every = torch.tensor(counts, dtype=torch.float64, device=self._device)
            dist.all_reduce(every, dist.ReduceOp.SUM)
            native.import_histograms(self._calls, every.tolist())
        return summed / known if known else None

    def first_step(self, step: int) -> int:
        """The step at which the first process begins."""
        told = [step]
        dist.broadcast_object_list(told, src=0, device=self._device)
        return told[0]

    def _agree_on_functional(self, native: _core.Watch, taps: Taps | None) -> None:
        """Activations that are no modules are found as the model runs; the layout has room for what every process found."""
        if taps is None or taps.functional is None:
            return
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, taps.functional.found)
        taps.functional.is_complete = True
        if any(other != found[0] for other in found):
            taps.functional = None
            native.drop_functional()

    def agree(self, description: dict[str, Any], native: _core.Watch) -> dict[str, Any]:
        """The first process's description of the training, so that all judge by the same one."""
        told = [json.dumps({**description, **json.loads(native.seen())})]
        dist.broadcast_object_list(told, src=0, device=self._device)
        return dict(json.loads(told[0]))


def _counts_here(tensor: Any, rank: int) -> bool:
    """Whether this process's part of a parameter counts in the sum."""
    placements = getattr(tensor, "placements", None)
    if placements is None:
        return rank == 0
    coordinate = tensor.device_mesh.get_coordinate()
    if coordinate is None:
        return False
    return all(at == 0 or not placement.is_replicate() for at, placement in zip(coordinate, placements))
