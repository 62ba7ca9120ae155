"""`isogain.check` on real modules: named rightly, closed exactly, and nothing left behind."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import isogain
from twins import TWINS, Block, classes, drawn, he, images, mlp, residual, vgg_like


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def chains(joints: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The chain and those of its branches."""
    inner = [joint["branch"]["joints"] for joint in joints if joint.get("branch")]
    return [joints, *(found for branch in inner for found in chains(branch))]


@pytest.mark.parametrize("name", TWINS)
def test_twins(name: str) -> None:
    twins = TWINS[name]
    ill = twins.ill()
    found = isogain.check(ill.model, ill.batch, ill.loss, optimizer=ill.optimizer).findings
    assert found, "nothing found"
    named = [finding["rule"] for finding in found if finding["level"] != "note"]
    assert named[0] == twins.rule, found
    torch.manual_seed(0)
    healthy = twins.healthy()
    report = isogain.check(healthy.model, healthy.batch, healthy.loss, optimizer=healthy.optimizer)
    assert not report.errors, report.errors


MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "mlp": lambda: (mlp(6), classes()),
    "vgg-like": lambda: (drawn(vgg_like(), he), images()),
    "residual": lambda: (residual(lambda: Block(0.2), 6), classes()),
    "batch norm": lambda: (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(1568, 10)), images()),
    "sandwich": lambda: (nn.Sequential(nn.Linear(64, 16), *(Sandwich() for _ in range(4)), nn.Linear(16, 10)), classes()),
    "encoder": lambda: (Encoder(), (torch.randint(0, 50, (4, 12)), torch.randint(0, 10, (4,)))),
}


class Sandwich(nn.Module):
    """A branch with a norm at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16), nn.LayerNorm(16))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Encoder(nn.Module):
    """A small text classifier, pre-norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layers(self.embed(tokens)).mean(1))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("double", [False, True])
def test_parts_add_up(name: str, double: bool) -> None:
    model, (inputs, targets) = MODELS[name]()
    if double:
        model, inputs = model.double(), inputs.double() if inputs.is_floating_point() else inputs
    flow = isogain.check(model, (inputs, targets), F.cross_entropy).flow
    total = sum(joint["log_gain"] for joint in flow["joints"])
    assert math.isclose(total, flow["total_log_gain"], rel_tol=1e-9, abs_tol=1e-9)
    for chain in chains(flow["joints"]) + chains(flow["head"]["joints"]):
        for joint in chain:
            parts = sum(part["log_gain"] for part in joint["split"])
            assert math.isclose(parts, joint["log_gain"], rel_tol=1e-9, abs_tol=1e-9), joint["name"]
            if branch := joint.get("branch"):
                assert math.isclose(branch["skip_share"] + branch["branch_share"], 1.0, rel_tol=1e-9)
                inside = sum(inner["log_gain"] for inner in branch["joints"])
                assert math.isclose(inside, math.log(branch["ratio"]), rel_tol=1e-5, abs_tol=1e-5), joint["name"]


def test_cotangents_are_those_of_autograd() -> None:
    model, (inputs, targets) = mlp(3), classes()
    flow = isogain.check(model, (inputs, targets), F.cross_entropy).flow
    tensors = [inputs.clone().requires_grad_()]
    for layer in model:
        tensors.append(layer(tensors[-1]))
    gradients = torch.autograd.grad(F.cross_entropy(tensors[-1], targets), tensors)
    rms = [float(g.double().square().mean().sqrt()) * 64 for g in gradients]
    for index, joint in enumerate(flow["joints"]):
        assert math.isclose(joint["cotangent_in_rms"], rms[index], rel_tol=1e-6)
        assert math.isclose(joint["cotangent_rms"], rms[index + 1], rel_tol=1e-6)
        assert math.isclose(joint["activation_rms"], float(tensors[index + 1].detach().double().square().mean().sqrt()), rel_tol=1e-6)


