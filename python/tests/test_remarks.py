"""What a check says besides the findings: parameters that no gradient reaches, and evaluation mode."""

from __future__ import annotations

from typing import Any

import pytest
import standin
import torch
from torch import Tensor, nn

import isogain
from isogain.curing import cure
from twins import classes

LOSS = nn.CrossEntropyLoss()


class Model(nn.Module):
    """Three layers, and something done between the first two."""

    def __init__(self, between: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.between = between
        self.first, self.second, self.head, self.other_head = (nn.Linear(64, n) for n in (64, 64, 10, 3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x))
        match self.between:
            case "detach" | "data" | "argmax":
                hidden = {"detach": hidden.detach(), "data": hidden.data, "argmax": hidden.argmax(1, True) + 0.0 * x}[self.between]
            case "numpy":
                hidden = torch.from_numpy(hidden.detach().numpy())
            case "tolist":
                hidden = torch.tensor(hidden.tolist())
            case "logging":
                self.other_head(hidden).detach().numpy()
                float(self.other_head(hidden).norm())
            case "weight":
                return nn.functional.linear(hidden, self.head.weight.detach(), self.head.bias)
        with torch.set_grad_enabled(self.between != "no_grad"):
            hidden = torch.relu(self.second(hidden))
        return self.head(hidden)


UNUSED = "other_head.weight, other_head.bias (2 of 8 parameters that require a gradient) get none: this loss does not use them"


@pytest.mark.parametrize(
    ("between", "who", "where"),
    [
        ("detach", "first.weight, first.bias (2", "at `detach` in the model's own forward"),
        ("data", "first.weight, first.bias (2", "at `data` in the model's own forward"),
        ("argmax", "first.weight, first.bias (2", "at `argmax` in the model's own forward"),
        ("numpy", "first.weight, first.bias (2", "at `numpy` in the model's own forward"),
        ("tolist", "first.weight, first.bias (2", "at `tolist` in the model's own forward"),
        ("weight", "head.weight (1", "at `detach` in the model's own forward"),
        ("no_grad", "first.weight, first.bias, second.weight, second.bias (4", "at `linear` in second, which ran without gradients (torch.no_grad)"),
    ],
)
def test_a_cut_graph_is_told(between: str, who: str, where: str) -> None:
    report = isogain.check(Model(between), classes(), LOSS)
    cut = next(remark for remark in report.remarks if remark.level == "warning")
    assert not report.ok and cut.message.startswith(who) and cut.message.endswith(f"the graph is cut {where}")
    assert " ".join(str(report).split()).startswith(f"warning: {cut.message} ") and "1 note" in repr(report)
    assert {"level": "warning", "message": cut.message} in report.data["remarks"]
    assert f"::warning title=isogain::{cut.message}\n" in report.render("github")


@pytest.mark.parametrize("between", ["", "logging"])
def test_what_the_loss_does_not_use_is_a_note(between: str) -> None:
    report = isogain.check(Model(between), classes(), LOSS)
    assert report.ok
    if not between:
        assert [str(remark) for remark in report.remarks] == [f"note: {UNUSED}"]
        assert UNUSED in report._repr_html_()


def test_only_what_the_optimizer_moves_counts() -> None:
    model = Model("detach")
    optimizer = torch.optim.SGD([*model.second.parameters(), *model.head.parameters()], lr=0.1)
    assert isogain.check(model, classes(), LOSS, optimizer=optimizer).remarks == []


def test_ways_around_a_cut_are_no_cut() -> None:
    class StraightThrough(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            hidden = self[0](x)
            return self[1](hidden + (hidden.round() - hidden).detach() + 0.0 * hidden.argmax(1, True))

    assert isogain.check(StraightThrough(nn.Linear(64, 64), nn.Linear(64, 10)), classes(), LOSS).remarks == []


def test_a_cut_beside_custom_functions() -> None:
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, x: Tensor) -> Tensor:
            return 2.0 * x

        @staticmethod
        def backward(_: Any, cotangent: Tensor) -> Tensor:
            return 2.0 * cotangent

    class Cut(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self[2](Scaled.apply(self[1](Scaled.apply(self[0](x)).detach())))

    (cut,) = isogain.check(Cut(*(nn.Linear(64, 64) for _ in range(3))), classes(), LOSS).remarks
    assert cut.message.startswith("0.weight, 0.bias (2 of 6") and "at `detach`" in cut.message


def test_no_gradient_at_all() -> None:
    with pytest.raises(ValueError, match="depends on no parameter that requires a gradient; is the whole model frozen"):
        isogain.check(Model().requires_grad_(False), classes(), LOSS)
    with pytest.raises(ValueError, match="depends on no parameter that requires a gradient; first.weight, .* at `detach` in the loss"):
        isogain.check(Model(), classes(), lambda outputs, targets: LOSS(outputs.detach().requires_grad_(), targets))


def norms() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Dropout(0.0), nn.Linear(32, 10))


def test_evaluation_mode_is_told_where_it_matters() -> None:
    model = norms()
    assert isogain.check(model, classes(), LOSS).remarks == []
    (remark,) = isogain.check(model.eval(), classes(), LOSS).remarks
    assert str(remark) == (
        "note: the model is in evaluation mode: running statistics stand in for the batch's in 1, dropout is off in 3; "
        "`model.train()` before the check shows what training sees"
    )
    model.train()[1].eval()
    assert "a part of the model is in evaluation mode: running statistics" in str(isogain.check(model, classes(), LOSS))
    assert isogain.check(nn.Sequential(nn.Linear(64, 10)).eval(), classes(), LOSS).remarks == []


def test_no_remedy_is_tried_for_a_cut_graph() -> None:
    result = cure(lambda: Model("detach"), classes(), LOSS, steps=300, progress=False, executor="serial")
    assert not result.report.ok and repr(result) == "<isogain.Result: nothing to cure>"
    assert str(result).startswith("warning: first.weight") and str(result).endswith("nothing to cure")


def test_a_cure_tells_it_above_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    standin.install(monkeypatch, [standin.HE])
    result = cure(lambda: Model("detach"), classes(), LOSS, steps=4, progress=False, executor="serial")
    assert result.data is not None and str(result).startswith("warning: first.weight, first.bias")
    assert "first.weight, first.bias (2 of 8 parameters" in result._repr_html_()
