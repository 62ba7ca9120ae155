"""Steps of PyTorch's optimizers with hooks, against the papers' formulas in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import isogain
from isogain import updates
from isogain.diagnose import _settings
from isogain.surgery import CannotApply, set_optimizer, treat, weight
from isogain.watching.optimizers import seen

BETAS, EPS, RATE = (0.5, 0.9), 1e-8, 0.1
GRADIENTS = [
    [0.3, -0.1, 0.0],
    [0.2, 0.1, 1e-3],
    [30.0, -0.2, 2e-3],
    [0.1, 0.3, -50.0],
    [-0.2, 0.1, 0.1],
    [0.4, 9.0, 0.2],
]
START = [1.0, -2.0, 0.5]


def steps(make: Callable[[list[Tensor]], torch.optim.Optimizer], hook: Callable[[Any], Any]) -> list[list[float]]:
    """The parameter after each step."""
    parameter = nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = make([parameter])
    hook(optimizer)
    path = []
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        path.append(parameter.detach().tolist())
    return path


def by_formula(
    decay: float = 0.0,
    decoupled: bool = False,
    clip: bool = False,
    limit: float | None = None,
    every: int | None = None,
) -> list[list[float]]:
    w, m, v, path, count = list(START), [0.0] * 3, [0.0] * 3, [], 0
    for done, gradient in enumerate(GRADIENTS):
        rate = RATE
        if every is not None and done >= every:
            count = 0 if done % every == 0 else count
            climb = min(150, every // 3)
            if count + 1 < climb:
                rate *= (1 - math.cos(math.pi * (count + 1) / climb)) / 2
        if every is not None and done > 0 and done % every == 0:
            m, v = [0.0] * 3, [0.0] * 3
        g = [x if decoupled else x + decay * y for x, y in zip(gradient, w)]
        if limit is not None and count > 0:
            g = [math.copysign(math.sqrt(limit * s), x) if s > 0 and x * x > limit * s else x for x, s in zip(g, v)]
        count += 1
        m = [BETAS[0] * a + (1 - BETAS[0]) * x for a, x in zip(m, g)]
        v = [BETAS[1] * a + (1 - BETAS[1]) * x * x for a, x in zip(v, g)]
        hats = [s / (1 - BETAS[1] ** count) for s in v]
        rms = math.sqrt(sum(x * x / max(h, EPS**2) for x, h in zip(g, hats)) / 3)
        rate /= max(1.0, rms) if clip else 1.0
        for i in range(3):
            step = m[i] / (1 - BETAS[0] ** count) / (math.sqrt(hats[i]) + EPS)
            w[i] -= rate * (step + (decay * w[i] if decoupled else 0.0))
        path.append(list(w))
    return path


def adam(parameters: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=RATE, betas=BETAS, eps=EPS, weight_decay=0.1)


def adamw(parameters: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=RATE, betas=BETAS, eps=EPS, weight_decay=0.1)


def same(found: list[list[float]], expected: list[list[float]]) -> bool:
    return torch.allclose(torch.tensor(found).double(), torch.tensor(expected).double(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("make", "decoupled"), [(adam, False), (adamw, True)])
def test_steps_are_those_of_the_papers(make: Callable[..., Any], decoupled: bool) -> None:
    plain = by_formula(0.1, decoupled)
    clipped = by_formula(0.1, decoupled, clip=True)
    spam = by_formula(0.1, decoupled, limit=3.0, every=3)
    limited = by_formula(0.1, decoupled, limit=3.0)
    assert same(steps(make, lambda optimizer: None), plain)
    assert not same(clipped, plain) and not same(spam, plain) and not same(limited, spam)
    assert same(steps(make, updates.clip_updates), clipped)
    assert same(steps(make, lambda optimizer: updates.limit_spikes(optimizer, 3.0, 3)), spam)
    assert same(steps(make, lambda optimizer: updates.limit_spikes(optimizer, 3.0, None)), limited)


def test_hooks_leave_the_optimizer_as_it_was() -> None:
    parameter = nn.Parameter(torch.tensor(START))
    optimizer = adam([parameter])
    hooks = [updates.clip_updates(optimizer), updates.limit_spikes(optimizer, 5.0, 9)]
    for _ in range(11):
        parameter.grad = torch.ones(3)
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] == RATE
    for hook in hooks:
        hook.remove()
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize(
    "settings",
    [
        {"clip_update": 1.0},
        {"spike_limit": 5000.0},
        {"reset_every": 100.0},
        {"trust_ratio": 1.0},
        {"base_width": 64.0},
        {"muon": 1.0},
        {"sign_momentum": 0.5},
    ],
)
def test_a_prescription_reaches_the_optimizer(settings: dict[str, float]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    treatment = treat(model, {"optimizer": settings})
    assert treatment.optimizer == settings
    (line,) = treatment.diff
    assert line.startswith("optimizer: steps ")
    assert "isogain.updates." in treatment.code and "param_groups" not in treatment.code
    optimizer = torch.optim.Adam(model.parameters())
    set_optimizer(optimizer, settings, model)
    assert len(optimizer._optimizer_step_pre_hooks) == 1
    assert set(updates.in_a_recipe(optimizer)) >= set(settings) - {"muon", "sign_momentum"}
    if {"trust_ratio", "muon", "sign_momentum"} & set(settings):
        set_optimizer(torch.optim.SGD(model.parameters(), lr=0.1), settings, model)
        return
    with pytest.raises(CannotApply, match="needs torch.optim.Adam or AdamW, whose .*, not SGD"):
        set_optimizer(torch.optim.SGD(model.parameters(), lr=0.1), settings, model)


def test_adafactors_two_eps_are_not_adams() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.Adafactor(model.parameters())
    set_optimizer(optimizer, {"learning_rate": 0.5}, model)
    with pytest.raises(CannotApply, match="Adafactor has no such setting"):
        set_optimizer(optimizer, {"eps": 1e-12}, model)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["eps"]) == (0.5, (None, 1e-3))


class Reader(nn.Module):
    """Tokens, attention, a recurrent layer, a head that shares the table: weights of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 12)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True, kdim=12, vdim=12)
        self.norm = nn.LayerNorm([5, 12])
        self.state = nn.GRU(12, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 7)
        self.head.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens)
        x, _ = self.attention(x, x, x)
        answer: Tensor = self.head(self.state(self.norm(x))[0][:, -1])
        return answer


def convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 6, 2), nn.Flatten(), nn.Linear(294, 3)
    )


def computed() -> nn.Module:
    weight_norm = nn.utils.parametrizations.weight_norm
    return nn.Sequential(weight_norm(nn.Linear(8, 16)), nn.ReLU(), weight_norm(nn.Linear(16, 32)), nn.Linear(32, 3))


def orthogonal() -> nn.Module:
    model = steps_of_time()
    weight.orthogonal_states(nn.Sequential(model), ["0"])
    return model


def steps_of_time() -> nn.Module:
    return nn.GRU(8, 6, num_layers=2, bidirectional=True)


WIDTHS: dict[Callable[[], nn.Module], dict[str, int]] = {
    convnet: {"3.weight": 16, "5.weight": 294},
    computed: {"2.parametrizations.weight.original1": 16, "3.weight": 32},
    steps_of_time: {
        **{f"weight_{kind}_l{layer}{way}": 6 for kind in ("hh",) for layer in (0, 1) for way in ("", "_reverse")},
        **{f"weight_ih_l1{way}": 12 for way in ("", "_reverse")},
    },
    orthogonal: {
        **{
            f"parametrizations.weight_hh_l{layer}{way}.original": 6 for layer in (0, 1) for way in ("", "_reverse")
        },
        **{f"weight_ih_l1{way}": 12 for way in ("", "_reverse")},
    },
    Reader: {
        "attention.in_proj_weight": 12,
        "attention.out_proj.weight": 12,
        **{f"state.weight_ih_l0{way}": 12 for way in ("", "_reverse")},
        **{f"state.weight_hh_l0{way}": 6 for way in ("", "_reverse")},
    },
}
def inputs_of(make: Callable[[], nn.Module]) -> Tensor:
    if make is Reader:
        return torch.randint(7, (8, 5))
    shape = {convnet: (8, 1, 8, 8), computed: (8, 8), steps_of_time: (5, 3, 8), orthogonal: (5, 3, 8)}[make]
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("make", WIDTHS)
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_rates_go_with_the_width(name: str, make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    # In f64: keys have a bias without a gradient, whose rounding errors Adam makes into steps.
    model, inputs = make().double(), inputs_of(make)
    twin = copy.deepcopy(model)
    kind = getattr(torch.optim, name)
    optimizer = kind(model.parameters(), lr=1e-3, weight_decay=0.1)
    updates.scale_rates_by_width(optimizer, model, 24)
    groups = [
        {"params": [parameter], "lr": 1e-3 * 24 / WIDTHS[make].get(path, 24)}
        for path, parameter in twin.named_parameters()
    ]
    plain = kind(groups, weight_decay=0.1)

    def loss(each: nn.Module, steps: torch.optim.Optimizer) -> Tensor:
        steps.zero_grad()
        output = each(inputs)
        value: Tensor = (output[0] if isinstance(output, tuple) else output).square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    for _ in range(3):
        # The gradients come within the step.
        optimizer.step(lambda: loss(model, optimizer))
        plain.step(lambda: loss(twin, plain))
    for (path, found), expected in zip(model.named_parameters(), twin.parameters()):
        assert torch.allclose(found, expected, rtol=0.0, atol=1e-5), path


def test_the_layer_that_reads_the_data_can_be_named() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.stem = nn.Linear(8, 2), nn.Linear(4, 8)

        def forward(self, inputs: Tensor) -> Tensor:
            answer: Tensor = self.head(self.stem(inputs).relu())
            return answer

    model = Late()
    optimizer = torch.optim.Adam(model.parameters())
    assert updates.scale_rates_by_width(optimizer, model, 16).factors == {model.stem.weight: 4.0}
    assert updates.scale_rates_by_width(optimizer, model, 16, model.stem).factors == {model.head.weight: 2.0}
    treatment = treat(model, {"optimizer": {"base_width": 16}}, batch=(torch.randn(3, 4), None))
    assert treatment.ends is not None and treatment.ends.reader == "stem"
    assert "base_width=16, reader=model.get_submodule('stem'))" in treatment.code
    with pytest.raises(ValueError, match="moves no weight of this model"):
        updates.scale_rates_by_width(optimizer, Late(), 16)
    for width in (0, math.inf, math.nan):
        with pytest.raises(ValueError, match="must be a finite number, 1 or more"):
            updates.scale_rates_by_width(optimizer, model, width)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="whose steps have one size, not SGD"):
        updates.scale_rates_by_width(torch.optim.SGD(model.parameters(), lr=0.1), model)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_normalised_steps_are_a_part_of_the_weights(name: str, scale: float) -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 0.0], [0.0, -4.0]], dtype=torch.float64))
    bias = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    twin = nn.Parameter(bias.detach().clone())
    optimizer = getattr(torch.optim, name)([weight, bias], lr=0.1)
    plain = getattr(torch.optim, name)([twin], lr=0.1)
    hook = updates.normalise(optimizer)
    before = weight.detach().clone()
    weight.grad = torch.tensor([[1.0, -2.0], [2.0, 4.0]], dtype=torch.float64) * scale
    bias.grad = torch.full((2,), scale, dtype=torch.float64)
    twin.grad = bias.grad.clone()
    optimizer.step()
    plain.step()
    moved = weight.detach() - before
    assert float(moved.norm()) == pytest.approx(0.1 * 5.0, rel=1e-9)
    assert torch.equal(moved < 0.0, weight.grad > 0.0) and torch.equal(bias, twin)
    hook.remove()


