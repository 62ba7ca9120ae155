"""How a gradient of any direction fares, against the Jacobian that PyTorch gives, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import isogain


class InputsFirst(nn.Module):
    """A layer whose weight is `[inputs, outputs]`, as the transformers library's `Conv1D`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class Sum(nn.Module):
    """`x + F(x)`, or `S(x) + F(x)`."""

    def __init__(self, branch: nn.Module, skip: nn.Module | None = None) -> None:
        super().__init__()
        self.branch, self.skip = branch, skip

    def forward(self, x: Tensor) -> Tensor:
        return (x if self.skip is None else self.skip(x)) + self.branch(x)


class MeanOverPositions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def lopsided(layer: nn.Module) -> nn.Module:
    """With weights whose rows differ in size, so that none of them can be taken for its transpose."""
    with torch.no_grad():
        for _, weight in layer.named_parameters():
            if weight.dim() > 1:
                weight *= torch.linspace(0.2, 3.0, weight.shape[0]).view(-1, *[1] * (weight.dim() - 1))
    return layer


def of_vectors() -> list[nn.Module]:
    first, inner = nn.Linear(12, 10), [lopsided(nn.Linear(10, 14)), nn.LayerNorm(14), nn.Tanh(), lopsided(nn.Linear(14, 14)), nn.ReLU()]
    return [first, *inner, nn.Linear(14, 4)]


def inputs_first() -> list[nn.Module]:
    return [nn.Linear(12, 10), nn.Tanh(), lopsided(InputsFirst(10, 14)), nn.GELU(), lopsided(InputsFirst(14, 8)), nn.Linear(8, 4)]


def of_images(*end: nn.Module, pool: nn.Module | None = None) -> list[nn.Module]:
    conv = lambda *size, **more: lopsided(nn.Conv2d(*size, **more))
    body = [nn.ReLU(), conv(3, 4, (3, 2), padding=(1, 0)), nn.Tanh(), pool or nn.MaxPool2d(2), conv(4, 5, 3, stride=2, padding=1), nn.ReLU()]
    return [conv(2, 3, 3, padding="same"), *body, *end]


def flattened() -> list[nn.Module]:
    return of_images(nn.Flatten(), lopsided(nn.Linear(10, 8)), nn.ReLU(), nn.Linear(8, 4))


def straight_to_the_head() -> list[nn.Module]:
    return of_images(nn.Flatten(), nn.Linear(10, 4), pool=nn.AvgPool2d((2, 2), stride=(2, 2)))


def pooled() -> list[nn.Module]:
    return of_images(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4), pool=nn.MaxPool2d(3, stride=2, padding=1))


def of_groups() -> list[nn.Module]:
    """Groups of channels, a depthwise convolution and its pointwise one, steps between taps."""
    conv = lambda *size, **more: lopsided(nn.Conv2d(*size, **more))
    body = [conv(4, 6, 3, groups=2, padding=1), nn.Tanh(), conv(6, 6, (3, 2), groups=6, padding="same", dilation=(1, 2)), conv(6, 4, 1)]
    end = [nn.MaxPool2d(2, stride=1, dilation=2), nn.ReLU(), conv(4, 3, 2, dilation=2), nn.Flatten(), nn.Linear(6, 4)]
    return [conv(2, 4, 3, padding=1), nn.ReLU(), *body, *end]


def residual() -> list[nn.Module]:
    conv = lambda *size, **more: lopsided(nn.Conv2d(*size, padding=1, **more))
    block = Sum(nn.Sequential(conv(3, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), conv(3, 3, 3)))
    wider = Sum(nn.Sequential(conv(3, 5, 3, stride=2), nn.ReLU()), nn.Conv2d(3, 5, 1, stride=2))
    return [conv(2, 3, 3), nn.ReLU(), block, wider, MeanOverPositions(), nn.Linear(5, 4)]


