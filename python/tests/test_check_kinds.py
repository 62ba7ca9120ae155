"""The exact splits of every kind that the core knows, on real modules, against autograd and against loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import isogain
from isogain.surgery import treat
from test_check import chains

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture
def seeded() -> None:
    torch.manual_seed(0)


def flow_of(model: nn.Module, inputs: Any, loss: Any = lambda output: output.square().mean()) -> dict[str, Any]:
    """The chain rule taken apart; every part adds up, branches and projections included."""
    flow: dict[str, Any] = isogain.check(model, {"x": inputs} if isinstance(inputs, Tensor) else inputs, loss).flow
    every = flow["joints"] + flow["head"]["joints"]
    for chain in chains(every):
        for joint in chain:
            parts = sum(part["log_gain"] for part in joint["split"])
            assert math.isclose(parts, joint["log_gain"], rel_tol=1e-9, abs_tol=1e-9), joint["name"]
            if branch := joint.get("branch"):
                assert math.isclose(branch["skip_share"] + branch["branch_share"], 1.0, rel_tol=1e-9)
    total = sum(joint["log_gain"] for joint in flow["joints"])
    assert math.isclose(total, flow["total_log_gain"], rel_tol=1e-9, abs_tol=1e-9)
    return flow


def joints(flow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {joint["name"]: joint for chain in chains(flow["joints"] + flow["head"]["joints"]) for joint in chain}


def parts(joint: dict[str, Any]) -> dict[str, float]:
    return {part["cause"]: part["log_gain"] for part in joint["split"]}


class Around(nn.Module):
    """Something between two linear layers (or convolutions)."""

    def __init__(self, first: nn.Module, inner: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.first, self.inner, self.last = first, inner, last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(self.first(x)))


# -- norms --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "axes"),
    [
        (nn.GroupNorm(3, 12), None),
        (nn.InstanceNorm2d(12, affine=True), (2, 3)),
        (nn.LayerNorm([12, 5, 5]), (1, 2, 3)),
    ],
    ids=["group", "instance", "layer over three axes"],
)
@pytest.mark.parametrize("dense", [False, True], ids=["one label a sample", "one label a pixel"])
def test_norms(norm: nn.Module, axes: tuple[int, ...] | None, dense: bool) -> None:
    """gamma / sigma by hand; that a loss has many labels for each sample changes no statistic."""
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.uniform_(0.5, 2.0)
    model = Around(nn.Conv2d(3, 12, 3), norm, nn.Conv2d(12, 4, 1)).double()
    x = torch.randn(6, 3, 7, 7).double()
    labels = torch.randint(0, 4, (6, 5, 5) if dense else (6,))
    loss = lambda output, target: F.cross_entropy(output if dense else output.mean((2, 3)), target)
    found = isogain.check(model, (x, labels), loss).flow
    joint = joints(found)["inner"]
    assert joint["kind"] == "norm"
    z = model.first(x)
    y = norm(z)
    (g,) = torch.autograd.grad(loss(model.last(y), labels), y)
    if axes is None:
        groups = z.unflatten(1, (3, 4))
        sigma = (groups.var((2, 3, 4), correction=0, keepdim=True) + norm.eps).sqrt().expand_as(groups).flatten(1, 2)
    else:
        sigma = (z.var(axes, correction=0, keepdim=True) + norm.eps).sqrt()
    gamma = norm.weight if norm.weight.dim() == 3 else norm.weight[:, None, None]
    expected = math.log(float((g * gamma / sigma).square().mean().sqrt() / g.square().mean().sqrt()))
    assert parts(joint)["rescale"] == pytest.approx(expected, abs=1e-9)
    assert parts(joint)["projection"] == pytest.approx(joint["log_gain"] - expected, abs=1e-9)


# -- skips with a projection --------------------------------------------------------------------------------------------


class Down(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(6, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.down = nn.Sequential(nn.Conv2d(6, 8, 1, 2, bias=False), nn.BatchNorm2d(8))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        out += self.down(x)
        return F.relu(out, inplace=True)


def test_a_projection_beside_a_branch() -> None:
    model = Around(nn.Conv2d(3, 6, 3), Down(), nn.Conv2d(8, 4, 1)).double()
    x = torch.randn(4, 3, 9, 9).double()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = joints(flow_of(model, x))
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    block = found["inner"]
    assert block["kind"] == "residual"
    assert [joint["kind"] for joint in block["branch"]["joints"]] == ["convolution", "norm", "activation", "convolution", "norm"]
    assert [joint["kind"] for joint in block["branch"]["shortcut"]] == ["convolution", "norm"]
    z = model.first(x).detach().requires_grad_()
    sides = model.inner.bn2(model.inner.conv2(F.relu(model.inner.bn1(model.inner.conv1(z))))), model.inner.down(z)
    out = sides[0] + sides[1]
    (g,) = torch.autograd.grad(model.last(F.relu(out)).square().mean(), out, retain_graph=True)
    b, s = (torch.autograd.grad(side, z, g, retain_graph=True)[0] for side in sides)
    total = b + s
    energy = float((total * total).sum())
    assert block["branch"]["branch_share"] == pytest.approx(float((b * total).sum()) / energy, rel=1e-9)
    assert block["branch"]["ratio"] == pytest.approx(float(b.norm() / s.norm()), rel=1e-9)
    inside = sum(joint["log_gain"] for joint in block["branch"]["joints"])
    assert inside == pytest.approx(math.log(float(b.square().mean().sqrt() / g.square().mean().sqrt())), abs=1e-9)
    past = sum(joint["log_gain"] for joint in block["branch"]["shortcut"])
    assert past == pytest.approx(math.log(float(s.square().mean().sqrt() / g.square().mean().sqrt())), abs=1e-9)


# -- attention ----------------------------------------------------------------------------------------------------------


class Self(nn.Module):
    """PyTorch's own module."""

    def __init__(self, weights: bool) -> None:
        super().__init__()
        self.mha, self.weights = nn.MultiheadAttention(24, 4, batch_first=True), weights

    def forward(self, x: Tensor) -> Tensor:
        return self.mha(x, x, x, need_weights=self.weights)[0]


