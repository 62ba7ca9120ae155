"""The gradients of some parameters, ready to be measured and scaled: in groups, as local shards, None left out."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, NamedTuple, TypeAlias, Union

import torch
from torch import Tensor
from torch.utils._foreach_utils import _device_has_foreach_support, _group_tensors_by_device_and_dtype

Parameters: TypeAlias = Union[Tensor, Iterable[Tensor]]

EPS = 1e-6
"""What `torch.nn.utils.clip_grad_norm_` adds to a norm before it divides by it."""


class Group(NamedTuple):
    """Gradients on one device in one dtype, which a foreach kernel takes at once."""

    device: torch.device
    dtype: torch.dtype
    tensors: list[Tensor]
    foreach: bool


class Shard(NamedTuple):
    """The gradient at `row` of the vectors is cut along its axis `dim`; the ranks of `group` hold the pieces."""

    row: int
    dim: int
    group: Any


@dataclass
class Gradients:
    """Vectors of one number per gradient are in the order of `tensors`, which is that of the groups."""

    parameters: list[Tensor]
    wholes: list[Tensor]
    """As the user sees them; a DTensor has its global shape."""
    tensors: list[Tensor]
    """What this rank holds of them."""
    places: list[int]
    """Where each stands among the parameters that were given, those without a gradient counted."""
    groups: list[Group]
    shards: list[Shard]
    device: torch.device
    """That of the first gradient: where the numbers are computed."""

    @property
    def free_to_read(self) -> bool:
        """On a CPU a number is simply there; on an accelerator reading one waits for all work in flight."""
        return self.device.type == "cpu"

    def norms(
        self, order: float = 2.0, *, like_torch: bool = False, error_if_nonfinite: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The norm of each gradient, [n], and of all together, a scalar, both on `device`.

        `like_torch` takes each norm in its gradient's own dtype and is then `clip_grad_norm_`'s to the last bit.
        Otherwise norms are taken in float32 or wider, on an accelerator in float64, and added up in float64. A norm
        that overflows although every value is finite (f32: above 1.8e19) is taken again in float64 where it costs
        nothing to notice: on a CPU, or where `error_if_nonfinite` reads it anyway. Sharded gradients are measured in
        float64 and reduced together: one collective for each dimension of their mesh.
        """
        norms, total = self._norms(order, like_torch and not self.shards, overflow_safe=bool(self.shards))
        readable = self.free_to_read or error_if_nonfinite
        if readable and not self.shards and not math.isfinite(total.item()):
            norms, total = self._norms(order, like_torch=False, overflow_safe=True)
        if error_if_nonfinite:
            self.check_finite(total)
        return norms, total

    def check_finite(self, total: Tensor) -> None:
        """An error where the norm of all gradients is not finite; waits for the device."""
        if not math.isfinite(total.item()):
            raise RuntimeError(
                f"the norm of {len(self.tensors)} gradients is {total.item()}, so they cannot be clipped; with "
                "error_if_nonfinite=False they are left as they are and the report says so"
            )

    def _norms(self, order: float, like_torch: bool, overflow_safe: bool) -> tuple[Tensor, Tensor]:
        parts: list[Tensor] = []
        for group in self.groups:
            dtype = None if like_torch else accumulator(group, overflow_safe)
            tensors = group.tensors
            if order == math.inf:  # the largest of no values has no identity in torch; here it is 0
                tensors = [tensor if tensor.numel() else tensor.new_zeros(1) for tensor in tensors]
            if group.foreach:
                parts += torch._foreach_norm(tensors, order, dtype=dtype)
            else:
                parts += [torch.linalg.vector_norm(tensor, order, dtype=dtype) for tensor in tensors]
        norms = torch.stack([part.to(self.device) for part in parts])
        if self.shards and order == math.inf:
            norms = self.reduce(norms, self.shards, largest=True)
        elif self.shards:
            norms = self.reduce(norms**order, self.shards) ** (1.0 / order)
        total_dtype = None if like_torch else wide(self.device)
        return norms, torch.linalg.vector_norm(norms, order, dtype=total_dtype)

    def reduce(self, rows: Tensor, shards: Sequence[Shard], largest: bool = False) -> Tensor:
        """Adds up (or takes the largest of) `rows`, [n, ...], over the ranks that hold the rest of those gradients."""
        by_group: dict[Any, list[int]] = {}
        for shard in shards:
            by_group.setdefault(shard.group, []).append(shard.row)
        for group, indices in by_group.items():
            where = on_device(indices, rows.device)
            rows[where] = all_reduce(rows[where], group, largest)
        return rows

    def scale_(self, factor: Tensor) -> None:
        """Multiplies every gradient by one factor, a scalar."""
        if self.free_to_read and factor.item() == 1.0:
            return  # times 1 changes no bit: spares the pass over the memory
        for group in self.groups:
            here = factor.to(group.device)
            if group.foreach:
                torch._foreach_mul_(group.tensors, here)
            else:
                for tensor in group.tensors:
                    tensor.mul_(here)

    def scale_each_(self, factors: Tensor) -> None:
        """Multiplies each gradient by its own factor, [n]."""
        if self.free_to_read:
            values = factors.tolist()
            for tensor, value in zip(self.tensors, values):
                if value != 1.0:
                    tensor.mul_(value)
            return
        start = 0
        for group in self.groups:
            here = list(factors[start : start + len(group.tensors)].to(group.device).unbind())
            start += len(group.tensors)
            if group.foreach:
                torch._foreach_mul_(group.tensors, here)
            else:
                for tensor, factor in zip(group.tensors, here):
                    tensor.mul_(factor)

    def elements(self) -> list[int]:
        """How many values each whole gradient has."""
        return [whole.numel() for whole in self.wholes]


