"""One of two processes of `test_clip_distributed.py`: clips sharded gradients and compares with whole ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from isogain import clip

Clip = Callable[..., clip.Report]

METHODS: dict[str, Callable[[], Clip]] = {
    "value": lambda: lambda p: clip.by_value_(p, 0.5),
    "norm": lambda: lambda p: clip.by_norm_(p, 1.0),
    "global norm": lambda: lambda p: clip.by_global_norm_(p, 1.0),
    "global norm, order 1": lambda: lambda p: clip.by_global_norm_(p, 1.0, norm_type=1.0),
    "global norm, order inf": lambda: lambda p: clip.by_global_norm_(p, 0.1, norm_type=float("inf")),
    "agc": lambda: lambda p: clip.agc_(p, 0.5),
    "autoclip": lambda: clip.AutoClip(30.0),
    "zclip": lambda: clip.ZClip(warmup_steps=2, z_threshold=0.5),
    "adagc": lambda: clip.AdaGC(warmup_steps=2, lambda_abs=2.0),
}


def close(got: Tensor, want: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)


def close_numbers(report: clip.Report, whole: clip.Report, name: str) -> None:
    for key, got, want in zip(clip.Numbers._fields, report.numbers, whole.numbers, strict=True):
        assert abs(got - want) <= 1e-5 * max(1.0, abs(want)) or got == want, f"{name}: {key} is {got}, wanted {want}"


def layouts(mesh: Any, grid: Any) -> list[tuple[tuple[int, ...], Any, list[Any]]]:
    """Shapes and how they are laid out: uneven, empty on rank 1, by columns, replicated, on a 2-D mesh, not at all."""
    return [
        ((3, 8), mesh, [Shard(0)]),
        ((1, 5), mesh, [Shard(0)]),
        ((7,), mesh, [Shard(0)]),
        ((4, 3), mesh, [Shard(1)]),
        ((5, 2), mesh, [Replicate()]),
        ((6, 3), mesh, [Partial()]),
        ((4, 4), grid, [Replicate(), Shard(0)]),
        ((4, 4), grid, [Shard(0), Shard(1)]),
        ((3, 3), None, []),
    ]


def placed(tensor: Tensor, mesh: Any, placements: list[Any]) -> Tensor:
    tensor = tensor.clone()  # a replicated DTensor shares it
    if mesh is None:
        return tensor
    if placements == [Partial()]:
        share = tensor * (0.25 if dist.get_rank() == 0 else 0.75)
        return DTensor.from_local(share, mesh, placements, run_check=False)
    return distribute_tensor(tensor, mesh, placements)


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def by_hand(mesh: Any, grid: Any) -> None:
    for name, make in METHODS.items():
        sharded_clip, whole_clip = make(), make()
        acted = False
        for step in range(6):
            generator = torch.Generator().manual_seed(step)
            sharded, plain = [], []
            for shape, on, placements in layouts(mesh, grid):
                weight = torch.randn(shape, generator=generator)
                gradient = torch.randn(shape, generator=generator) * (5.0 if step == 4 else 1.0)
                at_rest = [Replicate() if p.is_partial() else p for p in placements]
                sharded.append(nn.Parameter(placed(weight, on, at_rest)))
                sharded[-1].grad = placed(gradient, on, placements)
                plain.append(nn.Parameter(weight))
                plain[-1].grad = gradient
            with mock.patch.object(DTensor, "full_tensor", side_effect=AssertionError("gathered")):
                report = sharded_clip(sharded)
                reference = whole_clip(plain)
                if dist.get_rank() == 0:  # looking is no collective
                    close_numbers(report, reference, name)
            dist.barrier()
            close_numbers(report, reference, name)
            for got, want in zip(sharded, plain, strict=True):
                close(whole(got.grad), want.grad)
            acted |= report.acted
        assert acted, name


def one_reduction(mesh: Any) -> None:
    """The global norm of sharded gradients costs one all-reduce, however many there are."""
    sharded = []
    for size in (3, 1, 8, 5):
        sharded.append(nn.Parameter(distribute_tensor(torch.zeros(size, 2), mesh, [Shard(0)])))
        sharded[-1].grad = distribute_tensor(torch.ones(size, 2), mesh, [Shard(0)])
    with mock.patch.object(dist, "all_reduce", wraps=dist.all_reduce) as counted:
        report = clip.by_global_norm_(sharded, 1.0)
        assert counted.call_count == 1, counted.call_count
        assert abs(float(report) - 34**0.5) < 1e-6
        assert str(report).startswith("global norm: norm 5.831 -> 1")
        assert counted.call_count == 1, "reading the report reduced again"


def overflow(mesh: Any) -> None:
    parameter = nn.Parameter(distribute_tensor(torch.zeros(101), mesh, [Shard(0)]))
    parameter.grad = distribute_tensor(torch.full((101,), 1e20), mesh, [Shard(0)])
    assert abs(float(clip.by_global_norm_(parameter, 1.0)) / (101**0.5 * 1e20) - 1) < 1e-6
    close(whole(parameter.grad), torch.full((101,), 101**-0.5))
    # A NaN on one rank is known on both.
    values = torch.ones(101)
    values[100] = float("nan")
    parameter.grad = distribute_tensor(values, mesh, [Shard(0)])
    report = clip.by_global_norm_(parameter, 1.0)
    assert not report.finite and not report.acted
    assert whole(parameter.grad)[:100].eq(1.0).all()


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 3), nn.Tanh(), nn.Linear(3, 1))


def fsdp(mesh: Any) -> None:
    """Six training steps of a network under FSDP2 and of the same network whole."""
    for name, make in METHODS.items():
        sharded, plain = network(), network()
        for layer in sharded:
            if isinstance(layer, nn.Linear):
                fully_shard(layer, mesh=mesh)
        fully_shard(sharded, mesh=mesh)
        sharded_clip, whole_clip = make(), make()
        for step in range(6):
            batch = 3.0 * torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
            for model, method in ((sharded, sharded_clip), (plain, whole_clip)):
                model.zero_grad()
                (model(batch) - 5.0).square().mean().backward()
                report = method(model.parameters())
                if model is sharded:
                    got = report
            close_numbers(got, report, name)
            with torch.no_grad():
                for model in (sharded, plain):
                    for parameter in model.parameters():
                        parameter -= 0.05 * parameter.grad
        for a, b in zip(sharded.parameters(), plain.parameters(), strict=True):
            close(whole(a.detach()), b.detach())


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    ranks = dist.get_world_size()
    assert ranks == 2
    mesh = init_device_mesh("cpu", (ranks,))
    grid = init_device_mesh("cpu", (1, ranks), mesh_dim_names=("replicate", "shard"))
    for check in (one_reduction, overflow, fsdp):
        check(mesh)
    by_hand(mesh, grid)
    print(f"rank {os.environ['RANK']} agrees", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
    # Not through the interpreter's end: gloo's threads are at times still running there, which aborts the process.
    os._exit(0)
