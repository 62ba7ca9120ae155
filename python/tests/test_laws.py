"""Exact laws that weights and gradients are held against: a gradient that is not the derivative of the loss is named, and every right
one keeps them, also where numbers are coarse, weights shared, frozen or computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils._pytree import tree_leaves

import isogain
from isogain import diagnose


def broken(model: nn.Module, batch: Any | None = None, loss: Callable[..., Any] = F.cross_entropy) -> dict[str, Any] | None:
    """What `inconsistent-gradient` says."""
    report = isogain.check(model, batch if batch is not None else vectors(), loss)
    found = [finding for finding in report.findings if finding["rule"] == "inconsistent-gradient"]
    return found[0] if found else None


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, ...]]]:
    """The layers of every law that a check looks at: they are broken where each gradient is its weight, more and less of it."""

    def of(model: nn.Module, batch: Any | None = None) -> list[tuple[str, ...]]:
        found = diagnose.trace

        def disturbed(*args: Any) -> Any:
            traced = found(*args)
            tensors = {id(tensor): tensor for node in traced.nodes for tensor in tree_leaves((node.args, node.kwargs))}
            for place, (key, gradient) in enumerate(traced.weights.items()):
                if gradient is not None and key in tensors:
                    rising = torch.linspace(0.1, 1.0, gradient.numel()).view(gradient.shape).to(gradient)
                    traced.weights[key] = tensors[key].detach() * rising * 4.0 ** (place % 3)
            return traced

        with monkeypatch.context() as patch:
            patch.setattr(diagnose, "trace", disturbed)
            snapshot = isogain.check(model, batch if batch is not None else vectors(), F.cross_entropy).snapshot
        return [tuple(law["layers"]) for law in snapshot.get("broken_laws", [])]

    return of


def vectors(samples: int = 32, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(samples, 16).to(dtype), torch.randint(0, 10, (samples,))


def images() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(16, 3, 8, 8), torch.randint(0, 10, (16,))


def sequences() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(8, 6, 16), torch.randint(0, 10, (8,))


def mlp(*between: Callable[[], nn.Module], depth: int = 4, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Layers `0`, `2` ... of 16 units with activations, and before these whatever is given."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(16, 16), *(make() for make in between), act()]
    return nn.Sequential(*layers, nn.Linear(16, 10))


class Autocast(nn.Module):
    def __init__(self, inner: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner, dtype

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", self.dtype):
            return self.inner(x)


class Attention(nn.Module):
    """Queries, keys and values of one matrix: as thirds of its units, or head by head."""

    def __init__(self, interleaved: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.qkv, self.out, self.head = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16), nn.Linear(16, 10)
        self.interleaved = interleaved

    def forward(self, x: Tensor) -> Tensor:
        both = self.qkv(self.norm(x))
        if self.interleaved:
            query, key, value = both.unflatten(-1, (4, 3, 4)).permute(3, 0, 2, 1, 4)
        else:
            query, key, value = (part.unflatten(-1, (4, 4)).transpose(1, 2) for part in both.chunk(3, -1))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.head((x + self.out(mixed.transpose(1, 2).flatten(2))).mean(1))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        block = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.blocks, self.head = nn.TransformerEncoder(block, 2, enable_nested_tensor=False), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x).mean(1))


def convolutional(norm: Callable[[int], nn.Module] = nn.Identity, pool: Callable[[int], nn.Module] = nn.MaxPool2d) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), norm(8), nn.ReLU(), pool(2), nn.Conv2d(8, 8, 3, padding=1), norm(8), nn.LeakyReLU(0.1),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 10),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.relu(self.up(x)))


HEALTHY: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any], int]] = {
    "relu": (mlp, vectors, 4),
    "prelu": (lambda: mlp(act=nn.PReLU), vectors, 4),
    "dropout": (lambda: mlp(nn.Dropout), vectors, 4),
    "tanh": (lambda: mlp(act=nn.Tanh), vectors, 0),
    "double": (lambda: mlp().double(), lambda: vectors(dtype=torch.float64), 4),
    "bfloat16": (lambda: mlp(depth=12).bfloat16(), lambda: vectors(dtype=torch.bfloat16), 12),
    "bfloat16 autocast": (lambda: Autocast(mlp(depth=12), torch.bfloat16), vectors, 12),
    "float16 autocast": (lambda: Autocast(mlp(), torch.float16), vectors, 4),
    # Its gradient is lost in the smallest numbers of the format, which another rule tells.
    "deep float16 autocast": (lambda: Autocast(mlp(depth=20), torch.float16), vectors, 0),
    "lost in float32": (lambda: mlp(depth=110), vectors, 0),
    "batch norm": (lambda: mlp(lambda: nn.BatchNorm1d(16)), vectors, 4),
    # Its gradient is zero but for what eps leaves of it.
    "batch norm of two": (lambda: mlp(lambda: nn.BatchNorm1d(16), depth=20), lambda: vectors(2), 20),
    "batch norm in evaluation mode": (lambda: mlp(lambda: nn.BatchNorm1d(16)).eval(), vectors, 0),
    "layer norm": (lambda: mlp(lambda: nn.LayerNorm(16), act=nn.GELU), vectors, 4),
    "rms norm": (lambda: mlp(lambda: nn.RMSNorm(16)), vectors, 4),
    "group norm": (lambda: mlp(lambda: nn.GroupNorm(4, 16)), vectors, 4),
    "convolutions": (convolutional, images, 3),
    "convolutions with mean pooling": (lambda: convolutional(pool=nn.AvgPool2d), images, 3),
    "convolutions with batch norm": (lambda: convolutional(nn.BatchNorm2d), images, 3),
    "residual": (lambda: nn.Sequential(nn.Linear(16, 16), Residual(), Residual(), nn.Linear(16, 10)), vectors, 2),
    # Queries against keys, and what values hand on.
    "attention": (Attention, sequences, 2),
    "attention head by head": (lambda: Attention(interleaved=True), sequences, 0),
    "encoder": (Encoder, sequences, 6),
    "encoder in bfloat16": (lambda: Autocast(Encoder(), torch.bfloat16), sequences, 6),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_right_gradients_keep_every_law(name: str, looked_at: Callable[..., list[Any]]) -> None:
    model, batch, laws = HEALTHY[name]
    assert broken(model(), batch()) is None
    assert len(looked_at(model(), batch())) == laws


def shared_weight() -> nn.Module:
    model = mlp()
    model[4].weight = model[2].weight
    return model


def frozen() -> nn.Module:
    model = mlp()
    model[2].weight.requires_grad_(False)
    model[6].bias.requires_grad_(False)
    return model


def parametrised(how: Callable[[nn.Module], Any]) -> nn.Module:
    model = mlp()
    for layer in model:
        if isinstance(layer, nn.Linear):
            how(layer)
    return model


def with_gradients() -> nn.Module:
    model = mlp()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    return model


@pytest.mark.parametrize(
    ("model", "laws"),
    [
        # The first and the last two.
        (shared_weight, [("6", "8")]),
        (lambda: nn.Sequential(nn.Linear(16, 16), *[nn.Linear(16, 16), nn.ReLU()] * 3, nn.Linear(16, 10)), []),
        (frozen, [("4", "6")]),
        (lambda: parametrised(parametrizations.weight_norm), [("0", "2"), ("2", "4"), ("4", "6"), ("6", "8")]),
        (lambda: parametrised(parametrizations.spectral_norm), [("0", "2"), ("2", "4"), ("4", "6"), ("6", "8")]),
        (with_gradients, [("0", "2"), ("2", "4"), ("4", "6"), ("6", "8")]),
    ],
)
def test_weights_that_are_not_only_the_layers_own(
    model: Callable[[], nn.Module], laws: list[tuple[str, str]], looked_at: Callable[..., list[Any]]
) -> None:
    assert broken(model()) is None
    assert looked_at(model()) == laws


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x,
        lambda x: x + 1,
        lambda x: x * (x > 0.5),
        lambda x: x * x.softmax(-1),
        lambda x: x / (x.max() + 1),
        lambda x: torch.max(x, torch.full_like(x, 0.3)),
        lambda x: torch.cat([x[:, :8], torch.ones(32, 8)], 1),
        lambda x: x.clamp(max=0.1),
        lambda x: F.pad(x[:, :8], (0, 8), value=1.0),
        lambda x: x + (x.sign() - x).detach(),
        lambda x: written(x, 1.0),
        lambda x: written_through_a_view(x),
        nn.ReLU6(),
        nn.AlphaDropout(0.5),
        nn.FeatureAlphaDropout(0.5),
    ],
)
def test_what_passes_no_scale_on_has_no_law(function: Callable[[Tensor], Tensor], looked_at: Callable[..., list[Any]]) -> None:
    model = mlp()
    model[3] = Calls(function)
    assert broken(model) is None
    assert ("2", "4") not in looked_at(model) and ("4", "6") in looked_at(model)


def test_a_part_in_inference_mode_is_followed() -> None:
    def scaled(x: Tensor) -> Tensor:
        with torch.inference_mode():
            size = x.abs().mean() + 1
        return x / size.clone()

    model = mlp()
    model[3] = Calls(scaled)
    assert broken(model) is None


def written(x: Tensor, value: float) -> Tensor:
    x = x.clone()
    x[:, :5] = value
    return x


def written_through_a_view(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :5].fill_(1.0)
    return x


def test_a_penalty_on_weights_is_a_part_of_the_loss() -> None:
    """Its gradient is right, and no law is said to hold for it."""
    model = mlp()
    penalised = lambda output, target: F.cross_entropy(output, target) + 0.1 * sum(p.square().sum() for p in model.parameters())
    assert broken(model, loss=penalised) is None


def test_a_penalty_on_activations_is_a_part_of_the_loss() -> None:
    model = mlp()
    seen: list[Tensor] = []
    model[3].register_forward_hook(lambda _module, _args, output: seen.append(output))
    assert broken(model, loss=lambda output, target: F.cross_entropy(output, target) + seen[-1].square().sum()) is None


# -- gradients that are wrong ----------------------------------------------------------------------------------------------


class Relu(torch.autograd.Function):
    """Its cotangent passes where it should not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return cotangent * (x > -0.5)


