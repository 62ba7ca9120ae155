"""What each of PyTorch's hooks really sees: one test for each case that the watcher relies on or works around."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import isogain
from isogain import _core
from test_watch import batch, lines, mlp, train


class Run:
    """A watched run of a few steps, and what it recorded."""

    def __init__(self, folder: Path, model: nn.Module, optimizer: Any, **settings: Any) -> None:
        self.folder = folder / "run"
        self.watcher = isogain.watch(model, optimizer, run=self.folder, **settings)

    def step(self, at: int = 0) -> dict[str, Any]:
        self.watcher.close()
        return lines(self.folder, "step")[at]

    def joint(self, name: str, at: int = 0) -> dict[str, Any]:
        (joint,) = [joint for joint in self.step(at)["joints"] if joint["name"] == name]
        return joint

    def parameter(self, name: str, at: int = 0) -> dict[str, Any]:
        (parameter,) = [p for p in self.step(at)["parameters"] if p["name"] == name]
        return parameter


def squares(tensor: torch.Tensor | None) -> float:
    assert tensor is not None
    return tensor.detach().double().square().sum().item()


def reference(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, tuple[float, float]]:
    """Sums of squares of each leaf's output and of its cotangent, kept by hand from a plain pass."""
    kept: dict[str, torch.Tensor] = {}
    sizes: dict[str, float] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            sizes[name] = squares(output)
            gradients: list[float] = []
            output.register_hook(lambda gradient: gradients.append(squares(gradient)))
            kept[name] = gradients  # type: ignore[assignment]

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    handles = [module.register_forward_hook(keep(name)) for name, module in leaves]
    F.cross_entropy(model(x), y).backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    return {name: (sizes[name], kept[name][0]) for name in sizes}  # type: ignore[misc]


