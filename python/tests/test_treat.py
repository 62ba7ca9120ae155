"""Surgery on PyTorch models: what it changes, what it leaves alone, and the source that does the same."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from isogain import _core
from isogain.surgery import CannotApply, Treatment, treat
from isogain.surgery.init import bias_call, weight_call
from isogain.surgery.observe import observe
from isogain.surgery.weight import Orthogonal

torch.set_num_threads(1)


def mlp(depth: int = 4, width: int = 16, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(8, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 3))


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


class Block(nn.Module):
    """Keeps its shape; has no skip connection."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(torch.tanh(self.first(x))))


class ResidualBlock(Block):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Stack(nn.Module):
    """A user's own module: one shared activation, blocks in a list."""

    def __init__(self, block: type[Block]) -> None:
        super().__init__()
        self.stem, self.act = nn.Linear(8, 16), nn.ReLU()
        self.blocks = nn.ModuleList(block() for _ in range(3))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        for block in self.blocks:
            x = self.act(block(x))
        return self.head(x)


class Functional(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.fc1(x))
        x = self.fc2(x).relu()
        if self.dropout:
            x = nn.functional.dropout(x, self.dropout, self.training)
        return self.fc3(x)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 16, padding_idx=0)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False
        )
        self.head = nn.Linear(16, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(tokens)))


X = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(0, 11, (3, 5), generator=torch.Generator().manual_seed(0))


def seeded(make: Callable[..., nn.Module], *args: Any) -> nn.Module:
    torch.manual_seed(1)
    return make(*args)


