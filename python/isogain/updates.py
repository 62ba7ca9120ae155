"""Steps of a PyTorch optimizer, changed as it takes them.

    from isogain import updates
    updates.clip_updates(optimizer)                  # StableAdamW: no step longer than Adam's second moment vouches for
    updates.limit_spikes(optimizer, reset_every=500) # SPAM: spikes are cut, and the moments start again at times
    updates.normalise(optimizer)                     # LARS, LAMB: each step is a part of the weights it moves
    updates.scale_rates_by_width(optimizer, model)   # muP: the rate of a weight falls with its fan-in
    updates.follow_signs(optimizer)                  # sign descent: every number moves by the learning rate
    updates.orthogonalise(optimizer, model)          # Muon: the step of a hidden matrix is an orthogonal one

Call one once, after the optimizer is built. It puts hooks on every `optimizer.step()` and leaves the optimizer's class
and its parameter groups as they are; `remove()` of what it returns takes the hooks away again. They want gradients that are
whole: unscaled and clipped. What the last two remember is in the optimizer's state, and saved with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn, optim

_CLIMB = 150
"""Steps over which the learning rate climbs again after a reset, as in SPAM."""


class Updates:
    """Hooks on an optimizer's step."""

    def __init__(self, optimizer: optim.Optimizer) -> None:
        self.optimizer = optimizer
        self._handles = [
            optimizer.register_step_pre_hook(self._on_before),
            optimizer.register_step_post_hook(self._on_after),
        ]

    def remove(self) -> None:
        """Leaves the optimizer as it was."""
        for handle in self._handles:
            handle.remove()

    def in_a_recipe(self) -> dict[str, Any]:
        """The settings of a recipe's `[optimizer]` that amount to the same."""
        raise NotImplementedError

    # Bound methods, by which `in_a_recipe` finds what is on an optimizer.
    def _on_before(self, *_: Any) -> None:
        self._before()

    def _on_after(self, *_: Any) -> None:
        self._after()

    def _before(self) -> None:
        """Right before the step."""

    def _after(self) -> None:
        """Right after it."""


class ClipUpdates(Updates):
    """The step of a tensor over max(1, RMS), RMS the root of the mean of g^2 / max(v, eps^2) over it, with v Adam's
    second moment after this gradient (Wortsman et al. 2023)."""

    def in_a_recipe(self) -> dict[str, Any]:
        return {"clip_update": True}

    @torch.no_grad()
    def _before(self) -> None:
        self._long: list[tuple[Tensor, Tensor, float]] = []
        for parameter, gradient, group in _with_gradients(self.optimizer):
            state = self.optimizer.state.get(parameter, {})
            if "exp_avg_sq" not in state:
                continue  # the first step, whose second moment is this gradient's own
            beta = float(group["betas"][1])
            steps = float(state["step"]) + 1.0
            fresh = (gradient + _pull(self.optimizer, group) * parameter).double().square()
            moment = (beta * state["exp_avg_sq"].double() + (1.0 - beta) * fresh) / (1.0 - beta**steps)
            ratios = fresh / moment.clamp(min=float(group["eps"]) ** 2)
            # 0 / 0 where there never was a gradient, and no eps.
            excess = float(torch.where(fresh == 0.0, fresh, ratios).mean().sqrt())
            if 1.0 < excess < math.inf:
                self._long.append((parameter, parameter.detach().clone(), 1.0 / excess))

    @torch.no_grad()
    def _after(self) -> None:
        for parameter, before, part in self._long:
            parameter.copy_(torch.lerp(before, parameter, part))
        self._long = []