def collect(parameters: Parameters, foreach: bool | None = None) -> Gradients:
    """The gradients of `parameters`: a tensor or any iterable of tensors, a generator included."""
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not listed and isinstance(parameters, GeneratorType):
        warnings.warn("the generator of parameters is empty (used up?): nothing is clipped", stacklevel=4)
    try:
        grads = [parameter.grad for parameter in listed]
    except AttributeError:
        wrong = next(item for item in listed if not hasattr(item, "grad"))
        raise TypeError(
            f"parameters hold a {type(wrong).__name__}, which has no gradient; wanted are tensors, as from "
            "model.parameters()"
        ) from None
    places = [place for place, grad in enumerate(grads) if grad is not None]
    wholes = [grad for grad in grads if grad is not None]
    tensors, shards = wholes, list[Shard]()
    plain = all(type(whole) is Tensor for whole in wholes)
    if not plain:
        tensors, shards = _localise([listed[place] for place in places], wholes)
        plain = all(type(tensor) is Tensor for tensor in tensors)
    if any(tensor.layout is not torch.strided for tensor in tensors):
        place, layout = next((p, t.layout) for p, t in zip(places, tensors) if t.layout is not torch.strided)
        raise ValueError(
            f"parameter {place}, shape {list(listed[place].shape)}, has a sparse gradient ({layout}); clipping wants "
            "dense ones: make it dense (nn.Embedding(..., sparse=False)) or leave that parameter out"
        )
    device = tensors[0].device if tensors else torch.device("cpu")
    grouped: dict[Any, Any] = _group_tensors_by_device_and_dtype([list(tensors)], with_indices=True) if tensors else {}
    groups = []
    for (on, dtype), ((members,), _) in grouped.items():
        fast = foreach is not False and _device_has_foreach_support(on) and (plain or bool(foreach))
        if foreach and not fast:
            raise RuntimeError(f"foreach=True, but there are no foreach kernels for {on.type} tensors")
        groups.append(Group(on, dtype, members, fast))
    if len(groups) > 1:
        order: list[int] = [index for (_, indices) in grouped.values() for index in indices]
        new_row = {old: new for new, old in enumerate(order)}
        wholes, tensors = [wholes[i] for i in order], [tensors[i] for i in order]
        places = [places[i] for i in order]
        shards = [shard._replace(row=new_row[shard.row]) for shard in shards]
    return Gradients(listed, wholes, tensors, places, groups, shards, device)


def _localise(owners: list[Tensor], wholes: list[Tensor]) -> tuple[list[Tensor], list[Shard]]:
    """What this rank holds of each gradient, and where the rest of it is. Changes `wholes` where sums were pending."""
    dtensor: Any = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", ())
    tensors: list[Tensor] = []
    shards: list[Shard] = []
    for index, (owner, whole) in enumerate(zip(owners, wholes)):
        if not isinstance(whole, dtensor):
            tensors.append(whole)
            continue
        if any(placement.is_partial() for placement in whole.placements):
            # The ranks hold summands. Their norms say nothing, and the optimizer needs the sum anyway.
            from torch.distributed.tensor import Replicate

            whole = whole.redistribute(placements=[Replicate() if p.is_partial() else p for p in whole.placements])
            owner.grad = wholes[index] = whole
        tensors.append(whole.to_local())
        for mesh_dim, placement in enumerate(whole.placements):
            if not placement.is_replicate():
                shards.append(Shard(index, placement.dim, whole.device_mesh.get_group(mesh_dim)))
    return tensors, shards


def all_reduce(values: Tensor, group: Any, largest: bool = False) -> Tensor:
    """`values` added up (or the largest of them) over the ranks of `group`; the same on each."""
    import torch.distributed as dist

    dist.all_reduce(values, dist.ReduceOp.MAX if largest else dist.ReduceOp.SUM, group)
    return values


def on_device(values: Sequence[int], device: torch.device) -> Tensor:
    """Whole numbers as a tensor on `device`, without waiting for what the device is doing."""
    return torch.tensor(values, dtype=torch.int64).to(device, non_blocking=True)


def wide(device: torch.device) -> torch.dtype:
    """The dtype that sums are kept in: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def accumulator(group: Group, overflow_safe: bool = False) -> torch.dtype | None:
    """The dtype to take a norm in; None is the gradient's own.

    Memory bounds a reduction on an accelerator, so float64 is free there; on a CPU it takes two to four times as long.
    """
    if group.dtype.is_complex or group.dtype == torch.float64:
        return None
    if overflow_safe or group.device.type != "cpu":
        return wide(group.device)
    return torch.float32 if group.dtype.itemsize < 4 else None


def not_negative(what: str, value: float) -> float:
    """`value` as a float; a NaN or a negative threshold (which would turn the gradient round) is an error."""
    number = float(value)
    if not number >= 0.0:
        raise ValueError(f"{what} is {number}; it must be 0 or greater (inf clips nothing)")
    return number