def of_sequences() -> list[nn.Module]:
    conv = lambda *size, **more: lopsided(nn.Conv1d(*size, **more))
    return [conv(2, 3, 3), nn.Tanh(), conv(3, 4, 2, stride=2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(12, 4)]


class States(nn.Module):
    """What people read of a recurrent layer."""

    def __init__(self, states: nn.RNNBase, read: str) -> None:
        super().__init__()
        self.states, self.read = lopsided(states), read

    def forward(self, x: Tensor) -> Tensor:
        sequence, last = self.states(x)
        axis = 1 if self.states.batch_first else 0
        match self.read:
            case "last states":
                last = last[0] if isinstance(last, tuple) else last
                return last[-1]
            case "last step":
                return sequence[:, -1] if axis else sequence[-1]
            case "mean":
                return sequence.mean(axis)
        return sequence


def recurrent(cell: type[nn.RNNBase], batch_first: bool) -> list[nn.Module]:
    """Two calls, the first of two layers that read in both directions."""
    both = States(cell(4, 3, 2, bidirectional=True, batch_first=batch_first), "all")
    return [nn.Linear(3, 4), both, nn.Tanh(), States(cell(6, 5, batch_first=batch_first), "last states"), nn.Linear(5, 4)]


def read(cell: type[nn.RNNBase], what: str, **more: Any) -> list[nn.Module]:
    return [nn.Linear(3, 4), nn.Tanh(), States(cell(4, 5, **more), what), nn.Linear(10 if "bidirectional" in more else 5, 4)]


class SelfAttention(nn.Module):
    """Two heads of 4 features, written as people write them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind in ("three projections", "shared keys"):
            self.query, self.key, self.value = (lopsided(nn.Linear(8, 4 if kind == "shared keys" and at else 8)) for at in range(3))
        else:
            self.all = lopsided(nn.Linear(8, 24))
        self.out = lopsided(nn.Linear(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        count, steps, width = x.shape
        parts = self.all(x).split(width, -1) if hasattr(self, "all") else (self.query(x), self.key(x), self.value(x))
        query, key, value = (part.view(count, steps, -1, 4).transpose(1, 2) for part in parts)
        if self.kind == "shared keys":
            key, value = key.repeat_interleave(2, 1), value.repeat_interleave(2, 1)
        if self.kind == "rotary":
            query, key = turned(query), turned(key)
        if self.kind == "by hand":
            logits = query @ key.transpose(-2, -1) / math.sqrt(4)
            seen = torch.ones(steps, steps, dtype=torch.bool).tril()
            mixed = torch.softmax(logits.masked_fill(~seen, -math.inf), -1) @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.kind == "rotary")
        return self.out(mixed.transpose(1, 2).contiguous().view(count, steps, width))


def turned(heads: Tensor) -> Tensor:
    """Rotary positions as Llama has them."""
    pairs = heads.shape[-1] // 2
    angles = torch.outer(torch.arange(heads.shape[-2]).double(), 10_000 ** (-torch.arange(pairs).double() / pairs)).repeat(1, 2)
    one, other = heads[..., :pairs], heads[..., pairs:]
    return heads * angles.cos() + torch.cat([-other, one], -1) * angles.sin()


class Gated(nn.Module):
    """A gated linear unit as Llama has it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down = lopsided(nn.Linear(8, 10)), lopsided(nn.Linear(8, 10)), nn.Linear(10, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


def transformer(kind: str, end: int | None) -> list[nn.Module]:
    feed_forward = nn.Sequential(nn.LayerNorm(8), lopsided(nn.Linear(8, 12)), nn.GELU(), nn.Linear(12, 8))
    block = [Sum(nn.Sequential(nn.LayerNorm(8), SelfAttention(kind))), Sum(feed_forward)]
    return [nn.Linear(3, 8), *block, nn.LayerNorm(8), Step(end), nn.Linear(8, 4)]


class Multihead(nn.Module):
    """PyTorch's own attention, which goes step by step inside."""

    def __init__(self, *, weights: bool = False) -> None:
        super().__init__()
        self.inner, self.weights = lopsided(nn.MultiheadAttention(8, 2, batch_first=True)), weights

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x, need_weights=self.weights)[0]


def of_pytorch(inner: Callable[[], nn.Module]) -> list[nn.Module]:
    return [nn.Linear(3, 8), lopsided(nn.Linear(8, 8)), inner(), nn.LayerNorm(8), Step(-1), nn.Linear(8, 4)]


class Step(nn.Module):
    """One step of a sequence, or their mean."""

    def __init__(self, at: int | None) -> None:
        super().__init__()
        self.at = at

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1) if self.at is None else x[:, self.at]


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        (partial(transformer, "three projections", None), (5, 3)),
        (partial(transformer, "shared keys", -1), (5, 3)),
        (partial(transformer, "split", 0), (5, 3)),
        (partial(transformer, "by hand", -1), (5, 3)),
        (partial(transformer, "rotary", -1), (5, 3)),
        (partial(of_pytorch, lambda: Sum(nn.Sequential(nn.RMSNorm(8), Gated()))), (5, 3)),
        (partial(of_pytorch, Multihead), (5, 3)),
        (partial(of_pytorch, lambda: Sum(Multihead(weights=True))), (5, 3)),
        (partial(of_pytorch, lambda: nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)), (5, 3)),
        (partial(of_pytorch, lambda: nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True, norm_first=True)), (5, 3)),
        (of_vectors, (12,)),
        (inputs_first, (12,)),
        (flattened, (2, 6, 5)),
        (straight_to_the_head, (2, 6, 5)),
        (pooled, (2, 6, 5)),
        (of_groups, (2, 6, 5)),
        (residual, (2, 6, 5)),
        (of_sequences, (2, 14)),
        *((lambda cell=cell, first=first: recurrent(cell, first), (6 if first else 3, 3)) for cell in (nn.RNN, nn.LSTM, nn.GRU) for first in (False, True)),
        (lambda: read(nn.LSTM, "last states", num_layers=2, batch_first=True), (6, 3)),
        (lambda: read(nn.GRU, "last step", num_layers=2, bias=False), (3, 3)),
        (lambda: read(nn.RNN, "mean", nonlinearity="relu", bidirectional=True, batch_first=True), (6, 3)),
    ],
)
def test_scale_and_spread_are_those_of_the_jacobian(layers: Callable[[], list[nn.Module]], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*layers()).double()
    x, target = torch.randn(3, *shape, dtype=torch.float64), torch.tensor([0, 1, 2])
    told = isogain.check(model, (x, target), F.cross_entropy).flow["jacobian"]
    body = model[1:-1]
    whole = torch.autograd.functional.jacobian(body, model[0](x))
    assert isinstance(whole, Tensor)
    end = body(model[0](x)).numel()
    whole = whole.reshape(end, -1)
    gram = whole @ whole.T
    log_gain = 0.5 * math.log(float(gram.trace()) / whole.shape[1])
    spread = end * float(gram.square().sum()) / float(gram.trace()) ** 2
    assert "left_out" not in told, told
    assert abs(told["log_gain"] - log_gain) < max(4 * told["log_gain_error"], 1e-3), (told["log_gain"], log_gain)
    assert abs(told["spread"] - spread) < 4 * told["spread_error"] + 0.02 * spread, (told["spread"], spread)


