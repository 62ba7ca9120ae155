"""What is wrong with a model before training: one batch, forward and backward."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from isogain import _core, neighbours, updates
from isogain.arguments import expect_int, expect_optional_int, holds_any
from isogain.as_found import as_found
from isogain.batch import Loss, Run, read_batch, runner
from isogain.chain import taken_apart
from isogain.rehearsal import rehearse
from isogain.remarks import of_modes, of_unreached
from isogain.report import Report
from isogain.surgery.settings import main_group
from isogain.trace import Trace, trace, unwrapped


#: Relative rounding error of products of matrices in single precision, by `torch.get_float32_matmul_precision()`.
_PRODUCTS = {"highest": 0.0, "high": 2.0**-11, "medium": 2.0**-8}


def check(
    model: nn.Module,
    batch: Any,
    loss_fn: Loss | None = None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> Report:
    """Measures a model on one batch and says what is wrong with it, where, and why.

    Parameters
    ----------
    model
        Any module. Parameters, buffers, gradients, hooks, random generators and training mode are left as found, also of modules
        that the loss function calls; it runs in the mode it is in, so call `model.train()` first for what training will see.
    batch
        `(inputs, targets)`, where inputs are a tensor, a tuple of positional or a mapping of keyword arguments; or a mapping
        alone, which is passed to the model as keyword arguments. A list of inputs, as a `DataLoader` makes one of a tuple, is
        positional arguments too, unless one argument is all that the model needs. Targets are what the loss takes.
    loss_fn
        `loss_fn(output, targets)`, or `loss_fn(output)` when the batch has no targets; a tensor of one number. Left out, the
        output's own `.loss` is taken.
    optimizer
        The optimizer that will be used: whether a small gradient matters depends on it, and its learning rate is tried on a
        copy of both, for 40 steps on this batch. Without it, SGD with a learning rate of 0.05 is assumed, and rules about the
        learning rate stay silent.
    steps
        Planned optimizer updates; 1000 where left out.

    Returns
    -------
    Report
        Print it, or look at `findings`, `remarks`, `flow`, `limits` and `prescriptions`.

    Raises
    ------
    TypeError
        When an argument is of another kind.
    ValueError
        When the optimizer is of another model, `steps` is below 1 or `seed` below 0, the batch is empty, a module is lazy and has
        no shape yet, the loss is not one number, or it depends on no parameter.
    """
    return examined(model, batch, loss_fn, optimizer=optimizer, steps=steps, seed=seed, counterfactual=True)


def examined(
    model: nn.Module,
    batch: Any,
    loss_fn: Loss | None = None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    steps: int | None = None,
    seed: int = 0,
    counterfactual: bool = False,
) -> Report:
    """`check`, by default without what single factors of the gradient's way back would change, how long its paths are, and whether
    neighbouring inputs get gradients that are alike: that is for people, and takes up to two seconds."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"needs a torch.nn.Module; this is a {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError("the model is compiled by TorchScript, which shows none of its calls: check the module it was made from")
    if torch.is_inference_mode_enabled():
        raise ValueError("a check needs gradients: call it outside of torch.inference_mode()")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError("the model has parameters without values (device 'meta'): give it some first, `model.to_empty()`")
    model = unwrapped(model)
    expect_int(0, seed=seed)
    expect_optional_int(1, steps=steps)
    if optimizer is not None:
        _expect_optimizer(optimizer, model)
    inputs, targets = read_batch(batch, model)
    with as_found(model) as others:
        run = runner(inputs, targets, loss_fn, others)
        found = trace(model, run, inputs)
        arc = neighbours.measure(model, inputs, targets, loss_fn, found) if counterfactual else None
        return _examined(model, inputs, run, found, arc, optimizer, steps, seed, counterfactual)


def _examined(
    model: nn.Module,
    inputs: Any,
    run: Run,
    found: Trace,
    arc: tuple[Tensor, Tensor] | None,
    optimizer: torch.optim.Optimizer | None,
    steps: int | None,
    seed: int,
    counterfactual: bool,
) -> Report:
    remarks = [*of_unreached(found.unreached, found.parameters, optimizer), *of_modes(model)]
    builder, chain = taken_apart(found, model)
    parameters = []
    for name, parameter in found.parameters.items():
        entry: dict[str, Any] = {"name": chain.renamed.get(name, name), "weight": builder.buffers.add(_local(parameter))}
        gradient = found.gradients[name]
        if gradient is not None:
            entry["gradient"] = builder.buffers.add(_local(gradient))
        parameters.append(entry)
    loss = float(found.loss)
    kind, samples, data = _task(found, inputs, builder.buffers.add)
    # Where heads run side by side, what the chain ends with is not what the loss compares with the targets.
    kind = kind if chain.is_whole else "other"
    # Of an unknown loss nobody could say what a rise of it means.
    is_rehearsed = counterfactual and kind != "other"
    description = {
        "model": type(model).__name__,
        "batch": samples,
        "loss": loss if math.isfinite(loss) else None,
        "loss_kind": kind,
        "ops": chain.ops,
        "parameters": parameters,
        "data": data,
        "optimizer": None if optimizer is None else _settings(optimizer),
        "steps": steps,
        "seed": seed,
        "precision": "f64" if any(p.dtype == torch.float64 for p in found.parameters.values()) else "f32",
        "counterfactual": counterfactual,
        "unit_roundoff": _unit_roundoff(found),
        "arc": None if arc is None else _arc(*map(builder.buffers.add, arc)),
        "rehearsal": rehearse(model, optimizer, run) if is_rehearsed and optimizer is not None else None,
        "remarks": [dataclasses.asdict(remark) for remark in remarks],
    }
    return Report(_core.Checked(json.dumps(description), builder.buffers.tensors))


def _arc(gradient: int, activation: int) -> dict[str, int]:
    return {"points": neighbours.POINTS, "gradient": gradient, "activation": activation}


def _unit_roundoff(found: Trace) -> float:
    """Relative rounding error of the coarsest numbers that the pass computed with."""
    values = [node.value for node in found.nodes]
    gradients = [node.gradient for node in found.nodes if node.gradient is not None]
    coarsest = max((max(torch.finfo(each.dtype).eps / 2, _sunk(each)) for each in gradients), default=0.0)
    # Matrices in single precision may be multiplied with fewer digits.
    if any(value.is_cuda for value in values) and (torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32):
        coarsest = max(coarsest, torch.finfo(torch.float16).eps / 2)
    return max(coarsest, _PRODUCTS[torch.get_float32_matmul_precision()])


def _sunk(gradient: Tensor) -> float:
    """Relative rounding error of a gradient that comes near to the smallest number of its format. That it does is told by itself:
    the laws then have nothing to say."""
    size = float(torch.linalg.vector_norm(gradient, dtype=torch.float64)) / math.sqrt(max(gradient.numel(), 1))
    info = torch.finfo(gradient.dtype)
    return info.smallest_normal * info.eps / 2 / size if size > 0.0 else 0.0


def _expect_optimizer(optimizer: object, model: nn.Module) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer is {optimizer!r}: needs a torch.optim.Optimizer of this model, such as torch.optim.Adam(model.parameters())"
        )
    if not holds_any([optimizer], model):
        raise ValueError("the optimizer moves no parameter of this model: make it from `model.parameters()`")