def everything(model: nn.Module) -> list[Any]:
    state = [(name, tensor.clone()) for name, tensor in model.state_dict().items()]
    grads = [(name, None if p.grad is None else p.grad.clone()) for name, p in model.named_parameters()]
    modes = [(name, module.training, len(module._forward_hooks), len(module._forward_pre_hooks)) for name, module in model.named_modules()]
    return [state, grads, modes, torch.get_rng_state()]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_found(name: str, training: bool) -> None:
    model, (inputs, targets) = MODELS[name]()
    model.train(training)
    F.cross_entropy(model(inputs), targets).backward()
    before, data = everything(model), inputs.clone()
    isogain.check(model, (inputs, targets), F.cross_entropy)
    assert same(before, everything(model))
    assert torch.equal(inputs, data) and not inputs.requires_grad
    with pytest.raises(RuntimeError, match="deliberate"):
        isogain.check(model, (inputs, targets), lambda *_: (_ for _ in ()).throw(RuntimeError("deliberate")))
    assert same(before, everything(model))


@pytest.mark.parametrize("name", ["mlp", "residual", "encoder"])
def test_full_backward_hooks_change_nothing_and_see_the_gradient(name: str) -> None:
    model, batch = MODELS[name]()
    plain = isogain.check(model, batch, nn.CrossEntropyLoss()).data
    seen: list[nn.Module] = []
    # Behind a hook of its own, attention takes query, key and value for three tensors, and multiplies apart.
    for module in (module for module in model.modules() if not isinstance(module, nn.MultiheadAttention)):
        module.register_full_backward_hook(lambda module, *_: seen.append(module))
        module.register_full_backward_pre_hook(lambda *_: None)
    assert isogain.check(model, batch, nn.CrossEntropyLoss()).data == plain
    assert model in seen


def test_a_custom_function_that_gives_back_its_input() -> None:
    class Same(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, x: Tensor) -> Tensor:
            return x

        @staticmethod
        def backward(_: Any, cotangent: Tensor) -> Tensor:
            return 0.5 * cotangent

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(Same.apply(self.first(x)))

    joints = isogain.check(Model(), classes(), nn.CrossEntropyLoss()).flow["joints"]
    assert "Same" in json.dumps(joints)


def test_in_place_activations_are_read_before_they_are_overwritten() -> None:
    layers = [nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.LeakyReLU(0.1), nn.Linear(32, 10)]
    plain = nn.Sequential(*layers)
    in_place = copy.deepcopy(plain)
    in_place[1].inplace = in_place[3].inplace = True
    batch = classes()
    one, other = (isogain.check(model, batch, F.cross_entropy).data["flow"] for model in (plain, in_place))
    assert one == other


def test_residual_blocks_are_seen() -> None:
    flow = isogain.check(residual(lambda: Block(0.2), 5), classes(), F.cross_entropy).flow
    kinds = [joint["kind"] for joint in flow["joints"]]
    assert kinds == ["linear"] + ["residual"] * 5
    inner = [joint["kind"] for joint in flow["joints"][1]["branch"]["joints"]]
    assert inner == ["activation", "linear", "activation", "linear", "operation"]


def test_what_single_factors_would_change() -> None:
    told = isogain.check(mlp(6), classes(), F.cross_entropy).flow["counterfactual"]
    assert [factor["factor"] for factor in told["factors"]] == ["head", "slopes", "weights"]
    assert math.isclose(sum(factor["share"] for factor in told["factors"]), told["together"], rel_tol=1e-9)
    flow = isogain.check(residual(lambda: Block(0.2), 6), classes(), F.cross_entropy).flow
    assert [factor["factor"] for factor in flow["counterfactual"]["factors"]][-1] == "skips"
    assert any(abs(pair["log_gain"]) > 1e-3 for pair in flow["counterfactual"]["interactions"])
    paths = flow["path_lengths"]
    assert paths["branches"] == 6 and math.isclose(sum(paths["energy"]), 1.0, rel_tol=1e-9)