def test_what_is_only_that_positions_become_fewer_is_told_apart() -> None:
    torch.manual_seed(0)
    batch = (torch.randn(3, 2, 6, 5), torch.tensor([0, 1, 2]))
    told = isogain.check(nn.Sequential(*pooled()), batch, F.cross_entropy).flow["jacobian"]
    # 30 positions become 24 and 6 by their maximum and 2 by a stride, and these one by their mean.
    assert math.isclose(told["from_positions"], -0.5 * math.log(30 / 2) - math.log(2), rel_tol=1e-9)
    told = isogain.check(nn.Sequential(*of_vectors()), (torch.randn(3, 12), batch[1]), F.cross_entropy).flow["jacobian"]
    assert told["from_positions"] == 0


def test_dropout_at_work_is_the_mask_that_it_drew() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Dropout(0.5), nn.Linear(10, 10), nn.Tanh(), nn.Dropout(0.2), nn.Linear(10, 4))
    batch = (torch.randn(64, 12), torch.randint(0, 4, (64,)))
    with_dropout = isogain.check(model, batch, F.cross_entropy).flow["jacobian"]
    without = isogain.check(model.eval(), batch, F.cross_entropy).flow["jacobian"]
    # A mask of 0 and 1 / (1 - p) has a mean square of 1 / (1 - p).
    expected = -0.5 * math.log(0.5 * 0.8)
    assert math.isclose(with_dropout["log_gain"] - without["log_gain"], expected, abs_tol=0.1)
    assert with_dropout["directions"] < without["directions"]