def test_a_step_of_length_zero_stays_so() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    updates.normalise(optimizer)
    weight.grad = torch.zeros(2, 2)
    optimizer.step()
    assert torch.equal(weight, torch.ones(2, 2))


def test_numbers_out_of_range_are_refused() -> None:
    optimizer = adam([nn.Parameter(torch.zeros(1))])
    with pytest.raises(ValueError, match=r"limit is -1.0: must be above 0"):
        updates.limit_spikes(optimizer, -1.0)
    with pytest.raises(ValueError, match=r"reset_every is 0: must be at least 1"):
        updates.limit_spikes(optimizer, reset_every=0)


def quintic(matrix: Tensor) -> Tensor:
    """What five Newton-Schulz iterations leave, by the singular values."""
    left, values, right = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ torch.diag(values) @ right


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (5, 5), (1, 4)])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_singular_values_become_one(shape: tuple[int, int], scale: float) -> None:
    torch.manual_seed(1)
    matrix = torch.randn(shape, dtype=torch.float64)
    assert torch.allclose(updates.orthogonal(scale * matrix), quintic(matrix), atol=1e-10)
    assert torch.equal(updates.orthogonal(torch.zeros(2, 3)), torch.zeros(2, 3))
    assert updates.orthogonal(torch.tensor([[math.nan, 1.0]])).isnan().any()