class RightRelu(Relu):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return cotangent * (x > 0)


class Product(torch.autograd.Function):
    """A linear layer that divides the gradient of its weight by the batch, which the loss did already."""

    right = False

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.t() + bias

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        samples = 1 if Product.right else len(x)
        return cotangent @ weight, cotangent.t() @ x / samples, cotangent.sum(0)


class Layer(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return Product.apply(x, self.weight, self.bias)


class Calls(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def test_a_custom_activation_with_a_wrong_way_back() -> None:
    wrong, right = mlp(), mlp()
    wrong[3], right[3] = Calls(Relu.apply), Calls(RightRelu.apply)
    found = broken(wrong)
    assert found is not None and found["level"] == "warning" and found["layers"] == ["2", "4"]
    assert found["message"].startswith("the gradients of 2 and 4 do not belong together")
    assert broken(right) is None


def test_a_custom_layer_with_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), Layer(16, 16), nn.ReLU(), nn.Linear(16, 10))
    found = broken(model)
    assert found is not None and "2" in found["layers"]
    monkeypatch.setattr(Product, "right", True)
    assert broken(model) is None
    assert [joint["name"] for joint in isogain.check(model, vectors(), F.cross_entropy).flow["joints"]][2] == "2"


def test_a_hook_that_scales() -> None:
    model = mlp()
    model[4].weight.register_hook(lambda gradient: 0.5 * gradient)
    found = broken(model)
    assert found is not None and "4" in found["layers"]
    on_activations = mlp()
    on_activations[3].register_forward_hook(lambda _module, _args, output: output.register_hook(lambda gradient: 0.1 * gradient) and None)
    found = broken(on_activations)
    assert found is not None and found["layers"] == ["2", "4"]
    on_module = mlp()
    on_module[3].register_full_backward_hook(lambda _module, given, _came: (0.5 * given[0],))
    found = broken(on_module)
    assert found is not None and found["layers"] == ["2", "4"]