def test_kinds_of_illness_are_told_apart() -> None:
    report = isogain.check(mlp(30), classes(), F.cross_entropy)
    verdicts = {told["kind"]: told["verdict"] for told in report.differential}
    assert list(verdicts) == ["scale", "spread", "shatter", "cancel", "precision"]
    assert verdicts["scale"] == "holds" and verdicts["shatter"] == "clear"
    jacobian = report.flow["jacobian"]
    # PyTorch's default: a third of the mean square in each weight, half of it in each ReLU.
    expected = 0.5 * (30 * math.log(1 / 2) + 29 * math.log(1 / 3))
    assert math.isclose(jacobian["log_gain"], expected, rel_tol=0.1) and len(jacobian["layers"]) == 30


def test_what_it_does_not_know_is_shown_whole_and_named() -> None:
    class Unknown(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Bilinear(8, 8, 16)
            self.head = nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.sin(self.mix(x, x)))

    flow = isogain.check(Unknown(), (torch.randn(8, 8), torch.arange(8)), F.cross_entropy).flow
    found = {joint["name"]: joint["kind"] for joint in flow["joints"]}
    assert found == {"mix": "module", "sin": "operation"}
    assert all(part["cause"] == "whole" for joint in flow["joints"] for part in joint["split"])


class LastStep(nn.Module):
    """A classifier of sequences by the last state."""

    def __init__(self, kind: type[nn.RNNBase], layers: int = 1) -> None:
        super().__init__()
        self.rnn = kind(8, 16, layers, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def test_a_recurrent_network_that_forgets() -> None:
    batch = torch.randn(16, 200, 8), torch.arange(16) % 10
    (finding,) = isogain.check(LastStep(nn.RNN), batch, F.cross_entropy).findings
    assert (finding["rule"], finding["layers"]) == ("vanishing-through-time", ["rnn", "rnn"])
    assert "of the 200 time steps of rnn" in finding["message"]
    orthogonal = LastStep(nn.RNN)
    nn.init.orthogonal_(orthogonal.rnn.weight_hh_l0)
    with torch.no_grad():
        orthogonal.rnn.weight_ih_l0.mul_(0.05)
        orthogonal.rnn.bias_ih_l0.zero_()
        orthogonal.rnn.bias_hh_l0.zero_()
    assert isogain.check(orthogonal, batch, F.cross_entropy).ok


def test_any_output_and_any_loss() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.a, self.b = mlp(2), nn.Linear(10, 3), nn.Linear(10, 1)

        def forward(self, x: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
            hidden = self.body(scale * x)
            return {"a": self.a(hidden), "b": self.b(hidden)}

    inputs = torch.randn(16, 64)
    loss = lambda out: out["a"].square().mean() + out["b"].abs().mean()
    report = isogain.check(Two(), {"x": inputs, "scale": 0.5}, loss)
    assert report.data["recipe"]["data"]["source"] == "Two"
    assert [j["kind"] for j in report.flow["joints"] + report.flow["head"]["joints"]].count("linear") == 3


def test_frozen_parameters_and_evaluation_mode() -> None:
    model = mlp(3)
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    report = isogain.check(model.eval(), classes(), F.cross_entropy)
    assert report.ok, report.findings


def test_half_precision_models() -> None:
    model, (inputs, targets) = drawn(mlp(3), he).bfloat16(), classes()
    assert not isogain.check(model, (inputs.bfloat16(), targets), F.cross_entropy).errors
    with torch.autocast("cpu", torch.bfloat16):
        assert not isogain.check(drawn(mlp(3), he), classes(), F.cross_entropy).errors


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_models(reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = mlp(2, outputs=64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(checkpoint(self.body, x, use_reentrant=reentrant))

    model, batch = Checkpointed(), classes()
    before = everything(model)
    flow = isogain.check(model, batch, F.cross_entropy).flow
    assert same(before, everything(model))
    plain = nn.Sequential(*model.body, model.head)
    expected = isogain.check(plain, batch, F.cross_entropy).flow
    assert flow["total_log_gain"] == pytest.approx(expected["total_log_gain"], rel=1e-6)
    of_head = {weight["name"]: weight["log_norm"] for weight in flow["weights"]}["head"]
    assert of_head == pytest.approx(expected["weights"][-1]["log_norm"], rel=1e-6)


def test_weights_without_a_module() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.ParameterList([nn.Parameter(0.02 * torch.randn(64, 64)) for _ in range(12)])
            self.out = nn.Parameter(0.1 * torch.randn(64, 10))

        def forward(self, x: Tensor) -> Tensor:
            for weight in self.hidden:
                x = torch.tanh(x @ weight)
            return x @ self.out

    report = isogain.check(Bare(), classes(), F.cross_entropy)
    assert report.errors[0]["rule"] == "vanishing-activation"
    assert report.errors[0]["layers"] == ["hidden.0", "hidden.11"]
    assert report.errors[0]["theory"].startswith("fixed-variance + tanh: x0.16")


def test_wrapped_models() -> None:
    model, batch = mlp(4), classes()
    expected = isogain.check(model, batch, F.cross_entropy).data["flow"]
    assert isogain.check(torch.compile(model, backend="eager"), batch, F.cross_entropy).data["flow"] == expected


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda out, _: out, r"the loss must be one number; loss_fn returned a tensor of shape \[64, 10\]"),
        (lambda out, _: 3.0, "the loss must be a tensor of one number; loss_fn returned a float"),
        (lambda out, _: out.detach().sum(), "depends on no parameter"),
        (None, "no loss_fn was given"),
    ],
)
def test_losses_that_cannot_be_used(loss: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        isogain.check(mlp(2), classes(), loss)


def test_models_that_cannot_be_checked() -> None:
    batch = classes()
    with pytest.raises(TypeError, match="needs a torch.nn.Module; this is a function"):
        isogain.check(lambda x: x, batch, F.cross_entropy)
    with pytest.raises(ValueError, match="parameters without values"):
        isogain.check(nn.Linear(64, 10, device="meta"), batch, F.cross_entropy)
    with pytest.raises(ValueError, match="the batch is empty"):
        isogain.check(mlp(2), (batch[0][:0], batch[1][:0]), F.cross_entropy)
    with torch.inference_mode(), pytest.raises(ValueError, match="outside of torch.inference_mode"):
        isogain.check(mlp(2), batch, F.cross_entropy)


def test_arguments_are_looked_at_first() -> None:
    model, other = mlp(2), mlp(2)

    def check(**options: Any) -> Any:
        return isogain.check(model, classes(), lambda *_: pytest.fail("the model ran"), **options)

    for name, least in {"steps": 1, "seed": 0}.items():
        with pytest.raises(ValueError, match=f"{name} is {least - 1}; it must be at least {least}"):
            check(**{name: least - 1})
        with pytest.raises(TypeError, match=f"{name} is 1.5; it must be an int"):
            check(**{name: 1.5})
    for optimizer in ("adam", torch.optim.Adam):
        with pytest.raises(TypeError, match=r"such as torch.optim.Adam\(model.parameters\(\)\)"):
            check(optimizer=optimizer)
    with pytest.raises(ValueError, match="the optimizer moves no parameter of this model"):
        check(optimizer=torch.optim.Adam(other.parameters()))


def test_adafactor_is_adaptive_with_the_eps_of_its_gradients() -> None:
    model = mlp(2)
    for eps, expected in {(None, 1e-3): torch.finfo(torch.float32).eps, (1e-30, 1e-3): 1e-30}.items():
        optimizer = torch.optim.Adafactor(model.parameters(), lr=0.02, eps=eps)
        told = isogain.check(model, classes(), F.cross_entropy, optimizer=optimizer).data["recipe"]["optimizer"]
        assert (told["name"], told["learning_rate"]) == ("adam", 0.02)
        assert told["eps"] == pytest.approx(expected)
    optimizer.param_groups[0]["lr"] = None  # as that of transformers has it, whose first steps are of 0.01
    assert isogain.check(model, classes(), F.cross_entropy, optimizer=optimizer).data["recipe"]["optimizer"]["learning_rate"] == 0.01


def test_a_batch_of_three_parts_is_explained() -> None:
    with pytest.raises(ValueError, match=r"Several inputs go into a tuple: \(\(a, b\), targets\)"):
        isogain.check(mlp(2), (1, 2, 3), F.cross_entropy)


def test_every_format(tmp_path: Any) -> None:
    report = isogain.check(mlp(30), classes(), F.cross_entropy)
    assert str(report).startswith("error[vanishing-gradient]: ")
    assert "weights too small x0.5" in str(report)
    assert repr(report) == "<isogain.Report of Sequential: 1 error>"
    assert json.loads(report.save(tmp_path / "r.json").read_text())["schema"] == "isogain-check/1"
    assert report.save(tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert "srcdoc=" in report._repr_html_()
    assert report.prescriptions[0]["remedies"] == ["rescale-init"]
    assert report.prescriptions[0]["changes"] == {"init": "he-normal"}
    assert report.limits["trainable_depth"] < 10
    with pytest.raises(ValueError, match="unknown format 'xml'"):
        report.render("xml")


def test_import_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    code = "import sys; sys.modules['torch'] = None; import isogain; print(isogain.__version__); isogain.check"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() and "isogain.check needs PyTorch" in ran.stderr


def test_help_is_a_call_and_no_command() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[part for _ in range(20) for part in (nn.Linear(32, 32), nn.Sigmoid())], nn.Linear(32, 10))
    batch = (torch.randn(64, 32), torch.randint(0, 10, (64,)))
    text = str(isogain.check(model, batch, nn.functional.cross_entropy))
    assert "`isogain.cure(build_model, data, loss_fn)`" in text
    assert "isogain cure" not in text


def rehearsed(optimizer: Callable[[Any], torch.optim.Optimizer], seed: int = 0) -> isogain.Report:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
    data = torch.randn(128, 32), torch.randint(0, 10, (128,))
    before = [parameter.clone() for parameter in model.parameters()]
    made = optimizer(model.parameters())
    report = isogain.check(model, data, nn.CrossEntropyLoss(), optimizer=made)
    assert all(map(torch.equal, before, model.parameters())) and not made.state
    return report


def levels(report: isogain.Report) -> dict[str, str]:
    return {finding["rule"]: finding["level"] for finding in report.findings}


def test_a_learning_rate_is_tried_on_a_copy() -> None:
    for usable in (lambda p: torch.optim.SGD(p, 0.1), lambda p: torch.optim.Adam(p, 1e-3)):
        assert "learning-rate-too-high" not in levels(rehearsed(usable))
    assert levels(rehearsed(lambda p: torch.optim.SGD(p, 100.0)))["learning-rate-too-high"] == "error"
    assert "learning-rate-too-high" in levels(rehearsed(lambda p: torch.optim.Adam(p, 1.0)))


def test_a_rise_that_is_over_is_a_note() -> None:
    """Thirty residual blocks as PyTorch draws them jump at Adam's first step and learn the batch all the same."""

    class Block(nn.Sequential):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return input + super().forward(input)

    torch.manual_seed(0)
    blocks = [Block(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(30)]
    model = nn.Sequential(nn.Linear(32, 64), *blocks, nn.Linear(64, 4))
    data = torch.randn(64, 32), torch.randint(0, 4, (64,))
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    report = isogain.check(model, data, nn.CrossEntropyLoss(), optimizer=optimizer)
    assert levels(report) == {"learning-rate-too-high": "note"} and report.ok
    assert "and falls all the same" in report.findings[0]["message"]


def test_ways_side_by_side_are_judged_by_their_parameters() -> None:
    def tower(depth: int) -> nn.Sequential:
        return nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(32, 32), nn.ReLU())))

    class Towers(nn.Module):
        def __init__(self, depth: int) -> None:
            super().__init__()
            self.a, self.b, self.head = tower(depth), tower(depth), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.cat([self.a(x), self.b(x.flip(1))], 1))

    data = torch.randn(128, 32), torch.randint(0, 10, (128,))
    assert isogain.check(Towers(3), data, nn.CrossEntropyLoss()).ok
    deep = isogain.check(Towers(25), data, nn.CrossEntropyLoss())
    assert levels(deep)["vanishing-gradient"] == "error" and "side by side" in str(deep)