def pixels() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 5, 2), nn.Tanh(), nn.ConvTranspose2d(5, 3, 2), nn.Flatten(), nn.Linear(108, 3)
    ).double()


def muon_by_formula(model: nn.Module, gradients: list[dict[str, Tensor]], hidden: dict[str, bool], decay: float) -> dict[str, Tensor]:
    """Parameters after these gradients at rate 0.1; `hidden` says whose weight has inputs first."""
    found = {}
    for name, parameter in model.named_parameters():
        w, v, m, s = parameter.detach().clone(), 0.0, 0.0, 0.0
        for count, each in enumerate(gradients, 1):
            g = each[name]
            v, m, s = 0.95 * v + g, 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
            step = m / (1 - 0.9**count) / ((s / (1 - 0.999**count)).sqrt() + 1e-8)
            if name in hidden:
                ahead = g + 0.95 * v
                ahead = ahead.transpose(0, 1) if hidden[name] else ahead
                flat = quintic(ahead.flatten(1))
                step = (0.2 * max(flat.shape) ** 0.5 * flat).view(ahead.shape)
                step = step.transpose(0, 1) if hidden[name] else step
            w = w - 0.1 * (step + decay * w)
        found[name] = w
    return found


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_hidden_matrices_take_orthogonal_steps_and_all_others_adamws(kind: str) -> None:
    torch.manual_seed(0)
    model = pixels()
    start = copy.deepcopy(model)
    make = getattr(torch.optim, kind)
    optimizer = make(model.parameters(), lr=0.1, weight_decay=0.2)
    hook = updates.orthogonalise(optimizer, model)
    assert updates.in_a_recipe(optimizer)["name"] == "muon"
    gradients = []
    for done in range(4):
        optimizer.zero_grad()
        # Gradients far below eps and far above 1.
        (10.0 ** (8 * done - 12) * model(torch.randn(6, 1, 8, 8, dtype=torch.float64)).square().mean()).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        if done == 2:
            # Saved and resumed: what is remembered is in the optimizer's state.
            state, twin = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model)
            for parameter, of_twin in zip(model.parameters(), twin.parameters()):
                assert parameter.grad is not None
                of_twin.grad = parameter.grad.clone()
            model, optimizer = twin, make(twin.parameters(), lr=0.1, weight_decay=0.2)
            optimizer.load_state_dict(state)
            hook = updates.orthogonalise(optimizer, model)
        optimizer.step()
    expected = muon_by_formula(start, gradients, {"2.weight": False, "4.weight": True}, 0.2)
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, expected[name], rtol=1e-9, atol=1e-9), name
    hook.remove()
    assert updates.in_a_recipe(optimizer) == {}


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with PyTorch 2.9")
def test_steps_are_those_of_torch_muon(monkeypatch: pytest.MonkeyPatch) -> None:
    # It computes the orthogonal matrix in bfloat16, of which three digits are right: here in float64.
    monkeypatch.setattr(torch, "bfloat16", torch.float64)
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 7), nn.Linear(7, 2)).double()
    twin = copy.deepcopy(model)
    hidden = {"2.weight", "4.weight"}
    ours = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.1)
    updates.orthogonalise(ours, model)
    groups = [[p for name, p in twin.named_parameters() if (name in hidden) == wanted] for wanted in (True, False)]
    theirs = [
        torch.optim.Muon(groups[0], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups[1], lr=0.02, weight_decay=0.1),
    ]
    assert _settings(theirs[0])["adjust_lr"] == "match-rms-adamw"
    assert _settings(torch.optim.Muon(groups[0]))["adjust_lr"] == "original"
    assert [_settings(each)["name"] for each in (ours, *theirs)] == ["muon", "muon", "adam"]
    for _ in range(5):
        inputs = torch.randn(8, 5, dtype=torch.float64)
        for each, optimizers in ((model, [ours]), (twin, theirs)):
            each.zero_grad()
            each(inputs).square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
    for (name, found), expected in zip(model.named_parameters(), twin.parameters()):
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12), name