class DropsWeights(nn.Module):
    """Attention that drops weights, by hand or by PyTorch's module."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.drop = kind, nn.Dropout(0.3)
        if kind == "by hand":
            self.all, self.out = lopsided(nn.Linear(8, 24)), lopsided(nn.Linear(8, 8))
        else:
            self.module = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind != "by hand":
            return self.module(x, x, x, need_weights=self.kind == "with weights")[0]
        query, key, value = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.all(x).chunk(3, -1))
        return self.out((self.drop(torch.softmax(query @ key.mT / 2, -1)) @ value).transpose(1, 2).flatten(2))


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        (lambda: read(nn.LSTM, "last states", num_layers=3, batch_first=True, dropout=0.5), (6, 3)),
        *((lambda kind=kind: [nn.Linear(3, 8), DropsWeights(kind), Step(-1), nn.Linear(8, 4)], (5, 3)) for kind in ("by hand", "with weights", "without")),
        (lambda: [nn.Linear(3, 8), nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), Step(-1), nn.Linear(8, 4)], (5, 3)),
    ],
)
def test_dropout_inside_of_a_layer_is_what_it_drew(layers: Callable[[], list[nn.Module]], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*layers())
    drawn: list[Tensor] = []
    hook = model[1].register_forward_pre_hook(lambda *_: drawn.append(torch.get_rng_state()))
    x = torch.randn(8, *shape)
    told = isogain.check(model, (x, torch.randint(0, 4, (8,))), F.cross_entropy).flow["jacobian"]
    hook.remove()

    def body(u: Tensor) -> Tensor:
        torch.set_rng_state(drawn[0])
        return model[1:-1](u)

    whole = torch.autograd.functional.jacobian(body, model[0](x))
    assert isinstance(whole, Tensor) and "left_out" not in told, told
    log_gain = 0.5 * math.log(float(whole.square().sum()) / model[0](x).numel())
    # Other masks are farther off.
    assert abs(told["log_gain"] - log_gain) < 3 * told["log_gain_error"], (told["log_gain"], log_gain)


def test_states_that_nobody_begins_with_zeros_are_followed() -> None:
    class Begun(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.states = lopsided(nn.GRU(4, 5, batch_first=True))
            self.begin = torch.linspace(-0.9, 0.9, 15).view(1, 3, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.states(x, self.begin)[0][:, -1]

    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(3, 4), Begun(), nn.Linear(5, 4)), torch.randn(3, 6, 3)
    told = isogain.check(model, (x, torch.tensor([0, 1, 2])), F.cross_entropy).flow["jacobian"]
    whole = torch.autograd.functional.jacobian(model[1], model[0](x))
    assert isinstance(whole, Tensor)
    assert abs(told["log_gain"] - 0.5 * math.log(float(whole.square().sum()) / x[..., 0].numel() / 4)) < 4 * told["log_gain_error"]


@pytest.mark.parametrize("cell", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("shape", [(3, 4, 3), (3, 6, 3)])
def test_a_recurrence_that_only_begins_with_what_the_batch_gives_is_taken_whole(cell: type[nn.RNNBase], shape: tuple[int, ...]) -> None:
    class Caption(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.begin, self.states, self.head = nn.Linear(3, 4), nn.Linear(4, 5), cell(3, 5, batch_first=True), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            begin = torch.tanh(self.begin(self.first(x).mean(1)))[None].contiguous()
            return self.head(self.states(torch.ones(shape), (begin, begin) if cell is nn.LSTM else begin)[0].mean(1))

    told = isogain.check(Caption(), (torch.randn(3, 6, 3), torch.arange(3)), F.cross_entropy).flow["jacobian"]
    assert told["left_out"] == "states (recurrent) cannot be followed for any direction"


@pytest.mark.parametrize("where", ["input", "weight"])
def test_recurrent_layers_that_give_no_numbers_are_told_as_others_are(where: str) -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.states, self.head = nn.Linear(3, 4), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.states(self.first(x) * (math.inf if where == "input" else 1))[0][:, -1])

    model = Broken()
    if where == "weight":
        with torch.no_grad():
            model.states.weight_hh_l0.fill_(math.nan)
    found = isogain.check(model, (torch.randn(3, 6, 3), torch.arange(3)), F.cross_entropy).findings
    assert "forward-overflow" in [finding["rule"] for finding in found]


def test_paths_through_convolutions_are_told() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*residual())
    batch = (torch.randn(3, 2, 6, 5), torch.tensor([0, 1, 2]))
    paths = isogain.check(model, batch, F.cross_entropy).flow["path_lengths"]
    assert paths["branches"] == 2 and math.isclose(sum(paths["energy"]), 1.0, rel_tol=1e-9)


@pytest.mark.parametrize("end", [-1, 0, None])
@pytest.mark.parametrize("norm_first", [False, True])
def test_a_model_that_has_steps_first(norm_first: bool, end: int | None) -> None:
    """What PyTorch's layers expect when nobody says anything; told as if it had samples first."""

    class StepsFirst(nn.Module):
        def __init__(self, batch_first: bool) -> None:
            super().__init__()
            self.first, self.head, self.batch_first = nn.Linear(3, 8), nn.Linear(8, 4), batch_first
            sizes = {"dropout": 0.0, "norm_first": norm_first, "batch_first": batch_first}
            self.inner = nn.Sequential(*(nn.TransformerEncoderLayer(8, 2, 12, **sizes) for _ in range(2)))

        def forward(self, x: Tensor) -> Tensor:
            inner = self.inner(self.first(x))
            if self.batch_first:
                inner = inner.transpose(0, 1)
            return self.head(inner.mean(0) if end is None else inner[end])

    torch.manual_seed(0)
    x, target = torch.randn(5, 3, 3, dtype=torch.float64), torch.tensor([0, 1, 2])
    model, same = StepsFirst(False).double(), StepsFirst(True).double()
    same.load_state_dict(model.state_dict())
    report = isogain.check(model, (x, target), F.cross_entropy)
    flow, other = report.flow, isogain.check(same, (x.transpose(0, 1), target), F.cross_entropy).flow
    assert not report.findings
    assert flow["path_lengths"]["branches"] == 4
    assert flow["path_lengths"]["energy"] == pytest.approx(other["path_lengths"]["energy"])
    for told in ("log_gain", "spread", "from_positions"):
        assert math.isclose(flow["jacobian"][told], other["jacobian"][told], rel_tol=1e-9)