def test_a_detached_piece() -> None:
    """Half of a signal whose gradient is cut."""
    model = mlp()
    model[3] = Calls(lambda x: 0.5 * x.relu() + 0.5 * x.relu().detach())
    found = broken(model)
    assert found is not None and found["layers"] == ["2", "4"]
    with_the_gradient = mlp()
    with_the_gradient[3] = Calls(lambda x: 0.5 * x.relu() + 0.5 * x.relu())
    assert broken(with_the_gradient) is None


def test_weights_that_are_tied_in_secret() -> None:
    """A function of one's own that uses another layer's weight, and does not show it in any call."""
    model = mlp()
    secret: Any = model[2].weight

    class Penalty(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
            ctx.save_for_backward(weight)
            return x.clone()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
            (weight,) = ctx.saved_tensors
            return cotangent, 0.1 * weight

    model[7] = Calls(lambda x: Penalty.apply(x.relu(), secret))
    found = broken(model)
    assert found is not None and "2" in found["layers"]


def test_keys_that_get_half_of_their_gradient() -> None:
    class Halved(Attention):
        def __init__(self) -> None:
            super().__init__()
            mask = torch.ones(48, 1)
            mask[16:32] = 0.5
            self.qkv.weight.register_hook(lambda gradient: mask * gradient)

    found = broken(Halved(), sequences())
    assert found is not None and found["message"].startswith("the gradients of queries and keys of qkv do not belong together")


def test_a_norm_in_front_of_which_a_scale_gets_a_gradient() -> None:
    model = mlp(lambda: nn.BatchNorm1d(16))
    model[3].weight.register_hook(lambda gradient: gradient + 0.1 * model[3].weight.detach())
    found = broken(model)
    assert found is not None and found["message"].startswith("a norm makes the scale of 3 meaningless")


def test_an_eps_that_is_not_small_is_a_note() -> None:
    found = broken(mlp(lambda: nn.LayerNorm(16, eps=0.5)))
    assert found is not None and found["level"] == "note" and "adds eps = 0.500" in found["message"]


def test_the_report_keeps_both_sides() -> None:
    model = mlp()
    model[4].weight.register_hook(lambda gradient: 0.5 * gradient)
    (law, other) = isogain.check(model, vectors(), F.cross_entropy).snapshot["broken_laws"]
    assert (law["law"], law["layers"], other["layers"]) == ("handed-on", ["2", "4"], ["4", "6"])
    assert abs(law["right"] / law["left"] - 0.5) < 1e-5