def test_what_looks_like_a_large_loss_and_is_none() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 2))
    rare = torch.randn(2000, 32), (torch.arange(2000) < 15).long()
    for loss in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(reduction="sum"), lambda o, _: -o.softmax(1)[:, 0].mean()):
        assert isogain.check(model, rare, loss).ok


def test_heads_side_by_side_are_no_blocked_output() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.a, self.b = nn.Sequential(nn.Linear(32, 64), nn.ReLU()), nn.Linear(64, 10), nn.Linear(64, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            hidden = self.trunk(x)
            return self.a(hidden), self.b(hidden)

    data = torch.randn(128, 32), torch.randint(0, 10, (128,))
    assert isogain.check(Heads(), data, lambda out, y: F.cross_entropy(out[0], y) + out[1].square().mean()).ok


def test_a_softmax_before_cross_entropy_is_one_too_many() -> None:
    data = torch.randn(128, 32), torch.randint(0, 10, (128,))
    for function, is_wrong in ((nn.Softmax(1), True), (nn.LogSoftmax(1), False)):
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10), function)
        assert ("blocked-output" in levels(isogain.check(model, data, nn.CrossEntropyLoss()))) == is_wrong


def test_a_tied_head_is_named_as_the_cause() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.norm, self.layer = nn.Embedding(50, 64), nn.LayerNorm(64), nn.Linear(64, 64)
            self.head = nn.Linear(64, 50, bias=False)
            self.head.weight = self.table.weight

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.table(tokens)
            return self.head(self.norm(x + self.layer(x)))

    found = isogain.check(Tied(), (torch.arange(50), torch.arange(50).flip(0)), nn.CrossEntropyLoss()).findings
    assert [finding["rule"] for finding in found] == ["saturated-head"]