def watched(model: nn.Module, tmp_path: Path, loss: Any = None) -> tuple[Run, torch.Tensor, torch.Tensor]:
    x, y = batch(torch.Generator().manual_seed(3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer)
    value = F.cross_entropy(model(x), y)
    value.backward()
    optimizer.step()
    return run, x, y


class Checkpointed(nn.Module):
    """Three blocks, the middle one under checkpointing, unless `reentrant` is None."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.first = nn.Linear(64, 32)
        self.inside = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
        self.last = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        h = self.inside(h) if self.reentrant is None else checkpoint(self.inside, h, use_reentrant=self.reentrant)
        out: torch.Tensor = self.last(h)
        return out


def test_in_place_activations(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain, in_place = mlp(3), mlp(3, activation=lambda: nn.ReLU(inplace=True))
    in_place.load_state_dict(plain.state_dict())
    x, y = batch(torch.Generator().manual_seed(3))
    expected = reference(plain, x, y)
    run, _, _ = watched(in_place, tmp_path)
    for name, (activation, cotangent) in expected.items():
        joint = run.joint(name)
        assert joint["activation"]["sum_of_squares"] == pytest.approx(activation), name
        assert joint["cotangent"]["sum_of_squares"] == pytest.approx(cotangent), name


def test_full_backward_hooks_cannot_be_used_and_are_not() -> None:
    model = mlp(2, activation=lambda: nn.ReLU(inplace=True))
    handles = [module.register_full_backward_hook(lambda *_: None) for module in model]
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        model(torch.randn(4, 64))
    for handle in handles:
        handle.remove()
    with isogain.watch(model, torch.optim.SGD(model.parameters(), lr=0.1)):
        assert all(not module._backward_hooks and not module._backward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_counts_once(tmp_path: Path, reentrant: bool) -> None:
    torch.manual_seed(0)
    model = Checkpointed(reentrant)
    run, x, y = watched(model, tmp_path)
    torch.manual_seed(0)
    expected = reference(Checkpointed(None), *batch(torch.Generator().manual_seed(3)))
    names = [joint["name"] for joint in run.step()["joints"]]
    assert sorted(names) == ["first", "inside.0", "inside.1", "inside.2", "last"]
    for name in names:
        joint = run.joint(name)
        assert joint["activation"]["count"] == 64 * (10 if name == "last" else 32), name
        assert joint["activation"]["sum_of_squares"] == pytest.approx(expected[name][0]), name
        assert joint["cotangent"]["sum_of_squares"] == pytest.approx(expected[name][1]), name


def test_a_module_that_is_called_again_has_a_joint_for_each_call(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.kept = [self.same(x)]
            self.kept.append(self.same(torch.tanh(self.kept[0])))
            for out in self.kept:
                out.retain_grad()
            logits: torch.Tensor = self.head(self.kept[1])
            return logits

    torch.manual_seed(0)
    model = Twice()
    run, _, _ = watched(model, tmp_path)
    for at, name in enumerate(["same", "same#1"]):
        assert run.joint(name)["activation"]["sum_of_squares"] == pytest.approx(squares(model.kept[at]))
        assert run.joint(name)["cotangent"]["sum_of_squares"] == pytest.approx(squares(model.kept[at].grad))


def test_a_tensor_used_twice_has_the_sum_and_a_split_one_its_part(tmp_path: Path) -> None:
    class Split(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = x.chunk(2, dim=1)
            self.right = right
            right.retain_grad()
            return right

    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.split, self.a, self.b = nn.Linear(64, 64), Split(), nn.Linear(32, 10), nn.Linear(32, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.split(self.stem(x))
            out: torch.Tensor = self.a(h) + self.b(h)
            return out

    torch.manual_seed(0)
    model = Forked()
    run, _, _ = watched(model, tmp_path)
    assert run.joint("split")["cotangent"]["sum_of_squares"] == pytest.approx(squares(model.split.right.grad))


def test_nothing_is_taken_where_no_gradient_is_made(tmp_path: Path) -> None:
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer)
    x, y = batch(torch.Generator().manual_seed(3))
    with torch.no_grad():
        model(1e6 * x)
    with torch.inference_mode():
        model(1e6 * x)
    F.cross_entropy(model(x), y).backward()
    with torch.no_grad():
        model(1e6 * x)
    optimizer.step()
    assert run.joint("0")["activation"]["count"] == 64 * 64
    assert run.joint("0")["activation"]["abs_max"] < 100


def test_accumulated_gradients_are_seen_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer)
    generator = torch.Generator().manual_seed(3)
    micro: list[float] = []
    handle = model[0].weight.register_hook(lambda gradient: micro.append(squares(gradient)))
    for _ in range(2):
        x, y = batch(generator)
        loss = F.cross_entropy(model(x), y) / 2
        run.watcher.loss(loss)
        loss.backward()
    whole = squares(model[0].weight.grad)
    optimizer.step()
    handle.remove()
    assert run.parameter("0.weight")["gradient"]["sum_of_squares"] == pytest.approx(whole)
    assert len(micro) == 2 and all(part < 0.9 * whole for part in micro)
    # Activations of both micro-batches are one batch.
    assert run.joint("0")["activation"]["count"] == 2 * 64 * 64
    assert run.joint("0")["cotangent"]["count"] == 2 * 64 * 64
    assert len(lines(run.folder, "step")) == 1


def test_a_second_backward_pass_is_counted_and_not_mixed_in(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(1, activation=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer)
    x, y = batch(torch.Generator().manual_seed(3))
    loss = F.cross_entropy(model(x), y)
    gradients = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    first = run.watcher._native.repeated()
    (loss + sum(g.square().sum() for g in gradients)).backward()
    optimizer.step()
    assert first == 0 and run.watcher._native.repeated() > 0
    assert run.joint("0")["cotangent"]["count"] == 64 * 64


def test_autocast_to_bfloat16(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer)
    x, y = batch(torch.Generator().manual_seed(3))
    kept: list[torch.Tensor] = []
    handle = model[0].register_forward_hook(lambda module, args, output: kept.append(output))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    handle.remove()
    assert kept[0].dtype == torch.bfloat16
    assert run.joint("0")["activation"]["sum_of_squares"] == pytest.approx(squares(kept[0]))
    assert run.joint("0")["cotangent"]["count"] == 64 * 64
    assert run.parameter("0.weight")["gradient"]["sum_of_squares"] == pytest.approx(squares(model[0].weight.grad))


def test_a_loss_scale_is_divided_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    x, y = batch(torch.Generator().manual_seed(3))
    expected = reference(model, x, y)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    run = Run(tmp_path, model, optimizer, scaler=scaler)
    loss = F.cross_entropy(model(x), y)
    scaler.scale(loss).backward()
    scaled = squares(model[0].weight.grad)
    scaler.step(optimizer)
    scaler.update()
    assert run.joint("0")["cotangent"]["sum_of_squares"] == pytest.approx(expected["0"][1])
    assert run.parameter("0.weight")["gradient"]["sum_of_squares"] == pytest.approx(scaled / 1024.0**2)


def test_an_overflow_that_the_scaler_answers_is_noted_and_no_finding(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    run = Run(tmp_path, model, optimizer, scaler=scaler)
    generator = torch.Generator().manual_seed(3)
    for step in range(5):
        x, y = batch(generator)
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(x), y)).backward()
        if step == 2:
            assert model[0].weight.grad is not None
            model[0].weight.grad[0, 0] = float("inf")
        scaler.step(optimizer)
        scaler.update()
    run.watcher.close()
    assert run.watcher.overflows == [2]
    assert run.watcher.findings == []
    assert [step["step"] for step in lines(run.folder, "step")] == [0, 1, 2, 3, 4]
    (note,) = lines(run.folder, "note")
    assert note["text"].startswith("step 2: a gradient overflowed")


def test_overflow_in_the_backward_pass_is_seen_although_no_optimizer_steps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)
    run = Run(tmp_path, model, optimizer, scaler=scaler)
    x, y = batch(torch.Generator().manual_seed(3))
    for _ in range(2):
        optimizer.zero_grad()
        scaler.scale(1e20 * F.cross_entropy(model(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()
    assert run.parameter("0.weight")["gradient"]["non_finite"] > 0
    assert run.watcher.overflows == [0]


def test_updates_of_a_fused_optimizer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, foreach=True)
    run = Run(tmp_path, model, optimizer)
    before = model[0].weight.detach().clone()
    train(model, optimizer, 1, None)
    change = squares(model[0].weight - before)
    assert run.parameter("0.weight")["update"]["sum_of_squares"] == pytest.approx(change)
    assert run.parameter("0.weight")["weight"]["sum_of_squares"] == pytest.approx(squares(before))


def test_optimizers_that_step_within_the_backward_pass(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    x, y = batch(torch.Generator().manual_seed(3))
    twin = mlp(2)
    twin.load_state_dict(model.state_dict())
    F.cross_entropy(twin(x), y).backward()
    optimizers = {p: torch.optim.SGD([p], lr=0.1) for p in model.parameters()}
    run = Run(tmp_path, model, optimizers)

    def step(parameter: torch.Tensor) -> None:
        optimizers[parameter].step()  # type: ignore[index]
        optimizers[parameter].zero_grad()  # type: ignore[index]

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    for _ in range(3):
        F.cross_entropy(model(x), y).backward()
    for name, parameter in twin.named_parameters():
        assert run.parameter(name)["gradient"]["sum_of_squares"] == pytest.approx(squares(parameter.grad)), name
    assert len(lines(run.folder, "step")) == 3


def test_gradients_that_are_freed_before_the_watcher_is_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    run = Run(tmp_path, model, None)
    x, y = batch(torch.Generator().manual_seed(3))
    expected: dict[str, float] = {}
    for name, parameter in model.named_parameters():

        def free(p: torch.Tensor, name: str = name) -> None:
            expected[name] = squares(p.grad)
            p.grad = None

        parameter.register_post_accumulate_grad_hook(free)
    F.cross_entropy(model(x), y).backward()
    run.watcher.step()
    for name, value in expected.items():
        assert run.parameter(name)["gradient"]["sum_of_squares"] == pytest.approx(value)


def test_pointers_of_gradients_are_not_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer)
    sizes, kept = [], []
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        x, y = batch(generator)
        optimizer.zero_grad(set_to_none=True)
        # Held, so that the next gradient cannot have the same memory.
        kept.append(torch.empty_like(model[0].weight))
        F.cross_entropy(model(x), y).backward()
        sizes.append(squares(model[0].weight.grad))
        optimizer.step()
    for at, size in enumerate(sizes):
        assert run.parameter("0.weight", at)["gradient"]["sum_of_squares"] == pytest.approx(size)


def test_strides_of_any_kind(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer)
    x, _ = batch(torch.Generator().manual_seed(3))
    # The gradient of a sum is one number with strides 0.
    model(x).sum().backward()
    optimizer.step()
    assert run.joint("1")["cotangent"]["sum"] == 640
    for tensor in (torch.randn(6, 8).t(), torch.randn(6, 1).expand(6, 8), torch.randn(12, 8)[::2, ::3], torch.randn(())):
        found = _core.statistics(tensor)
        assert found["sum_of_squares"] == pytest.approx(squares(tensor))


def test_tensors_without_memory_are_refused() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.randn(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ValueError, TypeError)):
            _core.statistics(fake)
    with pytest.raises(RuntimeError, match="meta"):
        _core.statistics(torch.empty(4, device="meta"))


def test_tied_weights_and_frozen_parameters(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(3)
    model[4].weight = model[2].weight
    model[0].weight.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    run = Run(tmp_path, model, optimizer, parameters=lambda name, parameter: not name.endswith("bias"))
    train(model, optimizer, 1, None)
    measured = {p["name"] for p in run.step()["parameters"] if p["gradient"]["count"]}
    assert measured == {"2.weight", "6.weight"}
    assert run.parameter("2.weight")["gradient"]["sum_of_squares"] == pytest.approx(squares(model[2].weight.grad))


def test_several_optimizers_make_one_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(2)
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    rest = torch.optim.Adam([p for layer in model[1:] for p in layer.parameters()], lr=0.01)
    run = Run(tmp_path, model, [first, rest])
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        x, y = batch(generator)
        first.zero_grad()
        rest.zero_grad()
        F.cross_entropy(model(x), y).backward()
        first.step()
        rest.step()
    assert [step["step"] for step in [run.step(at) for at in range(3)]] == [0, 1, 2]
    assert all(p["gradient"]["count"] for p in run.step(2)["parameters"])


def test_closures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = mlp(1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
    run = Run(tmp_path, model, optimizer)
    x, y = batch(torch.Generator().manual_seed(3))
    sizes: list[float] = []
    losses: list[float] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        sizes.append(squares(model[0].weight.grad))
        losses.append(loss.item())
        return loss

    optimizer.step(closure)
    assert len(sizes) > 1
    assert run.parameter("0.weight")["gradient"]["sum_of_squares"] == pytest.approx(sizes[0])
    assert run.step()["loss"] == pytest.approx(losses[0])
    assert run.parameter("0.weight")["update"]["sum_of_squares"] > 0


def test_sparse_gradients(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 64, sparse=True), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer)
    F.cross_entropy(model(torch.arange(16)), torch.arange(16) % 10).backward()
    gradient = model[0].weight.grad
    assert isinstance(gradient, torch.Tensor) and gradient.is_sparse
    optimizer.step()
    assert run.parameter("0.weight")["gradient"]["sum_of_squares"] == pytest.approx(squares(gradient.to_dense()))


def test_the_loss_is_taken_where_the_model_or_a_module_makes_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, criterion = mlp(1), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer, loss_fn=criterion)
    x, y = batch(torch.Generator().manual_seed(3))
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    assert run.step()["loss"] == pytest.approx(loss.item())
    (header,) = lines(run.folder, "header")
    assert header["data"]["baseline_loss"] == pytest.approx(2.302585)

    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x).square().mean()

    whole = WithLoss()
    optimizer = torch.optim.SGD(whole.parameters(), lr=0.1)
    run = Run(tmp_path / "second", whole, optimizer)
    loss = whole(x)
    loss.backward()
    optimizer.step()
    assert run.step()["loss"] == pytest.approx(loss.item())


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_models_without_a_graph_break(tmp_path: Path, backend: str) -> None:
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(0)
    model = mlp(2, activation=lambda: nn.ReLU(inplace=True))
    plain = mlp(2)
    plain.load_state_dict(model.state_dict())
    x, y = batch(torch.Generator().manual_seed(3))
    expected = reference(plain, x, y)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(tmp_path, model, optimizer)
    fast = torch.compile(model, backend=backend, fullgraph=True)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(fast(x), y).backward()
        optimizer.step()
    for name, (activation, cotangent) in expected.items():
        assert run.joint(name)["activation"]["sum_of_squares"] == pytest.approx(activation, rel=1e-5), name
        assert run.joint(name)["cotangent"]["sum_of_squares"] == pytest.approx(cotangent, rel=1e-5), name
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]
    torch.compiler.reset()


def test_attached_after_the_first_compiled_call_says_so(tmp_path: Path) -> None:
    torch.compiler.reset()
    torch.manual_seed(0)
    model = mlp(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fast = torch.compile(model, backend="aot_eager")
    x, y = batch(torch.Generator().manual_seed(3))
    F.cross_entropy(fast(x), y).backward()
    run = Run(tmp_path, model, optimizer)
    with pytest.warns(UserWarning, match="saw no activation in the first step"):
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(fast(x), y).backward()
            optimizer.step()
    assert run.parameter("0.weight")["gradient"]["count"] == 64 * 64
    torch.compiler.reset()


def test_compiled_autograd_fires_post_accumulate_hooks() -> None:
    torch.compiler.reset()
    model = mlp(2)
    fired: list[int] = []
    for at, parameter in enumerate(model.parameters()):
        parameter.register_post_accumulate_grad_hook(lambda p, at=at: fired.append(at))
    x, y = batch(torch.Generator().manual_seed(3))
    loss = F.cross_entropy(model(x), y)
    with torch._dynamo.utils.maybe_enable_compiled_autograd(True, fullgraph=False):
        loss.backward()
    assert sorted(fired) == list(range(6))
    torch.compiler.reset()