@pytest.mark.parametrize("change", [{"attn_mask": torch.randn(5, 5)}, {"scale": 3.0}])
def test_attention_that_is_something_else_is_not_followed(change: dict[str, Any]) -> None:
    class Changed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.all, self.out = lopsided(nn.Linear(8, 24)), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            heads = [part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.all(x).chunk(3, -1)]
            return self.out(F.scaled_dot_product_attention(heads[0], heads[1], heads[2], **change).transpose(1, 2).flatten(2))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), Changed(), Step(-1), nn.Linear(8, 4))
    told = isogain.check(model, (torch.randn(3, 5, 3), torch.tensor([0, 1, 2])), F.cross_entropy).flow["jacobian"]
    assert told["left_out"].endswith("(attention) cannot be followed for any direction")


@pytest.mark.parametrize("inner", [lambda: nn.ConvTranspose2d(3, 3, 3), lambda: nn.Conv2d(3, 3, 2, padding="same"), lambda: nn.AvgPool2d(2, padding=1)])
def test_what_cannot_be_followed_is_named(inner: Callable[[], nn.Module]) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), inner(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    batch = (torch.randn(3, 2, 8, 8), torch.tensor([0, 1, 2]))
    assert "cannot be followed" in isogain.check(model, batch, F.cross_entropy).flow["jacobian"]["left_out"]


class Pixels(nn.Module):
    """A class for each pixel, of images that are unlike each other."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        conv = lambda *size: nn.Conv2d(*size, 3, padding=1)
        self.body = nn.Sequential(conv(3, 32), norm, nn.ReLU(), conv(32, 32), nn.ReLU(), nn.Conv2d(32, 5, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("norm", [nn.Identity, lambda: nn.GroupNorm(4, 32), lambda: nn.InstanceNorm2d(32)])
def test_samples_of_the_loss_that_are_pixels_are_taken_by_whole_images(norm: Callable[[], nn.Module]) -> None:
    """Of a batch that is too dear as many images as are affordable say what a batch of these alone says."""
    torch.manual_seed(0)
    model = Pixels(norm())
    x, target = torch.randn(24, 3, 20, 20), torch.randint(0, 5, (24, 20, 20))
    told = isogain.check(model, (x, target), F.cross_entropy).flow["jacobian"]
    images = told["samples"] // 400
    assert told["samples"] % 400 == 0 and 0 < images < 24
    few = isogain.check(model, (x[:images], target[:images]), F.cross_entropy).flow["jacobian"]
    assert math.isclose(told["log_gain"], few["log_gain"], abs_tol=0.1)
    assert math.isclose(told["spread"], few["spread"], rel_tol=0.2)


def test_a_pool_in_front_of_a_class_for_each_pixel() -> None:
    conv = lambda *size: nn.Conv2d(*size, 3, padding=1)
    model = nn.Sequential(conv(3, 32), nn.MaxPool2d(2), conv(32, 32), nn.ReLU(), nn.Conv2d(32, 5, 1))
    told = isogain.check(model, (torch.randn(16, 3, 40, 40), torch.randint(0, 5, (16, 20, 20))), F.cross_entropy)
    assert told.flow["jacobian"]["samples"] % 400 == 0


def test_channels_are_followed_through_permutations() -> None:
    """As ConvNeXt writes a layer norm over channels."""

    class Permuted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    body = [Permuted(), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(nn.Conv2d(2, 4, 3), *body, nn.Linear(4, 3))
    flow = isogain.check(model, (torch.randn(4, 2, 8, 8), torch.tensor([0, 1, 2, 0])), F.cross_entropy).flow
    assert "left_out" not in flow["jacobian"], flow["jacobian"]


def test_the_mean_over_a_sequence_is_a_pool() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(-1)

    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 4, 3), nn.ReLU(), Mean(), nn.Linear(4, 3))
    told = isogain.check(model, (torch.randn(4, 2, 12), torch.tensor([0, 1, 2, 0])), F.cross_entropy).flow["jacobian"]
    assert math.isclose(told["from_positions"], -0.5 * math.log(10 / 8) - math.log(8), rel_tol=1e-9)


def test_what_no_layer_of_ours_is_does_not_stop_a_check() -> None:
    class Heads(nn.Module):
        """A matrix for each head."""

        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(3, 4, 4) / 2)

        def forward(self, x: Tensor) -> Tensor:
            return (x.view(len(x), 3, 1, 4) @ self.w).flatten(1)

    batch = (torch.randn(8, 12), torch.randint(0, 4, (8,)))
    assert isogain.check(nn.Sequential(nn.Linear(12, 12), Heads(), nn.ReLU(), nn.Linear(12, 4)), batch, F.cross_entropy).flow
    vector = (torch.randn(8), torch.tensor(1))
    assert isogain.check(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)), vector, F.cross_entropy).flow
    fractional = nn.Sequential(nn.Conv2d(1, 2, 3), nn.FractionalMaxPool2d(2, output_size=3), nn.Flatten(), nn.Linear(18, 4))
    assert isogain.check(fractional, (torch.randn(4, 1, 8, 8), torch.randint(0, 4, (4,))), F.cross_entropy).flow
    unbatched = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(0), nn.Linear(72, 4))
    with pytest.raises(ValueError, match="0: conv2d reads one sample without a batch axis"):
        isogain.check(unbatched, (torch.randn(1, 8, 8), torch.tensor(1)), F.cross_entropy)


def test_capped_logits_and_a_batch_of_one_are_no_illness() -> None:
    class Capped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return 30 * torch.tanh(self.b(torch.relu(self.a(x))) / 30)

    torch.manual_seed(0)
    assert not isogain.check(Capped(), (torch.randn(16, 8), torch.randint(0, 10, (16,))), F.cross_entropy).findings
    one = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    found = isogain.check(one, (torch.randn(1, 8), torch.tensor([1])), F.cross_entropy).findings
    assert "vanishing-activation" not in [finding.rule for finding in found]


class Mixed(nn.Module):
    """Positions that are mixed in one way or another."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner = kind, lopsided(nn.Linear(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        match self.kind:
            case "tokens":
                return x + self.inner(x.transpose(1, 2)).transpose(1, 2)
            case "transposed":
                return x + self.inner(x).transpose(1, 2)
            case "gated":
                return self.inner(x) * x.transpose(1, 2).sigmoid()
            case "neighbours":
                return (x + x.roll(1, 1) + x.roll(-1, 1)) / 3
            case _:
                return x.flip(1)


@pytest.mark.parametrize("kind", ["tokens", "transposed", "gated", "neighbours", "flipped"])
def test_positions_that_change_their_places_are_told_rightly_or_not_at_all(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), Mixed(kind), nn.Linear(8, 8), nn.Linear(8, 4))
    # All positions get the same cotangent, of which an order cannot be read.
    told = isogain.check(model, (torch.randn(3, 8, 3), torch.arange(3)), lambda o, y: F.cross_entropy(o.mean(1), y)).flow["jacobian"]
    assert "left_out" in told, told