def test_noise_is_no_rise_and_a_rehearsal_leaves_no_gradients() -> None:
    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 8))

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x + torch.randn_like(x) * 10 * torch.rand(len(x), 1))

    data = torch.randn(4, 8), torch.zeros(4, 8)
    model = Denoiser()
    found = isogain.check(model, data, nn.MSELoss(), optimizer=torch.optim.SGD(model.parameters(), 1e-12))
    assert "learning-rate-too-high" not in levels(found)

    plain = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    decayed = lambda out, y: F.mse_loss(out, y) + sum(p.square().sum() for p in plain.parameters())  # noqa: E731
    isogain.check(plain, data, decayed, optimizer=torch.optim.SGD(plain.parameters(), 0.1))
    assert all(parameter.grad is None for parameter in plain.parameters())


def test_towers_with_batch_norm_are_healthy_while_they_train() -> None:
    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = lambda: [part for _ in range(4) for part in (nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU())]  # noqa: E731
            self.a, self.b, self.head = nn.Sequential(*layers()), nn.Sequential(*layers()), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.cat([self.a(x), self.b(x.flip(1))], 1))

    model, data = Towers(), (torch.randn(128, 32), torch.randint(0, 10, (128,)))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model(data[0]), data[1]).backward()
        optimizer.step()
    assert "vanishing-gradient" not in levels(isogain.check(model, data, nn.CrossEntropyLoss()))