class LimitSpikes(Updates):
    """Numbers of a gradient with g^2 > limit v become sign(g) sqrt(limit v), v Adam's second moment before it; every
    `reset_every` updates both moments start again from zero, and the learning rate climbs by a half cosine (Huang et
    al. 2025). `updates` counts; a run that is resumed sets it to what was done before."""

    def __init__(self, optimizer: optim.Optimizer, limit: float | None, reset_every: int | None) -> None:
        if limit is not None and not 0.0 < limit < math.inf:
            raise ValueError(f"limit is {limit}: must be above 0, or None for no limit")
        if reset_every is not None and reset_every < 1:
            raise ValueError(f"reset_every is {reset_every}: must be at least 1, or None for no resets")
        self.limit, self.reset_every, self.updates = limit, reset_every, 0
        self._rates: list[Any] = []
        super().__init__(optimizer)

    def in_a_recipe(self) -> dict[str, Any]:
        numbers = {"spike_limit": self.limit, "reset_every": self.reset_every}
        return {name: value for name, value in numbers.items() if value is not None}

    @torch.no_grad()
    def _before(self) -> None:
        since = self.updates if self.reset_every is None else self.updates % self.reset_every
        if self.reset_every is not None and self.updates > 0 and since == 0:
            for state in self.optimizer.state.values():
                for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"):
                    if name in state:
                        state[name].zero_()
        if self.limit is not None and since > 0:
            for parameter, gradient, group in _with_gradients(self.optimizer):
                square = self.optimizer.state.get(parameter, {}).get("exp_avg_sq")
                if square is not None:
                    most, pull = self.limit * square, _pull(self.optimizer, group) * parameter
                    seen = gradient + pull
                    cut = (seen.square() > most) & (square > 0.0)
                    gradient.copy_(torch.where(cut, seen.sign() * most.sqrt() - pull, gradient))
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr"] * self._climb(since)

    def _climb(self, since: int) -> float:
        if self.reset_every is None or self.updates < self.reset_every:
            return 1.0
        steps = min(_CLIMB, self.reset_every // 3)
        return 1.0 if since + 1 >= steps else (1.0 - math.cos(math.pi * (since + 1) / steps)) / 2.0

    def _after(self) -> None:
        self.updates += 1
        for group, rate in zip(self.optimizer.param_groups, self._rates):
            group["lr"] = rate


class Normalise(Updates):
    """The step of a tensor of two axes or more becomes as long as the learning rate times the tensor (You et al. 2017,
    2020). A step or a tensor of length zero, and what is not finite, is left as it is."""

    def in_a_recipe(self) -> dict[str, Any]:
        return {"trust_ratio": True}

    @torch.no_grad()
    def _before(self) -> None:
        self._starts = [
            (parameter, parameter.detach().clone(), float(group["lr"]))
            for parameter, _, group in _with_gradients(self.optimizer)
            if parameter.ndim > 1
        ]

    @torch.no_grad()
    def _after(self) -> None:
        for parameter, start, rate in self._starts:
            step = parameter.double() - start.double()
            size, length = float(start.double().norm()), float(step.norm())
            ratio = rate * size / length if length > 0.0 else 0.0
            if 0.0 < ratio < math.inf:
                parameter.copy_(start.double() + ratio * step)
        self._starts = []


class ScaleRatesByWidth(Updates):
    """The step of each weight between layers times base_width / fan_in (Yang & Hu 2021, Yang et al. 2022), AdamW's decay
    with it. What reads the data, embeddings, biases and norms keep their steps."""

    def __init__(
        self, optimizer: optim.Optimizer, model: nn.Module, base_width: int, reader: nn.Module | None
    ) -> None:
        if not 1 <= base_width < math.inf:
            raise ValueError(f"base_width is {base_width}: must be a finite number, 1 or more")
        moved = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        weights = _between_layers(model, reader)
        factors = {parameter: base_width / _fan_in(module, parameter) for module, parameter in weights}
        self.base_width = base_width
        self.factors = {parameter: factor for parameter, factor in factors.items() if parameter in moved}
        if factors and not self.factors:
            raise ValueError("the optimizer moves no weight of this model")
        self._starts: list[tuple[Tensor, Tensor, float]] = []
        super().__init__(optimizer)

    def in_a_recipe(self) -> dict[str, Any]:
        return {"base_width": self.base_width}

    @torch.no_grad()
    def _before(self) -> None:
        # Also those without a gradient: a closure may give them one in the step.
        self._starts = [
            (parameter, parameter.detach().clone(), factor) for parameter, factor in self.factors.items()
        ]

    @torch.no_grad()
    def _after(self) -> None:
        for parameter, start, factor in self._starts:
            parameter.copy_(start.double() + factor * (parameter.double() - start.double()))
        self._starts = []


# Makes the step over the learning rate of a gradient and what was kept of those before.
Rule = Callable[[Tensor, dict[str, Any]], Tensor]


class OwnRule(Updates):
    """A rule in place of the optimizer's, whose learning rate, weight decay and direction (`maximize`) it takes, the decay
    at the weights themselves."""

    def __init__(self, optimizer: optim.Optimizer) -> None:
        if isinstance(optimizer, optim.LBFGS):
            why = "takes many steps in one, each from the last one's, which no rule can take the place of"
            raise ValueError(f"{type(self).__name__} needs an optimizer that takes one step at a time: LBFGS {why}")
        super().__init__(optimizer)

    @torch.no_grad()
    def _before(self) -> None:
        # Also those without a gradient: a closure may give them one in the step.
        self._starts = [
            (parameter, parameter.detach().clone(), group)
            for group in self.optimizer.param_groups
            for parameter in group["params"]
        ]

    @torch.no_grad()
    def _after(self) -> None:
        starts, self._starts = self._starts, []
        overflow = getattr(self.optimizer, "found_inf", None)
        if isinstance(overflow, Tensor) and float(overflow) > 0.0:
            return  # a fused optimizer, which a GradScaler lets skip the step by itself
        for parameter, start, group in starts:
            rule = self._rule(parameter)
            if parameter.grad is None or rule is None:
                continue
            gradient = -parameter.grad if group.get("maximize", False) else parameter.grad
            step = rule(gradient, self.optimizer.state[parameter])
            rate = float(group["lr"])
            parameter.copy_(start * (1.0 - rate * float(group.get("weight_decay", 0.0))) - rate * step.to(start.dtype))

    def _rule(self, parameter: nn.Parameter) -> Rule | None:
        """`None` where the optimizer's own stays."""
        raise NotImplementedError


class FollowSigns(OwnRule):
    """lr sign v, with v <- momentum v + g (Bernstein et al. 2018)."""

    def __init__(self, optimizer: optim.Optimizer, momentum: float) -> None:
        self.momentum = _fraction("momentum", momentum)
        super().__init__(optimizer)

    def in_a_recipe(self) -> dict[str, Any]:
        return {"name": "sign-sgd", "momentum": self.momentum}

    def _rule(self, parameter: nn.Parameter) -> Rule:
        return lambda gradient, state: _velocity(gradient, state, self.momentum).sign()


class Orthogonalise(OwnRule):
    """Muon (Jordan et al. 2024) for the weights between layers but the head's; all others are AdamW's: the optimizer's own where
    it is Adam or AdamW, else with PyTorch's settings."""

    momentum, betas, eps = 0.95, (0.9, 0.999), 1e-8

    def __init__(
        self, optimizer: optim.Optimizer, model: nn.Module, reader: nn.Module | None, heads: Iterable[nn.Module] | None
    ) -> None:
        weights = list(_between_layers(model, reader))
        last = [module for module in model.modules() if _multipliers(module)][-1:]
        given = last if heads is None else list(heads)
        # Attention keeps its output's weights in a layer of its own.
        given += [module.out_proj for module in given if isinstance(module, nn.MultiheadAttention)]
        ends = {id(module) for module in given}
        moved = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        self.hidden = {
            parameter: _is_turned(module)
            for module, parameter in weights
            if id(module) not in ends and parameter in moved
        }
        if not self.hidden:
            raise ValueError("the optimizer moves no hidden weight matrix of this model")
        super().__init__(optimizer)

    def in_a_recipe(self) -> dict[str, Any]:
        group = self.optimizer.param_groups[0]
        rest = {"betas": list(group["betas"]), "eps": group["eps"]} if self._is_adam() else {}
        return {"name": "muon", "momentum": self.momentum, "betas": list(self.betas), "eps": self.eps, **rest}

    def _rule(self, parameter: nn.Parameter) -> Rule | None:
        if parameter in self.hidden:
            return lambda gradient, state: self._orthogonal(gradient, state, self.hidden[parameter])
        return None if self._is_adam() else self._adam

    def _is_adam(self) -> bool:
        return isinstance(self.optimizer, optim.Adam | optim.AdamW)

    def _orthogonal(self, gradient: Tensor, state: dict[str, Any], is_turned: bool) -> Tensor:
        ahead = gradient + self.momentum * _velocity(gradient, state, self.momentum)
        ahead = ahead.transpose(0, 1) if is_turned else ahead
        matrix = orthogonal(ahead.flatten(1))
        step = (0.2 * math.sqrt(max(matrix.shape)) * matrix).view(ahead.shape)
        return step.transpose(0, 1) if is_turned else step

    def _adam(self, gradient: Tensor, state: dict[str, Any]) -> Tensor:
        steps = state["updates_steps"] = state.get("updates_steps", 0) + 1
        corrected: list[Tensor] = []
        for name, value, beta in zip(("mean", "square"), (gradient, gradient.square()), self.betas):
            moment: Tensor = state.setdefault(f"updates_{name}", torch.zeros_like(gradient))
            corrected.append(moment.mul_(beta).add_(value, alpha=1.0 - beta) / (1.0 - beta**steps))
        mean, square = corrected
        return mean / (square.sqrt() + self.eps)


def orthogonal(matrix: Tensor) -> Tensor:
    """The orthogonal matrix nearest to `matrix`, about: its singular values, however small all of them are, become 0.7 to 1.2,
    but for those below 1/500 of its norm. Five Newton-Schulz iterations, at least in float32. One that is zero, or not
    finite, stays as it is."""
    x: Tensor = matrix if matrix.dtype == torch.float64 else matrix.float()
    largest = x.abs().max()
    if not 0.0 < float(largest) < math.inf:
        return x
    x = x / largest
    x = x / x.norm()
    is_tall = x.shape[0] > x.shape[1]
    x = x.mT if is_tall else x
    for _ in range(5):
        gram: Tensor = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if is_tall else x


def in_a_recipe(optimizer: optim.Optimizer) -> dict[str, Any]:
    """What the hooks on this optimizer amount to, as settings of a recipe's `[optimizer]`; also where it is wrapped, as
    Accelerate wraps it."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), optim.Optimizer):
        optimizer = inner
    hooks_of: dict[int, Any] = getattr(optimizer, "_optimizer_step_post_hooks", {})
    found = [getattr(hook, "__self__", None) for hook in hooks_of.values()]
    return {
        name: value
        for hooks in found
        if isinstance(hooks, Updates)
        for name, value in hooks.in_a_recipe().items()
    }


def clip_updates(optimizer: optim.Optimizer) -> ClipUpdates:
    """No step longer than Adam's second moment vouches for (`isogain explain clip-update`).

    Raises `ValueError` for an optimizer other than Adam and AdamW, which have that moment.
    """
    _needs_adam(optimizer, "clip_updates")
    return ClipUpdates(optimizer)


def limit_spikes(
    optimizer: optim.Optimizer, limit: float | None = 5000.0, reset_every: int | None = 500
) -> LimitSpikes:
    """Spikes are cut, and the moments start again from time to time (`isogain explain limit-spikes`).

    Raises `ValueError` for an optimizer other than Adam and AdamW, and for numbers out of range.
    """
    _needs_adam(optimizer, "limit_spikes")
    return LimitSpikes(optimizer, limit, reset_every)


def normalise(optimizer: optim.Optimizer) -> Normalise:
    """Each step is a part of the weights it moves (`isogain explain normalise-updates`). The steps are read off the
    parameters: of float16 parameters, where a small step is lost before it can be measured, keep a copy in float32."""
    return Normalise(optimizer)


def follow_signs(optimizer: optim.Optimizer, momentum: float = 0.9) -> FollowSigns:
    """Every number moves by the learning rate, against the sign of a velocity (`isogain explain normalise-updates`). The
    optimizer's own steps do not happen; its learning rate, weight decay and `maximize` are those of its groups. It takes the
    place of `normalise` and `clip_updates` on the same optimizer: what these made of a step is not seen.

    Raises `ValueError` for a momentum that is not 0 or more and below 1, and for LBFGS.
    """
    return FollowSigns(optimizer, momentum)


def orthogonalise(
    optimizer: optim.Optimizer,
    model: nn.Module,
    reader: nn.Module | None = None,
    heads: Iterable[nn.Module] | None = None,
) -> Orthogonalise:
    """Muon for the hidden weight matrices of `model` (`isogain explain orthogonalise-updates`), AdamW for all others, at the
    optimizer's learning rate. `reader` is the layer that reads the data, `heads` those that give the outputs, by default the
    first and the last layer that `model` holds. It takes the place of `normalise` and `clip_updates` on the same optimizer:
    what these made of a hidden matrix's step is not seen.

    Raises `ValueError` for an optimizer that moves no such matrix, and for LBFGS.
    """
    return Orthogonalise(optimizer, model, reader, heads)


def scale_rates_by_width(
    optimizer: optim.Optimizer, model: nn.Module, base_width: int = 64, reader: nn.Module | None = None
) -> ScaleRatesByWidth:
    """Each weight has the learning rate that its width allows (`isogain explain scale-rates-by-width`). `reader` is the
    layer that reads the data, by default the first one that `model` holds. Like `normalise`, which would undo it if it were
    called later, it reads steps off the parameters.

    Raises `ValueError` for an optimizer other than Adam and AdamW, whose steps alone go so with width, and for one that
    moves no weight of the model.
    """
    if not isinstance(optimizer, optim.Adam | optim.AdamW):
        name = type(optimizer).__name__
        raise ValueError(f"scale_rates_by_width needs torch.optim.Adam or AdamW, whose steps have one size, not {name}")
    return ScaleRatesByWidth(optimizer, model, base_width, reader)


_TABLES = (nn.Embedding, nn.EmbeddingBag)
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_MULTIPLIERS = ("weight", "weight_v", "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def _between_layers(model: nn.Module, reader: nn.Module | None) -> Iterator[tuple[nn.Module, nn.Parameter]]:
    """The weights that multiply what other layers gave, and whose they are."""
    layers = [module for module in model.modules() if isinstance(module, _TABLES) or _multipliers(module)]
    reader = next(iter(layers), None) if reader is None else reader
    tables = {module.weight for module in layers if isinstance(module, _TABLES)}
    for module in layers:
        for name, parameter in _multipliers(module).items():
            reads_data = module is reader and (not isinstance(module, _RECURRENT) or name.startswith("weight_ih"))
            is_deeper = isinstance(module, nn.RNNBase) and "_l0" not in name
            if parameter not in tables and (is_deeper or not reads_data):
                yield module, parameter


def _multipliers(module: nn.Module) -> dict[str, nn.Parameter]:
    """What the module itself multiplies its inputs by, or what that is computed from."""
    if isinstance(module, (*_TABLES, *_NORMS)):
        return {}
    own = dict(module.named_parameters(recurse=False))
    computed: Any = getattr(module, "parametrizations", {})
    for weight, how in computed.items():
        # torch's weight_norm keeps length and direction apart, in this order.
        originals = dict(how.named_parameters(recurse=False))
        own |= {weight: originals[name] for name in ("original", "original1") if name in originals}
    own = {name: parameter for name, parameter in own.items() if parameter.ndim > 1}
    return own if isinstance(module, _RECURRENT) else {name: own[name] for name in _MULTIPLIERS if name in own}


def _fan_in(module: nn.Module, weight: Tensor) -> int:
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        return weight.numel() // (weight.shape[1] * module.groups)
    return len(weight) if _is_turned(module) else weight[0].numel()


def _is_turned(module: nn.Module) -> bool:
    """Whether its weight has inputs first: a transposed convolution's, and that of the transformers library's `Conv1D`."""
    is_conv1d = type(module).__name__ == "Conv1D" and hasattr(module, "nf")
    return is_conv1d or isinstance(module, nn.modules.conv._ConvTransposeNd)


def _velocity(gradient: Tensor, state: dict[str, Any], momentum: float) -> Tensor:
    velocity: Tensor = state.setdefault("updates_velocity", torch.zeros_like(gradient))
    return velocity.mul_(momentum).add_(gradient)


def _fraction(name: str, value: float) -> float:
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} is {value}: must be 0 or more and below 1")
    return value


def _needs_adam(optimizer: optim.Optimizer, what: str) -> None:
    if not isinstance(optimizer, optim.Adam | optim.AdamW):
        name = type(optimizer).__name__
        raise ValueError(f"{what} needs torch.optim.Adam or AdamW, whose second moment it reads, not {name}")


def _pull(optimizer: optim.Optimizer, group: dict[str, Any]) -> float:
    """The weight decay that the optimizer adds to a gradient; AdamW adds none."""
    is_decoupled = isinstance(optimizer, optim.AdamW) or group.get("decoupled_weight_decay", False)
    return 0.0 if is_decoupled else float(group.get("weight_decay", 0.0))


def _with_gradients(optimizer: optim.Optimizer) -> list[tuple[Tensor, Tensor, dict[str, Any]]]:
    """The parameters that this step will move, their gradients, and their groups."""
    return [
        (parameter, parameter.grad, group)
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