def checked(model: nn.Module, changes: dict[str, Any], inputs: Any) -> Treatment:
    """Treats, and holds the snippet against it: the same names, the same numbers, the same outputs in both modes."""
    before = copy.deepcopy(model)
    random = torch.get_rng_state()
    treatment = treat(model, changes, batch=(inputs, None), seed=3)
    assert torch.equal(random, torch.get_rng_state())
    assert same_state(before, model) and [m.training for m in before.modules()] == [m.training for m in model.modules()]
    assert all(type(a) is type(b) for a, b in zip(before.modules(), model.modules(), strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    names: dict[str, Any] = {"model": copy.deepcopy(model), "inputs": inputs, "training_inputs": inputs}
    assert "isogain" not in treatment.code
    exec(treatment.code, names)
    torch.set_rng_state(random)
    assert same_state(names["model"], treatment.model)
    for mode in (True, False):
        outputs = []
        for treated in (names["model"], treatment.model):
            torch.manual_seed(0)
            outputs.append(treated.train(mode)(inputs))
        assert torch.equal(*outputs) and outputs[0].requires_grad
    outputs[0].sum().backward()
    treatment.model.train()
    names["model"].train()
    return treatment


def same_state(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(
        torch.equal(first[key], second[key]) and first[key].dtype == second[key].dtype for key in first
    )


CHANGES: list[dict[str, Any]] = [
    {"init": "he-normal"},
    {"init": "fixed-variance(std = 0.02)", "head_init": "zeros"},
    {"init": "lsuv"},
    {"init": "unit-jacobian"},
    {"activation": "tanh"},
    {"activation": "tailored-relu(slope = 0.3)", "init": "quadrature-gain"},
    {"activation": "shaped-softplus(slope = 1.05)", "init": "lecun-normal"},
    {"norm": "batch"},
    {"norm": "batch-renorm(ramp = 20)"},
    {"norm": "group(groups = 2)"},
    {"norm": "layer", "init": "orthogonal(gain = 1.2)"},
    {"weight_norm": "standardised(gain = 1.7129)"},
    {"weight_norm": "norm", "init": "he-normal", "input": "standardise"},
    {"weight_norm": "normalised(gain = 1.4142)"},
    {"weight_norm": "spectral"},
    {"weight_norm": "orthogonal(gain = 1.4142)", "init": "he-normal"},
    {"skip": {"scale": "depth", "learnable": False}},
    {"skip": {"scale": 0.0, "learnable": True}, "norm": "layer", "init": "he-uniform"},
    {"input": "standardise", "init": "lsuv", "clip": {"kind": "norm", "threshold": 2.0}},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_the_snippet_does_the_same_to_an_mlp(changes: dict[str, Any]) -> None:
    checked(seeded(mlp), changes, X)


@pytest.mark.parametrize("changes", [c for c in CHANGES if "skip" not in c or "norm" not in c], ids=str)
def test_the_snippet_does_the_same_to_a_conv_net(changes: dict[str, Any]) -> None:
    checked(seeded(ConvNet), changes, IMAGES)


@pytest.mark.parametrize("changes", [c for c in CHANGES if "activation" not in c and "norm" not in c], ids=str)
def test_the_snippet_does_the_same_to_a_users_module(changes: dict[str, Any]) -> None:
    checked(seeded(Stack, Block), changes, X)


@pytest.mark.parametrize("changes", [CHANGES[0], CHANGES[1], CHANGES[2]], ids=str)
def test_the_snippet_does_the_same_to_a_transformer(changes: dict[str, Any]) -> None:
    checked(seeded(Transformer), changes, TOKENS)


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky-relu(slope = 0.2)", "linear", "gelu"])
@pytest.mark.parametrize("name", _core.initializers())
def test_drawn_variance_is_the_cores(name: str, activation: str) -> None:
    """Within five standard errors, for a layer that narrows and one that widens."""
    for fan_in, fan_out in ((300, 200), (150, 400)):
        try:
            theory = _core.initializer(name, activation, fan_in, fan_out)
        except ValueError as error:
            # Pairs of units need a kink; no other scheme of these refuses any of these activations.
            assert name == "looks-linear" and activation in ("tanh", "gelu") and activation in str(error)
            return
        torch.manual_seed(0)
        layer = nn.Linear(fan_in, fan_out)
        weight_call(theory, activation)(layer.weight)
        if name == "randomized-asymmetric":
            # Weight and bias are drawn together: the whole of a layer, many times for its few biases.
            continue
        wide = torch.empty(40_000)
        bias_call(theory)(wide)
        for drawn, variance in ((layer.weight.detach(), theory["weight_variance"]), (wide, theory["bias_variance"])):
            values = drawn.double().flatten()
            found = float(values.var())
            error = float(((values - values.mean()) ** 2).var().div(values.numel()).sqrt())
            assert abs(found - variance) <= 5 * error + 1e-12, (name, activation, fan_in, found, variance)
            mean = theory["weight_mean"] if drawn.ndim == 2 else 0.0
            assert abs(float(values.mean()) - mean) <= 5 * math.sqrt(variance / values.numel()) + 1e-8


@pytest.mark.parametrize("make", [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d])
def test_fans_are_torchs(make: Any) -> None:
    layer = make(24, 16, 3, groups=2)
    fan_in, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
    model = nn.Sequential(layer, nn.ReLU(), make(16, 4, 1))
    x = torch.randn(2, 24, *([5] * (layer.weight.ndim - 2)))
    treated = treat(model, {"init": "he-normal"}, batch=x).model
    values = treated[0].weight.detach().double()
    assert float(values.var()) == pytest.approx(2 / fan_in, rel=5 * math.sqrt(2 / values.numel()))
    assert not treated[0].bias.any()


def test_every_scheme_of_the_core_can_be_drawn() -> None:
    for name in _core.initializers():
        checked(seeded(mlp), {"init": name}, X)


def test_weights_and_biases_drawn_together_have_the_cores_moments() -> None:
    """Within five standard errors, over 400 narrow layers: one number of each unit is positive."""
    theory = _core.initializer("randomized-asymmetric", "relu", 3, 5)
    model = nn.Sequential(*(module for _ in range(400) for module in (nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 3))))
    model = treat(model, {"init": "randomized-asymmetric"}, batch=torch.rand(4, 3)).model
    layers = [layer for layer in model if isinstance(layer, nn.Linear) and layer.in_features == 3]
    weights = torch.cat([layer.weight.detach().double().flatten() for layer in layers])
    biases = torch.cat([layer.bias.detach().double() for layer in layers])
    for values, variance in ((weights, theory["weight_variance"]), (biases, theory["bias_variance"])):
        error = float(((values - values.mean()) ** 2).var().div(values.numel()).sqrt())
        assert abs(float(values.var()) - variance) <= 5 * error
        # Beta(2, 1) has the mean 2/3, and each of the four numbers is as likely the positive one.
        assert abs(float(values.mean()) - 2 / 3 / 4) <= 5 * math.sqrt(variance / values.numel())
    assert theory["weight_mean"] == pytest.approx(2 / 3 / 4)


def test_looks_linear_is_linear_at_the_start() -> None:
    """Pairs of units of opposite sign: the whole network is one orthogonal map, and a leaky slope changes nothing."""
    for slope in (0.0, 0.3):
        model = treat(mlp(6, 32, lambda: nn.LeakyReLU(slope)), {"init": "looks-linear"}, batch=X).model
        hidden = nn.Sequential(*list(model)[:-2])(X).detach()
        assert torch.allclose(hidden[:, :16], -hidden[:, 16:], atol=1e-5)
        # The first layer reads no pairs, so that nothing takes its 1 / (1 + slope) back.
        assert torch.allclose((1 + slope) * hidden[:, :16].norm(dim=1), X.norm(dim=1), rtol=1e-4)


def test_a_delta_orthogonal_patch_is_orthogonal_in_its_middle() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 8, (3, 5), padding=(1, 2)), nn.Tanh())
    treated = treat(model, {"init": "delta-orthogonal(gain = 1.1)"}, batch=torch.rand(2, 3, 6, 6)).model
    weight = treated[2].weight.detach()
    middle = weight[:, :, 1, 2]
    assert torch.allclose(middle @ middle.T, 1.21 * torch.eye(8), atol=1e-5)
    assert int((weight != 0).sum()) == 64


def test_lsuv_gives_unit_variance_to_every_layer() -> None:
    model = treat(seeded(mlp, 6, 64), {"init": "lsuv"}, batch=X).model
    seen = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda module, args, output: seen.append(float(output.detach().var())))
    model(X)
    assert len(seen) == 7 and all(0.9 <= variance <= 1.1 for variance in seen)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid, nn.ReLU])