def test_a_window_is_seen_where_positions_are_nearly_alike() -> None:
    class Window(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.all, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            at = torch.arange(x.shape[1])
            heads = [part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.all(x).chunk(3, -1)]
            near = (at[:, None] - at).abs() <= 2
            return self.out(F.scaled_dot_product_attention(*heads, attn_mask=near).transpose(1, 2).flatten(2))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), Window(), Step(-1), nn.Linear(8, 4))
    told = isogain.check(model, (1 + 0.02 * torch.randn(3, 12, 3), torch.arange(3)), F.cross_entropy).flow["jacobian"]
    assert told["left_out"].endswith("(attention) cannot be followed for any direction")


class Once(torch.autograd.Function):
    """Goes back a single time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.kept = [x]
        return x.sin()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * ctx.kept.pop().cos()


def test_gates_within_gates_and_functions_that_go_back_once_do_not_stop_a_check() -> None:
    class Gates(nn.Module):
        def __init__(self, depth: int) -> None:
            super().__init__()
            self.depth, self.one, self.other = depth, nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            if not self.depth:
                return Once.apply(self.one(x)) * self.other(x).sigmoid()
            whole = x
            for _ in range(self.depth):
                whole = whole.tanh() * x.sigmoid()
            return whole

    for depth in (0, 3, 60):
        model = nn.Sequential(nn.Linear(3, 8), Gates(depth), nn.Linear(8, 4))
        flow = isogain.check(model, (torch.randn(6, 3), torch.arange(6) % 4), F.cross_entropy).flow
        assert ("left_out" in flow["jacobian"]) is (depth != 3), flow["jacobian"]