class Packed(nn.Module):
    """Queries, keys and values in one projection, masked and written out."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(24, 72), nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (4, 6)).transpose(1, 2) for part in self.qkv(x).split(24, -1))
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(6)
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), float("-inf"))
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))


class Grouped(nn.Module):
    """A projection each, turned queries and keys, two heads of keys and values for four of queries."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = nn.Linear(24, 24), nn.Linear(24, 12), nn.Linear(24, 12), nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (-1, 6)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        angle = torch.arange(x.shape[1]).to(x.dtype)[:, None]
        turn = lambda t: t * angle.cos() + torch.cat([-t[..., 3:], t[..., :3]], -1) * angle.sin()
        k, v = (part.repeat_interleave(2, 1) for part in (turn(k), v))
        mixed = F.scaled_dot_product_attention(turn(q), k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(-2))


ATTENTIONS = {"module": lambda: Self(False), "module with weights": lambda: Self(True), "packed": Packed, "grouped": Grouped}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention(name: str) -> None:
    """Energies of what goes back through values, queries and keys, by hooks on the projections."""
    model = Around(nn.Linear(8, 24), ATTENTIONS[name](), nn.Linear(24, 5)).double()
    x = 3.0 * torch.randn(3, 7, 8).double()
    found = joints(flow_of(model, x))
    joint = next(joint for joint in found.values() if joint["kind"] == "attention")
    energies: dict[str, float] = {}
    inner = model.inner
    if name == "grouped":
        layers = {"query": (inner.q, slice(None)), "key": (inner.k, slice(None)), "value": (inner.v, slice(None))}
    elif name == "packed":
        layers = {part: (inner.qkv, slice(24 * at, 24 * at + 24)) for at, part in enumerate(("query", "key", "value"))}
    else:
        layers = {}
    outputs: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _m, _a, out, part=part, columns=columns: outputs.__setitem__(part, (out, columns)))
        for part, (layer, columns) in layers.items()
    ]
    loss = model(x).square().mean()
    for part, (out, columns) in outputs.items():
        (g,) = torch.autograd.grad(loss, out, retain_graph=True)
        energies[part] = float(g[..., columns].square().sum())
    for hook in hooks:
        hook.remove()
    if not energies:
        # The bias of the packed projection is added to each row: its gradient by row is that of queries, keys and values.
        x_in = model.first(x).detach()
        rows = (x_in @ inner.mha.in_proj_weight.T + inner.mha.in_proj_bias).detach().requires_grad_()
        q, k, v = (part.unflatten(-1, (4, 6)).transpose(1, 2) for part in rows.chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)
        (g,) = torch.autograd.grad(model.last(inner.mha.out_proj(mixed)).square().mean(), rows)
        energies = {part: float(h.square().sum()) for part, h in zip(("query", "key", "value"), g.chunk(3, -1), strict=True)}
    split = parts(joint)
    assert split["query-path"] == pytest.approx(0.5 * math.log1p(energies["query"] / energies["value"]), abs=1e-9)
    assert split["key-path"] == pytest.approx(0.5 * math.log1p(energies["key"] / (energies["value"] + energies["query"])), abs=1e-9)
    assert split["query-path"] > 0.001, "queries carry something here"