def _local(tensor: Tensor) -> Tensor:
    """The part of a distributed tensor that this process holds."""
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def _task(
    found: Trace, inputs: Any, buffer: Callable[[Tensor], int]
) -> tuple[str, int, dict[str, Any]]:
    """Which loss it was, over how many samples its mean went, and what the data looks like."""
    first = next((leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)), None)
    samples = int(first.shape[0]) if first is not None and first.dim() else 1
    data: dict[str, Any] = {
        "input": None, "feature_rms_ratio": None, "target": None, "classes": None, "baseline_loss": None,
    }  # fmt: skip
    numbers = next((leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()), None)
    # Behind tokens or categories a mask may be what has real numbers, minus infinity among them.
    if numbers is not None and (numbers is first or bool(numbers.isfinite().all())):
        data["input"] = buffer(numbers)
        data["feature_rms_ratio"] = _feature_rms_ratio(numbers)
    node = found.loss_node()
    if node is None:
        return "other", samples, data
    target = node.argument("target", 1)
    if node.function == "mse_loss":
        data["target"] = buffer(target.to(node.value.dtype))
        data["baseline_loss"] = float(target.double().var(correction=0)) if target.numel() > 1 else None
        return "mean-squared-error", int(target.shape[0]) if target.dim() else 1, data
    logits = node.argument("input", 0)
    classes = int(logits.shape[1] if logits.dim() > 1 else logits.shape[0])
    data["classes"] = classes
    if target.is_floating_point():
        return "cross-entropy", samples, data
    labels = target[target != node.argument("ignore_index", 4, -100)]
    data["baseline_loss"] = _baseline(labels, classes)
    return "cross-entropy", max(int(labels.numel()), 1), data


def _baseline(labels: Tensor, classes: int) -> float:
    """Cross-entropy of always predicting the class frequencies. A batch with few samples of each class says little of them:
    then all classes count as equally frequent."""
    if labels.numel() < 10 * classes:
        return math.log(classes)
    shares = torch.bincount(labels.flatten(), minlength=classes).double() / labels.numel()
    shares = shares[shares > 0]
    return max(float(-(shares * shares.log()).sum()), 1e-12)


def _feature_rms_ratio(inputs: Tensor) -> float | None:
    """Largest ratio between the RMS of two columns of `[batch, features]`, constant columns left out."""
    if inputs.dim() != 2:
        return None
    columns = inputs.detach().double()
    rms = columns.square().mean(0).sqrt()
    rms = rms[(columns.std(0, correction=0) > 0) & (rms > 0)]
    return float(rms.max() / rms.min()) if rms.numel() else None


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer in a recipe's words: whether it makes up for the size of gradients is what matters."""
    group = main_group(optimizer)
    momentum = float(group.get("momentum") or 0.0)
    adaptive = "eps" in group
    betas = group.get("betas") or (0.9, 0.999)
    eps = group.get("eps", 1e-8)
    own: dict[str, Any] = {}
    if type(optimizer).__name__ == "Muon":
        adjust = "match-rms-adamw" if group.get("adjust_lr_fn") == "match_rms_adamw" else "original"
        own = {"name": "muon", "adjust_lr": adjust}
    if isinstance(eps, tuple):
        # Adafactor's: one is of gradients, as in Adam; the other is the least size of weights, of which its steps are a part.
        # PyTorch squares it, transformers takes it as the square.
        eps = torch.finfo(group["params"][0].dtype).eps if eps[0] is None else eps[0]
        eps = eps if isinstance(optimizer, torch.optim.Adafactor) else math.sqrt(eps)
    # Without one, Adafactor begins with this.
    rate = 0.01 if group["lr"] is None else float(group["lr"])
    return {
        "name": "adam" if adaptive else "momentum" if momentum > 0.0 else "sgd",
        "learning_rate": rate,
        "momentum": momentum or 0.9,
        "betas": [float(betas[0]), float(betas[1])],
        "eps": float(eps),
        **own,
        **updates.in_a_recipe(optimizer),
    }