def test_heads_are_known_by_what_they_give() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 3)
            self.body = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh())

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.body(x))
            return out

    treatment = treat(TwoHeads(), {"optimizer": {"muon": 1.0}}, batch=(torch.randn(5, 4), None))
    assert treatment.ends is not None and (treatment.ends.reader, treatment.ends.heads) == ("body.0", ("head",))
    assert 'heads=[model.get_submodule(\'head\')]' in treatment.code
    optimizer = torch.optim.SGD(treatment.model.parameters(), lr=0.1)
    set_optimizer(optimizer, treatment.optimizer, treatment.model, treatment.ends)
    before = {name: p.detach().clone() for name, p in treatment.model.named_parameters()}
    treatment.model(torch.randn(5, 4)).square().sum().backward()
    optimizer.step()
    moved = {name: (p.detach() - before[name]).abs() for name, p in treatment.model.named_parameters()}
    assert torch.allclose(moved["head.weight"], torch.tensor(0.1), rtol=1e-3), "the first step of AdamW"
    assert torch.allclose(moved["body.0.weight"], torch.tensor(0.1), rtol=1e-3)
    assert moved["body.2.weight"].std() > 1e-3
    with pytest.raises(CannotApply, match="moves no hidden weight matrix"):
        model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
        set_optimizer(torch.optim.SGD(model.parameters(), lr=0.1), {"muon": 1.0}, model)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_signs_are_followed(momentum: float) -> None:
    found = steps(
        lambda parameters: torch.optim.SGD(parameters, lr=RATE, weight_decay=0.1),
        lambda optimizer: updates.follow_signs(optimizer, momentum),
    )
    w, v, expected = list(START), [0.0] * 3, []
    for gradient in GRADIENTS:
        v = [momentum * a + g for a, g in zip(v, gradient)]
        w = [x - RATE * ((a > 0) - (a < 0) + 0.1 * x) for x, a in zip(w, v)]
        expected.append(list(w))
    assert same(found, expected)
    with pytest.raises(ValueError, match="momentum is 1.0: must be 0 or more and below 1"):
        updates.follow_signs(adam([nn.Parameter(torch.zeros(2))]), 1.0)