def test_how_attention_spreads_is_measured_the_same_way_written_out_or_fused() -> None:
    """The same weights in two ways of writing: entropy and logits by hand."""
    model = Around(nn.Linear(8, 24), Packed(), nn.Linear(24, 5)).double()
    x = torch.randn(3, 7, 8).double()
    written = isogain.check(model, {"x": x}, lambda output: output.square().mean())

    def fused(x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (4, 6)).transpose(1, 2) for part in model.inner.qkv(x).split(24, -1))
        return model.inner.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2))

    model.inner.forward = fused  # type: ignore[method-assign]
    other = isogain.check(model, {"x": x}, lambda output: output.square().mean())
    details = [next(j["detail"] for j in report.snapshot["joints"] if "attention" in (j.get("detail") or {})) for report in (written, other)]
    q, k, _ = (part.unflatten(-1, (4, 6)).transpose(1, 2) for part in model.inner.qkv(model.first(x)).split(24, -1))
    logits = (q @ k.transpose(-2, -1)) / math.sqrt(6)
    seen = torch.ones(7, 7, dtype=torch.bool).tril()
    weights = logits.masked_fill(~seen, float("-inf")).softmax(-1)
    entropy = -torch.xlogy(weights, weights).sum(-1)[..., 1:] / seen.sum(-1)[1:].double().log()
    means = (logits * seen).sum(-1, keepdim=True) / seen.sum(-1, keepdim=True)
    apart = ((logits - means) * seen).square().sum() / (seen.sum() * 12)
    for detail in details:
        assert detail["attention"]["entropy"] == pytest.approx(float(entropy.mean()), rel=1e-6)
        assert detail["attention"]["logit_rms"] == pytest.approx(float(apart.sqrt()), rel=1e-6)
        assert detail["attention"]["largest_logit"] == pytest.approx(float((logits * seen).abs().max()), rel=1e-6)


def test_attention_that_looks_at_one_position_is_found() -> None:
    model = Around(nn.Linear(8, 24), Packed(), nn.Linear(24, 5))
    with torch.no_grad():
        model.inner.qkv.weight[:48].mul_(12.0)
    found = isogain.check(model, {"x": 3.0 * torch.randn(8, 16, 8)}, lambda output: output.square().mean()).findings
    rules = [finding["rule"] for finding in found] + [c["rule"] for finding in found for c in finding.get("consequences", [])]
    assert "attention-entropy-collapse" in rules, rules


@pytest.mark.parametrize("name", ["module", "packed"])
def test_weights_are_divided_where_attention_looks_at_one_position(name: str) -> None:
    """sigma-Reparam, whatever reads the weights; what is then found is not the attention, nor a gradient that breaks a law."""
    model = Around(nn.Linear(8, 24), ATTENTIONS[name](), nn.Linear(24, 5))
    queries_and_keys = model.inner.qkv.weight if name == "packed" else model.inner.mha.in_proj_weight
    with torch.no_grad():
        queries_and_keys[:48].mul_(12.0)
    batch = {"x": 3.0 * torch.randn(8, 16, 8)}
    loss = lambda output: output.square().mean()
    report = isogain.check(model, batch, loss)
    (changes,) = [each["changes"] for each in report.prescriptions if each["remedies"] == ["sigma-reparam"]]
    assert changes == {"weight_norm": "spectral"}
    assert not any(each["remedies"] == ["spectral-norm"] for each in report.prescriptions)
    found = isogain.check(treat(model, changes, batch=batch).model, batch, loss).findings
    rules = {finding["rule"] for finding in found} | {c["rule"] for finding in found for c in finding.get("consequences", [])}
    assert not rules & {"attention-entropy-collapse", "logit-growth", "inconsistent-gradient"}, rules