def test_a_unit_jacobian_keeps_a_gradients_length_through_every_layer(activation: type[nn.Module]) -> None:
    model = treat(seeded(mlp, 20, 64, activation), {"init": "unit-jacobian"}, batch=X).model
    lengths: list[float] = []
    first: list[float] = []

    def see(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        first.append(float(output.detach().var()))
        output.register_hook(lambda gradient: lengths.append(float(gradient.norm())))

    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(see)
    outputs = model(X)
    (outputs * torch.randn_like(outputs)).sum().backward()
    assert len(lengths) == 21 and 0.9 <= first[0] <= 1.1
    # Another direction at the outputs than the one that was measured.
    total = math.log(lengths[-1] / lengths[0])
    assert abs(total) < 0.7, total


PAGE = Path(__file__).resolve().parents[2] / "crates/isogain-core/src/remedies/unit-jacobian-init.md"


def test_the_pages_unit_jacobian_does_what_the_page_says() -> None:
    source = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert source is not None
    names: dict[str, Any] = {"torch": torch}
    exec(source[1], names)
    model = seeded(mlp, 10, 32, lambda: nn.ReLU(inplace=True))
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    names["unit_jacobian"](layers, lambda: model(X))
    assert float(layers[0](X).detach().std()) == pytest.approx(1.0, abs=1e-4)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(layer._forward_hooks for layer in layers)
    lengths: list[float] = []
    for layer in layers:
        layer.register_forward_hook(
            lambda module, args, output: output.register_hook(lambda g: lengths.append(float(g.norm()))) and None
        )
    outputs = model(X)
    (outputs * torch.randn_like(outputs)).sum().backward()
    assert len(lengths) == 11 and abs(math.log(lengths[-1] / lengths[0])) < 0.7


class Parts(nn.Module):
    """Five layers of sixteen units, put together by `how`."""

    def __init__(self, how: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.c = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.head, self.value = nn.Linear(16, 4), nn.Linear(16, 1)
        self.how = how

    def forward(self, x: Tensor) -> Any:
        return self.how(self, x)


def under_no_grad(m: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        z = torch.relu(m.stem(x))
    return m.head(torch.relu(m.a(z)))


def with_attention(m: Any, x: Tensor) -> Tensor:
    x = m.stem(x)[None]
    return m.head(x + nn.functional.scaled_dot_product_attention(m.a(x), m.b(x), m.c(x)))[0]


def aside(m: Any, x: Tensor) -> Tensor:
    z = m.stem(x)
    m.seen = m.a(z.detach())
    return m.head(torch.relu(z))


NO_CHAINS: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "two heads": (lambda m, x: (m.head(h := torch.tanh(m.a(m.stem(x)))), m.value(h)), "what a gives goes past head"),
    "a skip": (lambda m, x: m.head((h := torch.relu(m.stem(x))) + 0.1 * m.a(h)), "what stem gives goes past a"),
    "a shortcut": (lambda m, x: m.head(m.c(h := m.stem(x)) + m.b(torch.relu(m.a(h)))), "what stem gives goes past c"),
    "attention": (with_attention, "what stem gives goes past a"),
    "two towers": (lambda m, x: m.head(m.a(m.stem(x)) + m.b(x @ torch.ones(8, 16))), "b does not read what a gives"),
    "no gradient": (under_no_grad, "stem was called 0 times with a gradient"),
    "called twice": (lambda m, x: m.head(m.a(torch.tanh(m.a(m.stem(x))))), "a was called 2 times"),
    "aside": (aside, "no gradient comes back to a"),
}


@pytest.mark.parametrize("name", NO_CHAINS)
def test_a_unit_jacobian_is_for_a_single_chain(name: str) -> None:
    how, why = NO_CHAINS[name]
    model = seeded(Parts, how)
    model.head.eval()
    drawn = treat(model, {"init": "orthogonal"}, batch=X, seed=5).model
    with pytest.raises(CannotApply, match=f"init = unit-jacobian: the layers are no single chain: {why}"):
        treat(model, {"init": "unit-jacobian"}, batch=X, seed=5, in_place=True)
    assert same_state(model, drawn), "the weights as they were drawn"
    assert [module.training for module in model.modules()] == [module is not model.head for module in model.modules()]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_unit_jacobian_that_is_not_reached_leaves_the_draw() -> None:
    dead = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    dead[2].bias.requires_grad_(False).fill_(-1e3)
    drawn = treat(dead, {"init": "orthogonal"}, batch=X).model
    with pytest.raises(CannotApply, match="the gradient at 2 or before it is zero or not finite"):
        treat(dead, {"init": "unit-jacobian"}, batch=X, in_place=True)
    assert same_state(dead, drawn) and all(module.training for module in dead.modules())


def test_lsuv_takes_its_hooks_off_a_model_that_fails() -> None:
    class Fails(nn.Sequential):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 2:
                raise RuntimeError("out of memory")
            return super().forward(x)

    model = Fails(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(CannotApply, match="init = lsuv: out of memory"):
        treat(model, {"init": "lsuv"}, batch=X, in_place=True)
    assert all(module.training and not module._forward_hooks for module in model.modules())


def test_what_passes_over_a_batch_do_is_told_with_the_scheme_that_asks_for_it() -> None:
    told = treat(mlp(), {"init": "unit-jacobian"}, batch=X).diff
    assert told[1:] == [
        "0: weight divided by the deviation of its layer's output on the batch",
        "2 ... 8 (4 weight): divided by what it stretches a gradient on the batch",
    ]
    with pytest.raises(CannotApply, match="init = lsuv: weights that are computed"):
        treat(mlp(), {"head_init": "lsuv", "weight_norm": "spectral"}, batch=X)
    with pytest.raises(CannotApply, match="init = lsuv: needs a batch"):
        treat(mlp(), {"init": "he-normal", "head_init": "lsuv"})


def test_a_model_with_noise_of_its_own_leaves_the_random_state() -> None:
    model = Parts(lambda m, x: m.head(torch.tanh(m.stem(x)) + 0.1 * torch.randn(16)))
    state = torch.get_rng_state()
    treat(model, {"init": "unit-jacobian"}, batch=X)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("groups", [1, 4, 16])
def test_each_group_of_a_convolution_is_orthogonal(groups: int) -> None:
    layer = nn.Conv2d(16, 16, 3, padding=1, groups=groups, bias=False)
    model = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), layer, nn.ReLU(), nn.Flatten(), nn.Linear(576, 2))
    treated = checked(model, {"weight_norm": "orthogonal(gain = 1.4)"}, IMAGES).model
    blocks = treated[2].weight.detach().view(groups, 16 // groups, -1) / 1.4
    assert torch.allclose(blocks @ blocks.mT, torch.eye(16 // groups).expand(groups, -1, -1), atol=1e-5)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_weights_that_are_computed_are_not_drawn(kind: Any) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = kind(8, 6, batch_first=True), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.inner(x)[0][:, -1])

    x = torch.randn(3, 4, 8)
    model = treat(Reader(), {"weight_norm": "orthogonal(gain = 1.4)"}, batch=x).model
    with pytest.raises(CannotApply, match="init = orthogonal at inner: its weights are computed from other parameters"):
        treat(model, {"init": "orthogonal"}, batch=x)
    treat(model, {"init": "pytorch-default"}, batch=x)


def test_the_edge_of_chaos_is_the_cores() -> None:
    theory = _core.initializer("edge-of-chaos(bias_variance = 0.1)", "tanh", 400, 400)
    model = nn.Sequential(nn.Linear(400, 400), nn.Tanh(), nn.Linear(400, 2))
    treated = treat(model, {"init": "edge-of-chaos(bias_variance = 0.1)"}, batch=torch.randn(2, 400)).model
    assert float(treated[0].weight.detach().var()) == pytest.approx(theory["weight_variance"], rel=0.02)
    assert float(treated[0].bias.detach().var()) == pytest.approx(theory["bias_variance"], rel=0.3)
    with pytest.raises(CannotApply, match="softplus"):
        treat(mlp(activation=nn.Softplus), {"init": "edge-of-chaos"}, batch=X)


def test_the_diff_groups_layers_that_are_treated_alike() -> None:
    model = mlp(depth=30)
    assert treat(model, {"init": "he-normal", "head_init": "glorot-normal"}, batch=X).diff == [
        "0 ... 58 (30 Linear): init kaiming_normal_ (he-normal) instead of its own",
        "60: Linear init xavier_normal_ (glorot-normal) instead of its own",
    ]
    settings = {"optimizer": {"eps": 1e-12, "learning_rate": 0.1}, "clip": {"kind": "value", "threshold": 0.5}}
    treatment = treat(model, settings)
    assert (treatment.optimizer, treatment.clip and treatment.clip.kind) == (
        {"eps": 1e-12, "learning_rate": 0.1},
        "value",
    )
    assert treatment.diff == [
        "optimizer: eps becomes 1e-12",
        "optimizer: learning rate becomes 0.1",
        "training: gradient is clipped by value at 0.5",
    ]
    assert "group['lr'] = 0.1" in treatment.code and "clip_grad_value_(model.parameters(), 0.5)" in treatment.code


def test_norms_go_before_activations_and_keep_names() -> None:
    model = seeded(mlp)
    treated = checked(model, {"norm": "batch"}, X).model
    assert set(model.state_dict()) <= set(treated.state_dict())
    assert [type(module[0]) for module in treated if isinstance(module, nn.Sequential)] == [nn.BatchNorm1d] * 4
    assert all(module[0].num_features == 16 for module in treated if isinstance(module, nn.Sequential))


def test_a_conv_net_gets_norms_where_none_follows() -> None:
    treated = checked(seeded(ConvNet), {"norm": "batch"}, IMAGES).model.features
    assert isinstance(treated[2], nn.ReLU) and isinstance(treated[4], nn.Sequential)
    assert isinstance(treated[4][0], nn.BatchNorm2d)
    assert treat(ConvNet(), {"norm": "layer"}, batch=IMAGES).diff == [
        "features.1: BatchNorm2d becomes nn.GroupNorm(1, 6)"
    ]
    only_conv = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 2))
    norm = checked(only_conv, {"norm": "layer"}, IMAGES).model[1][0]
    assert isinstance(norm, nn.GroupNorm) and (norm.num_groups, norm.num_channels) == (1, 6)
    with pytest.raises(CannotApply, match="rms"):
        treat(only_conv, {"norm": "rms"}, batch=IMAGES)


def test_a_shared_activation_is_swapped_once_and_normed_per_layer() -> None:
    model = seeded(Stack, Block)
    act = nn.ReLU()
    sharing = nn.Sequential(nn.Linear(8, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 2))
    swapped = checked(sharing, {"activation": "tanh"}, X).model
    assert isinstance(swapped[1], nn.Tanh) and swapped[1] is swapped[3]
    normed = checked(model, {"norm": "layer"}, X).model
    assert isinstance(normed.stem, nn.Sequential) and isinstance(normed.stem[1], nn.LayerNorm)
    assert isinstance(normed.act, nn.ReLU)


def test_standardised_weights_have_mean_zero_and_the_norm_of_their_gain() -> None:
    for model, batch, layers in ((seeded(mlp), X, (0, 2, 4, 6)), (seeded(ConvNet), IMAGES, ("features.0", "features.3"))):
        treated = treat(model, {"weight_norm": "standardised(gain = 1.5)"}, batch=(batch, None)).model
        for name in layers:
            weight: Any = treated.get_submodule(str(name)).weight.flatten(1)
            assert weight.mean(1).abs().max() < 1e-7
            assert torch.allclose(weight.norm(dim=1), torch.tensor(1.5), atol=1e-6)
    assert not hasattr(treated.head, "parametrizations"), "the head keeps weights of its own"


def test_normalised_weights_have_the_norm_of_their_gain() -> None:
    for model, batch, layers in ((seeded(mlp), X, (0, 2, 4, 6)), (seeded(ConvNet), IMAGES, ("features.0", "features.3"))):
        treated = treat(model, {"weight_norm": "normalised(gain = 1.5)"}, batch=(batch, None)).model
        for name in layers:
            weight: Any = treated.get_submodule(str(name)).weight.flatten(1)
            was: Any = model.get_submodule(str(name)).weight.flatten(1)
            assert torch.allclose(weight, 1.5 * was / was.norm(dim=1, keepdim=True), atol=1e-6)
    assert not hasattr(treated.head, "parametrizations"), "the head keeps weights of its own"


def test_the_spectral_norm_of_a_weight_is_its_gain() -> None:
    model = seeded(mlp)
    with torch.no_grad():
        # One direction far ahead, which the search then finds to rounding.
        model[2].weight += 3.0 * torch.outer(torch.linspace(-1, 1, 16), torch.linspace(0, 1, 16))
    treated = treat(model, {"weight_norm": "spectral"}, batch=(X, None)).model
    assert torch.allclose(torch.linalg.matrix_norm(treated.get_submodule("2").weight, 2), torch.tensor(1.0), atol=1e-5)
    for name in ("0", "4", "6"):
        weight: Any = treated.get_submodule(name).weight
        assert 1.0 - 1e-5 <= torch.linalg.matrix_norm(weight, 2) < 1.1


def unlike_orthogonal(matrix: Tensor) -> float:
    """Largest entry of W W^T - 1, of the shorter side."""
    shorter = matrix if matrix.shape[-2] <= matrix.shape[-1] else matrix.mT
    return float((shorter.detach() @ shorter.mT - torch.eye(shorter.shape[-2])).abs().max())


def test_orthogonal_weights_stay_so_while_they_train() -> None:
    for model, batch, layers in ((seeded(mlp), X, (0, 2, 4, 6)), (seeded(ConvNet), IMAGES, ("features.0", "features.3"))):
        treated = treat(model, {"weight_norm": "orthogonal(gain = 1.5)"}, batch=(batch, None)).model
        optimizer = torch.optim.Adam(treated.parameters(), lr=0.01)
        for step in range(20):
            for name in layers:
                layer: Any = treated.get_submodule(str(name))
                gain = layer.parametrizations.weight[0].gain
                assert step or gain == 1.5
                assert unlike_orthogonal(layer.weight.flatten(1) / gain) < 1e-5
            optimizer.zero_grad()
            treated(batch).square().sum().backward()
            optimizer.step()
        assert gain != 1.5
    assert not hasattr(treated.head, "parametrizations"), "the head keeps weights of its own"


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (5, 3, 2, 2)], ids=str)
def test_the_gradient_of_an_orthogonal_weight_is_a_difference_quotient(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    how = Orthogonal(weight, 1.3)
    for start in (weight, how.right_inverse(weight)):  # the second has singular values that are all equal
        assert torch.autograd.gradcheck(how, (start.clone().requires_grad_(),))
    assert bool(how(weight * torch.nan).isnan().all())


class Remembering(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.read = nn.Linear(8, 6)
        self.state = kind(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.cell = nn.RNNCell(10, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        states = self.state(torch.relu(self.read(x)))[0]
        last = states.new_zeros(len(x), 4)
        for step in states.unbind(1):
            last = self.cell(step, last)
        return self.head(last)


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_weights_from_state_to_state_stay_orthogonal_gate_by_gate(kind: type[nn.RNNBase], gates: int) -> None:
    sequences = torch.randn(4, 7, 8, generator=torch.Generator().manual_seed(2))
    model = seeded(Remembering, kind)
    treatment = checked(model, {"weight_norm": "orthogonal(gain = 1.4142)"}, sequences)
    assert treatment.diff == [
        "read: Linear computes its weight: orthogonal(gain = 1.4142)",
        f"state: {kind.__name__} keeps its weights from state to state orthogonal",
        "cell: RNNCell keeps its weights from state to state orthogonal",
    ]
    treated: Any = treatment.model
    optimizer = torch.optim.Adam(treated.parameters(), lr=0.03)
    losses = []
    for _ in range(20):
        hidden = [f"weight_hh_l{layer}{way}" for layer in (0, 1) for way in ("", "_reverse")]
        blocks = [block for name in hidden for block in getattr(treated.state, name).chunk(gates)]
        assert all(unlike_orthogonal(block) < 1e-5 for block in [*blocks, treated.cell.weight_hh])
        copied = copy.deepcopy(treated).float()
        loss = (treated(sequences) - 1).square().sum()
        assert torch.equal(loss, (copied(sequences) - 1).square().sum())
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in treated.parameters())
        optimizer.step()
        losses.append(float(loss))
    # The layer reads what is trained, not a copy from before.
    assert losses[-1] < 0.1 * losses[0]


def test_direction_and_length_apart_start_as_they_were() -> None:
    model = seeded(mlp)
    treated = treat(model, {"weight_norm": "norm"}, batch=(X, None)).model
    assert torch.allclose(treated(X), model(X), atol=1e-6)
    assert sum(name.endswith("original0") for name, _ in treated.named_parameters()) == 4


def test_what_cannot_be_computed_from_others_says_so() -> None:
    for changes, why in (
        ({"weight_norm": "twice"}, "unknown; known: norm, spectral, standardised"),
        ({"weight_norm": "norm", "init": "lsuv"}, "no size to scale on a batch"),
    ):
        with pytest.raises(CannotApply, match=why):
            treat(seeded(mlp), changes, batch=(X, None))
    with pytest.raises(CannotApply, match="no hidden Linear or convolution"):
        treat(nn.Sequential(nn.Linear(8, 3)), {"weight_norm": "norm"}, batch=(X, None))


def test_factors_for_each_channel_and_gates_are_left_to_the_model() -> None:
    for other in ({"learnable": True, "per_channel": True}, {"gate_bias": -2.0}, {"growth": 8}):
        with pytest.raises(CannotApply, match="in the model's own code"):
            treat(seeded(mlp), {"skip": {"scale": 1.0, **other}}, batch=(X, None))


def test_skips_begin_with_the_activation_and_leave_stem_and_head() -> None:
    treated = checked(seeded(mlp, 5), {"skip": {"scale": "depth"}}, X)
    kinds = [type(module).__name__ for module in treated.model]
    assert kinds == ["Linear", "Skip", "Skip", "Skip", "Skip", "ReLU", "Linear"]
    assert treated.model[1].scale == 0.5
    x = torch.randn(4, 16)
    skip = treated.model[1]
    assert torch.equal(skip(x), x + 0.5 * skip.branch[1](torch.relu(x)))


def test_a_zero_scale_is_the_identity_and_learns() -> None:
    treated = treat(seeded(mlp), {"skip": {"scale": 0.0, "learnable": True}}, batch=X).model
    skip = treated[1]
    assert torch.equal(skip(X @ torch.ones(8, 16)), X @ torch.ones(8, 16))
    treated(X).square().sum().backward()
    assert float(skip.scale.grad) != 0.0 and "1.scale" in treated.state_dict()


def test_submodules_that_keep_their_shape_are_wrapped() -> None:
    treated = checked(seeded(Stack, Block), {"skip": {"scale": 0.5}}, X)
    assert [type(block).__name__ for block in treated.model.blocks] == ["Skip"] * 3
    assert treated.diff[0].startswith("blocks.0 ... blocks.2 (3 Block): gets a skip connection")


def test_a_layer_and_the_norm_behind_it_are_wrapped_together() -> None:
    """Where activations are functions, a norm goes behind its layer."""
    treated = checked(seeded(Functional), {"norm": "layer", "skip": {"scale": 0.5}}, X).model
    assert type(treated.fc1) is nn.Sequential and type(treated.fc2).__name__ == "Skip"
    assert [type(part) for part in treated.fc2.branch] == [nn.Linear, nn.LayerNorm]


def test_nothing_is_wrapped_that_has_a_way_around() -> None:
    with pytest.raises(CannotApply, match="already has a way around"):
        treat(Stack(ResidualBlock), {"skip": {"scale": 1.0}}, batch=X)
    with pytest.raises(CannotApply, match="already has a way around"):
        treat(treat(mlp(), {"skip": {"scale": 1.0}}, batch=X).model, {"skip": {"scale": 1.0}}, batch=X)
    with pytest.raises(CannotApply, match="no hidden layer that can be wrapped keeps"):
        treat(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), {"skip": {"scale": 1.0}}, batch=X)
    with pytest.raises(CannotApply):
        treat(Transformer(), {"skip": {"scale": 1.0}}, batch=TOKENS)


def test_functions_are_swapped_by_tracing() -> None:
    model = seeded(Functional)
    treated = checked(model, {"activation": "tanh"}, X)
    expected = model.fc3(torch.tanh(model.fc2(torch.tanh(model.fc1(X)))))
    assert torch.equal(treated.model(X), expected)
    assert treated.diff == ["the model itself: 2 function calls become nn.Tanh(), in a traced model"]


def test_functions_that_cannot_be_swapped_are_said_so() -> None:
    with pytest.raises(CannotApply, match=r"2 calls of a function such as torch\.relu.*self\.training"):
        treat(Functional(dropout=0.5), {"activation": "tanh"}, batch=X)

    class Branching(Functional):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum() > 0 else -x)

    with pytest.raises(CannotApply, match="cannot be traced"):
        treat(Branching(), {"activation": "tanh"}, batch=X)


class Sequence(nn.Module):
    """A recurrent layer between an embedding and a head."""

    def __init__(self, kind: Callable[..., nn.Module], **settings: Any) -> None:
        super().__init__()
        self.embed, self.cell = nn.Embedding(20, 12), kind(12, 32, batch_first=True, **settings)
        self.head = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.cell(self.embed(x))
        logits: Tensor = self.head(outputs[:, -1])
        return logits


WORDS = torch.randint(0, 20, (8, 6), generator=torch.Generator().manual_seed(3))


def standard_normal(kind: Callable[..., nn.Module], **settings: Any) -> Sequence:
    torch.manual_seed(0)
    model = Sequence(kind, **settings)
    model(WORDS)
    with torch.no_grad():
        for parameter in model.cell.parameters():
            parameter.normal_()
    return model


RECURRENT: dict[str, tuple[Callable[..., nn.Module], int, dict[str, Any]]] = {
    "RNN": (nn.RNN, 1, {}),
    "LSTM": (nn.LSTM, 4, {}),
    "GRU": (nn.GRU, 3, {}),
    "deep, both directions": (nn.LSTM, 4, {"num_layers": 2, "bidirectional": True}),
    "projected": (nn.LSTM, 4, {"proj_size": 8}),
    "without bias": (nn.GRU, 3, {"bias": False}),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_layer_is_drawn_gate_by_gate(name: str) -> None:
    kind, gates, settings = RECURRENT[name]
    model = standard_normal(kind, **settings)
    before = copy.deepcopy(model.state_dict())
    treated = treat(model, {"init": "orthogonal"}, batch=WORDS)
    for key, value in treated.model.cell.named_parameters():
        if key.startswith("bias"):
            assert not value.any(), key
            continue
        blocks = [value] if key.startswith("weight_hr") else value.chunk(gates)
        for block in blocks:
            narrow = block if block.shape[0] <= block.shape[1] else block.T
            product = narrow @ narrow.T
            scale = product.diagonal().mean()
            assert torch.allclose(product / scale, torch.eye(len(product)), atol=1e-5), (key, block.shape)
        assert len(blocks) == 1 or not torch.equal(blocks[0], blocks[1]), "each gate has a draw of its own"
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "the given one is kept"
    assert [line for line in treated.diff if line.startswith("cell")] == [
        f"cell: {kind.__name__} init of what multiplies its {of} orthogonal_ (orthogonal) instead of its own"
        for of in ("inputs", "state")
    ]


def test_an_lstm_whose_weights_are_standard_normal_is_brought_to_scale() -> None:
    model = standard_normal(nn.LSTM)
    treated = treat(model, {"init": "glorot-normal"}, batch=WORDS).model
    for key, fans in (("weight_ih_l0", 12 + 32), ("weight_hh_l0", 32 + 32)):
        before, after = (dict(of.cell.named_parameters())[key].detach() for of in (model, treated))
        assert before.std() == pytest.approx(1.0, rel=0.1)
        for block in after.chunk(4):
            assert block.std() == pytest.approx((2.0 / fans) ** 0.5, rel=0.15), "the fans of one gate"
    # With weights of deviation 1 nearly every gate is shut or open for good; drawn anew they can move.
    def slope(of: nn.Module) -> float:
        hidden, _ = of.cell(of.embed(WORDS))
        return float((1 - hidden.square()).mean())

    assert slope(treated) > slope(model)


def test_the_source_that_draws_a_recurrent_layer_does_the_same() -> None:
    for scheme in ("orthogonal", "he-normal", "pytorch-default", "fixed-variance(std = 0.02)"):
        checked(standard_normal(nn.LSTM), {"init": scheme}, WORDS)


def test_a_frozen_recurrent_layer_is_left_alone() -> None:
    model = standard_normal(nn.GRU)
    model.cell.requires_grad_(False)
    treated = treat(model, {"init": "he-normal"}, batch=WORDS).model
    assert all(torch.equal(a, b) for a, b in zip(model.cell.parameters(), treated.cell.parameters()))


def test_attention_is_drawn_part_by_part() -> None:
    """Query, key and value lie in one tensor; each is a layer of its own fans."""
    model = seeded(Transformer)
    treated = checked(model, {"init": "lecun-normal"}, TOKENS).model.encoder.layers[0].self_attn
    for weight in (*treated.in_proj_weight.chunk(3), treated.out_proj.weight):
        assert float(weight.detach().var()) == pytest.approx(1 / 16, rel=0.45)
    assert not torch.equal(treated.in_proj_weight, model.encoder.layers[0].self_attn.in_proj_weight)
    assert not treated.in_proj_bias.any() and not treated.out_proj.bias.any()


def test_the_transformers_librarys_layers_are_drawn_with_their_own_fans() -> None:
    from transformers.pytorch_utils import Conv1D

    model = nn.Sequential(Conv1D(400, 8), nn.ReLU(), Conv1D(3, 400))
    treated = checked(model, {"init": "he-normal", "norm": "layer"}, X).model
    assert float(treated[0].weight.detach().var()) == pytest.approx(2 / 8, rel=0.2)
    assert treated[0].weight.shape == (8, 400) and treated[1][0].normalized_shape == (400,)


def test_torchs_transformer_layers_leave_their_fused_path() -> None:
    """In evaluation mode the fused kernel knows ReLU and GELU only."""
    treated = checked(seeded(Transformer), {"activation": "tanh"}, TOKENS).model.eval()
    with torch.no_grad():
        fused = treated(TOKENS)
    assert torch.allclose(fused, treated(TOKENS), atol=1e-6)
    assert isinstance(treated.encoder.layers[0].activation, nn.Tanh)


def test_output_activations_are_taken_away() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.Sigmoid(), nn.Linear(4, 3), nn.Softmax(dim=1))
    treated = checked(model, {"output_activation": None}, X).model
    assert isinstance(treated[3], nn.Identity) and isinstance(treated[1], nn.Sigmoid)
    kept = treat(model, {"activation": "relu"}, batch=X).model
    assert isinstance(kept[1], nn.ReLU) and isinstance(kept[3], nn.Softmax)
    with pytest.raises(CannotApply, match="no activation comes after the head"):
        treat(mlp(), {"output_activation": None}, batch=X)
    with pytest.raises(CannotApply, match="goes through a function"):

        class Head(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fc = nn.Linear(8, 3)

            def forward(self, x: Tensor) -> Tensor:
                return torch.sigmoid(self.fc(x))

        treat(Head(), {"output_activation": None}, batch=X)


def test_tied_frozen_and_padding_stay() -> None:
    model = seeded(Transformer)
    treated = treat(model, {"init": "he-normal"}, batch=TOKENS).model
    assert treated.head.weight is treated.embed.weight and torch.equal(treated.head.weight, model.head.weight)
    drawn = treat(model, {"init": "fixed-variance(std = 0.5)"}, batch=TOKENS).model
    assert drawn.head.weight is drawn.embed.weight
    assert not drawn.embed.weight[0].any() and float(drawn.embed.weight[1:].detach().std()) == pytest.approx(
        0.5, rel=0.2
    )
    frozen = seeded(mlp)
    frozen[2].weight.requires_grad_(False)
    treated = treat(frozen, {"init": "zeros"}, batch=X).model
    assert torch.equal(treated[2].weight, frozen[2].weight) and not treated[4].weight.any()
    with pytest.raises(CannotApply, match="frozen"):
        treat(seeded(mlp).requires_grad_(False), {"init": "zeros"}, batch=X)


def test_weights_computed_from_others_are_assigned() -> None:
    from torch.nn.utils.parametrizations import weight_norm

    model = seeded(mlp)
    weight_norm(model[2])
    treated = checked(model, {"init": "fixed-variance(std = 0.3)"}, X).model
    assert float(treated[2].weight.detach().std()) == pytest.approx(0.3, rel=0.2)
    with pytest.raises(CannotApply, match="computed from other parameters"):
        treat(model, {"init": "lsuv"}, batch=X)


def test_lazy_modules_get_their_shapes_from_the_batch() -> None:
    lazy = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(3))
    treated = treat(lazy, {"init": "he-normal"}, batch=X)
    assert treated.model[0].in_features == 8 and "run(model, inputs)" in treated.code
    assert isinstance(lazy[0].weight, nn.parameter.UninitializedParameter)
    with pytest.raises(CannotApply, match="give a batch"):
        treat(lazy, {"init": "he-normal"})


def test_types_and_modes_are_kept() -> None:
    model = seeded(mlp).double().eval()
    for changes in (
        {"norm": "layer"},
        {"skip": {"scale": 0.0, "learnable": True}},
        {"init": "lsuv"},
        {"input": "standardise"},
    ):
        treated = checked(model, changes, X.double()).model
        assert all(value.dtype == torch.float64 for value in treated.state_dict().values())
    assert not any(module.training for module in treat(model, {"norm": "batch"}, batch=X.double()).model.modules())


def test_in_place_changes_the_model_itself() -> None:
    model = seeded(mlp)
    assert treat(model, {"init": "zeros"}, batch=X, in_place=True).model is model and not model[0].weight.any()


def test_without_a_batch_modules_are_taken_in_order() -> None:
    assert len(treat(seeded(mlp), {"init": "he-normal", "activation": "tanh"}).diff) == 2
    for changes in ({"norm": "layer"}, {"skip": {"scale": 1.0}}, {"init": "lsuv"}):
        with pytest.raises(CannotApply, match="needs a batch"):
            treat(mlp(), changes)


def test_inputs_are_standardised_by_the_training_part() -> None:
    training = 5 + 3 * torch.randn(400, 8)
    training[:, 2] = 7.0
    treated = treat(seeded(mlp), {"input": "standardise"}, batch=X, training_inputs=training).model
    standard = treated[0](training)
    assert torch.allclose(standard.mean(0), torch.zeros(8), atol=1e-4)
    assert (
        torch.allclose(standard.std(0, correction=0)[[0, 1, 3]], torch.ones(3), atol=1e-4) and not standard[:, 2].any()
    )
    with pytest.raises(CannotApply, match="int64"):
        treat(Transformer(), {"input": "standardise"}, batch=TOKENS)


def test_targets_are_scaled_and_outputs_restored() -> None:
    targets = 1e3 + 50 * torch.randn(300, 2)
    treated = treat(seeded(mlp), {"target": "standardise"}, batch=(X, None), training_targets=targets)
    assert treated.target is not None and "training_targets.mean(0)" in treated.code
    scaled = treated.target.scaled(targets)
    assert float(scaled.mean().abs()) < 1e-4 and float(scaled.std()) == pytest.approx(1.0, rel=0.01)
    assert torch.allclose(treated.target.restored(scaled), targets, rtol=1e-5)
    with pytest.raises(CannotApply, match="not one tensor of numbers"):
        treat(mlp(), {"target": "standardise"}, batch=(X, torch.arange(12)))


def test_surgery_that_breaks_a_model_is_refused() -> None:
    class Peeks(nn.Module):
        """Reads the attributes of a layer that would be wrapped."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.act, self.fc2 = nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc2(self.act(self.act(self.fc1(x)) * self.fc1.out_features))

    with pytest.raises(CannotApply, match=r"does not run any more.*out_features"):
        treat(Peeks(), {"norm": "layer"}, batch=X)


def test_what_is_not_known_is_said_so() -> None:
    with pytest.raises(ValueError, match="unknown change 'inti'; known: init"):
        treat(mlp(), {"inti": "he-normal"})
    with pytest.raises(CannotApply, match="did you mean `he-normal`"):
        treat(mlp(), {"init": "he-nromal"}, batch=X)
    with pytest.raises(ValueError, match="did you mean `tanh`"):
        treat(mlp(), {"activation": "tahn"}, batch=X)
    with pytest.raises(CannotApply, match=r"known: batch, batch-renorm\(ramp = 100\), layer, rms"):
        treat(mlp(), {"norm": "bach"}, batch=X)
    with pytest.raises(CannotApply, match="no hidden activation"):
        treat(nn.Linear(8, 3), {"activation": "tanh"}, batch=X)


def test_activations_that_follow_are_seen_through_what_is_between() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
            self.norm = nn.LayerNorm(8)

        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.leaky_relu(nn.functional.dropout(self.a(x), 0.1, self.training).view(-1, 8), 0.2)
            return self.c(self.b(x) + torch.tanh(self.norm(self.b(x))))

    layout = observe(Model(), X)
    seen = {layer.path: (layer.following, layer.normed, layer.calls) for layer in layout.layers}
    assert seen == {"a": ("leaky-relu(slope = 0.2)", False, 1), "b": ("tanh", True, 2), "c": ("linear", False, 1)}
    assert layout.heads == {"c"}