def three(**settings: Any) -> tuple[nn.Sequential, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    return model, torch.optim.Adam(model.parameters(), lr=1e-2, **settings)


OWN_RULES = [lambda optimizer, model: updates.follow_signs(optimizer), updates.orthogonalise]


@pytest.mark.parametrize("hook", OWN_RULES)
def test_what_is_maximised_grows(hook: Callable[[Any, nn.Module], Any]) -> None:
    moved = []
    for maximize in (False, True):
        model, optimizer = three(maximize=maximize)
        hook(optimizer, model)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        model(torch.randn(16, 4, generator=torch.Generator().manual_seed(0))).mean().backward()
        optimizer.step()
        moved.append([parameter.detach() - old for parameter, old in zip(model.parameters(), before)])
    assert all(torch.allclose(down, -up, atol=1e-7) and up.any() for down, up in zip(*moved))


@pytest.mark.parametrize("hook", OWN_RULES)
def test_a_step_that_overflowed_in_a_fused_optimizer_is_skipped(hook: Callable[[Any, nn.Module], Any]) -> None:
    model, optimizer = three(fused=True)
    hook(optimizer, model)
    before = copy.deepcopy(model.state_dict())
    for has_overflow in (1.0, 0.0):
        model(torch.randn(16, 4)).mean().backward()
        # As a GradScaler sets both around a step of an optimizer that looks at them itself.
        optimizer.grad_scale, optimizer.found_inf = None, torch.tensor(has_overflow)
        if has_overflow:
            for parameter in model.parameters():
                parameter.grad.fill_(math.inf)
        optimizer.step()
        stayed = [torch.equal(value, before[name]) for name, value in model.state_dict().items()]
        assert all(stayed) if has_overflow else not any(stayed)
        assert not any("velocity" in key for state in optimizer.state.values() for key in state) or not has_overflow
        optimizer.zero_grad()


@pytest.mark.parametrize("hook", OWN_RULES)
def test_no_rule_takes_the_place_of_lbfgs(hook: Callable[[Any, nn.Module], Any]) -> None:
    model, _ = three()
    optimizer = torch.optim.LBFGS(model.parameters())
    with pytest.raises(ValueError, match="needs an optimizer that takes one step at a time: LBFGS"):
        hook(optimizer, model)
    assert not optimizer._optimizer_step_post_hooks


def test_hooks_are_seen_behind_a_wrapper() -> None:
    class Wrapper(torch.optim.Optimizer):
        """As Accelerate's: an optimizer by class that was never built as one."""

        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.optimizer = optimizer

    _, optimizer = three()
    assert updates.in_a_recipe(Wrapper(optimizer)) == {}
    updates.clip_updates(optimizer)
    assert updates.in_a_recipe(Wrapper(optimizer)) == {"clip_update": True}
    bare = Wrapper(optimizer)
    del bare.optimizer
    assert updates.in_a_recipe(bare) == {}


def test_a_check_takes_an_optimizer_of_accelerate() -> None:
    accelerate = pytest.importorskip("accelerate")
    model, optimizer = three()
    updates.clip_updates(optimizer)
    prepared = accelerate.Accelerator(cpu=True).prepare(optimizer)
    assert updates.in_a_recipe(prepared) == {"clip_update": True}
    batch = (torch.randn(16, 4), torch.randn(16, 1))
    isogain.check(model, batch, nn.MSELoss(), optimizer=prepared)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.a, self.b = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.table.weight


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.mix = nn.Linear(8, 8), nn.Linear(8, 8), nn.MultiheadAttention(8, 2)


def test_a_head_is_one_also_when_it_is_tied_or_attends() -> None:
    model: Any = Tied()
    found = updates.orthogonalise(torch.optim.AdamW(model.parameters()), model)
    assert set(found.hidden) == {model.a.weight, model.b.weight}
    model = Attends()
    found = updates.orthogonalise(torch.optim.AdamW(model.parameters()), model, heads=[model.mix])
    assert set(found.hidden) == {model.b.weight}


def sigmoids(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Linear(2, 32), nn.Sigmoid()]
    for _ in range(5):
        layers += [nn.Linear(32, 32), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(32, 2))


def ring() -> tuple[Tensor, Tensor]:
    points = torch.randn(256, 2, generator=torch.Generator().manual_seed(5))
    return points, (points.square().sum(1) > 1.4).long()


def trained(seed: int, rate: float, hook: Callable[[Any, nn.Module], Any]) -> float:
    """Loss after 200 steps of SGD, so changed."""
    model, (points, labels) = sigmoids(seed), ring()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    hook(optimizer, model)
    loss = torch.zeros(())
    for _ in range(200):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(points), labels)
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_six_sigmoid_layers_train_by_orthogonal_steps_alone(seed: int) -> None:
    plain = [trained(seed, rate, lambda optimizer, model: None) for rate in (0.01, 0.05, 0.25, 1.25)]
    parts = [trained(seed, rate, lambda optimizer, model: updates.normalise(optimizer)) for rate in (0.01, 0.05, 0.25)]
    assert min(plain) > 0.65 and min(parts) > 0.4, "near ln 2"
    assert trained(seed, 0.05, updates.orthogonalise) < 0.05


@pytest.mark.parametrize(
    ("hook", "is_cured"),
    [
        (lambda optimizer, model: None, False),
        (lambda optimizer, model: updates.orthogonalise(optimizer, model), True),
        (lambda optimizer, model: updates.normalise(optimizer), True),
        (lambda optimizer, model: updates.follow_signs(optimizer), True),
    ],
)
def test_a_check_reads_what_hooks_do(hook: Callable[[Any, nn.Module], Any], is_cured: bool) -> None:
    model = sigmoids(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    hook(optimizer, model)
    assert (seen([optimizer])["name"] == "adam") == is_cured
    found = isogain.check(model, ring(), nn.CrossEntropyLoss(), optimizer=optimizer, steps=300)
    assert any(finding["rule"] == "vanishing-gradient" for finding in found.findings) != is_cured