# -- through time -------------------------------------------------------------------------------------------------------


class Reads(nn.Module):
    """A classifier of sequences, by the sequence's last position or by the last states."""

    def __init__(self, kind: type[nn.RNNBase], layers: int, reads: str, **settings: Any) -> None:
        super().__init__()
        self.rnn, self.reads = kind(6, 5, layers, batch_first=True, **settings), reads
        self.head = nn.Linear(10 if self.rnn.bidirectional else 5, 4)

    def forward(self, x: Tensor) -> Tensor:
        output, state = self.rnn(x)
        if self.reads == "sequence":
            return self.head(output).mean(1)
        last = state[0] if isinstance(state, tuple) else state
        return self.head(torch.cat([last[-2], last[-1]], -1) if self.rnn.bidirectional else last[-1])


CELLS = {nn.RNN: nn.RNNCell, nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell}


@pytest.mark.parametrize("reads", ["sequence", "state"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", CELLS)
def test_recurrent_layers(kind: type[nn.RNNBase], layers: int, reads: str) -> None:
    """A loop over PyTorch's cells has autograd edges at every step and between layers."""
    model = Reads(kind, layers, reads).double()
    x, labels = torch.randn(4, 7, 6).double(), torch.arange(4)
    found = joints(isogain.check(model, (x, labels), F.cross_entropy).flow)
    names = ["rnn"] if layers == 1 else ["rnn.l0", "rnn.l1"]
    assert [found[name]["kind"] for name in names] == ["recurrent"] * layers
    states: list[list[tuple[Tensor, ...]]] = []
    sequence = list(x.unbind(1))
    for layer in range(layers):
        cell = CELLS[kind](6 if layer == 0 else 5, 5).double()
        for name, parameter in cell.named_parameters():
            parameter.data = getattr(model.rnn, f"{name}_l{layer}").data
        start = torch.zeros(4, 5).double().requires_grad_()
        state: Any = (start, torch.zeros(4, 5).double().requires_grad_()) if kind is nn.LSTM else start
        states.append([])
        for at, step in enumerate(sequence):
            state = cell(step, state)
            states[-1].append(state if isinstance(state, tuple) else (state,))
            sequence[at] = states[-1][-1][0]
    top = torch.stack(sequence, 1)
    logits = model.head(top).mean(1) if reads == "sequence" else model.head(top[:, -1])
    flat = [part for layer in states for step in layer for part in step]
    gradients = iter(torch.autograd.grad(F.cross_entropy(logits, labels), flat, allow_unused=True))
    for name, layer in zip(names, states, strict=True):
        joint = found[name]
        expected = []
        for step in layer:
            both = [g if (g := next(gradients)) is not None else torch.zeros_like(part) for part in step]
            expected.append(4 * float(torch.cat(both, -1).square().mean().sqrt()))
        assert joint["states"] == pytest.approx(expected, rel=1e-9)
        assert sum(path["share"] for path in joint["paths"]) == pytest.approx(1.0, abs=1e-9)
        assert joint["log_gain"] is not None
    ways = [path["path"] for path in found[names[0]]["paths"]]
    expected_ways = {nn.RNN: ["state"], nn.LSTM: ["input", "forget", "candidate", "output", "cell"], nn.GRU: ["reset", "update", "candidate", "carry"]}
    assert ways == expected_ways[kind]
    flow_of(model, {"x": x})


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("settings", [{"bidirectional": True}, {"dropout": 0.4}, {"bias": False}], ids=str)
def test_recurrent_layers_of_every_make(kind: type[nn.RNNBase], settings: dict[str, Any]) -> None:
    """The ways back make up all that the recurrence carries; of a layer's own cotangent they leave what is read outside."""
    for reads in ("sequence", "state"):
        found = joints(flow_of(Reads(kind, 2, reads, **settings).double(), torch.randn(4, 7, 6).double()))
        for name in ("rnn.l0", "rnn.l1"):
            assert found[name]["kind"] == "recurrent" and len(found[name]["states"]) == 7, found.keys()
            assert sum(path["share"] for path in found[name]["paths"]) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("settings", [{}, {"bidirectional": True}], ids=str)
def test_an_orthogonal_recurrence_returns_the_gradient_as_it_was(settings: dict[str, Any]) -> None:
    """Where tanh is linear, which it is of inputs near 0."""
    model = Reads(nn.RNN, 2, "state", **settings).double()
    for name, parameter in model.rnn.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
    x = 1e-5 * torch.randn(4, 7, 6).double()
    before = joints(flow_of(model, x))["rnn.l1"]["states"]
    treated = treat(model, {"weight_norm": "orthogonal(gain = 1.0)"}, batch=x).model
    after = joints(flow_of(treated, x))["rnn.l1"]["states"]
    assert after == pytest.approx([after[-1]] * 7, rel=1e-8)
    assert before != pytest.approx([before[-1]] * 7, rel=0.1)


def test_orthogonal_weights_are_offered_to_a_plain_recurrence_that_forgets() -> None:
    x, labels = torch.randn(4, 60, 6), torch.arange(4)

    def offered(model: nn.Module) -> list[Any]:
        report = isogain.check(model, (x, labels), F.cross_entropy)
        return [each["changes"] for each in report.prescriptions if each["remedies"] == ["keep-orthogonal"]]

    forgets = Reads(nn.RNN, 1, "state")
    (changes,) = offered(forgets)
    assert list(changes) == ["weight_norm"] and changes["weight_norm"].startswith("orthogonal(gain = ")
    treated = treat(forgets, changes, batch=(x, labels))
    assert treated.diff == ["rnn: RNN keeps its weights from state to state orthogonal"]
    assert offered(Reads(nn.LSTM, 1, "state")) == []


def test_dropout_between_layers_is_that_of_the_call() -> None:
    """With other masks the cotangent of the first layer would be another one: it is what autograd finds with the masks drawn
    from the same state of the generator."""
    model = Reads(nn.LSTM, 2, "sequence", dropout=0.5).double()
    x = torch.randn(4, 7, 6).double()
    torch.manual_seed(3)
    found = joints(flow_of(model, x))
    one, two = (nn.LSTM(6 if at == 0 else 5, 5, batch_first=True).double() for at in range(2))
    for at, layer in enumerate((one, two)):
        for name, _ in list(layer.named_parameters()):
            getattr(layer, name).data = getattr(model.rnn, name.replace("_l0", f"_l{at}")).data
    torch.manual_seed(3)
    middle = one(x)[0].detach().requires_grad_()
    kept = F.dropout(middle.transpose(0, 1), 0.5).transpose(0, 1)
    (g,) = torch.autograd.grad(model.head(two(kept)[0]).mean(1).square().mean(), middle)
    assert found["rnn.l0"]["cotangent_rms"] == pytest.approx(4 * float(g.square().mean().sqrt()), rel=1e-9)


def test_a_gate_that_closes_is_named() -> None:
    """A forget gate of bias -4 forgets at once."""
    model = Reads(nn.LSTM, 1, "state")
    with torch.no_grad():
        model.rnn.bias_ih_l0[5:10] = -4.0
    found = isogain.check(model, (torch.randn(16, 60, 6), torch.arange(16) % 4), F.cross_entropy).findings
    rules = [finding["rule"] for finding in found] + [c["rule"] for finding in found for c in finding.get("consequences", [])]
    assert "forget-gate-closed" in rules, rules


def test_what_cannot_be_repeated_is_shown_whole_and_named() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(6, 5, proj_size=3, batch_first=True), nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    found = joints(flow_of(Cut(), torch.randn(4, 7, 6)))
    assert found["rnn"]["kind"] == "module"
    assert parts(found["rnn"]).keys() == {"whole"}
