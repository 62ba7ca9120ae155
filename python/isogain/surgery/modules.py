"""Modules that a treatment puts into a model, and how a model is called. Their source becomes part of the snippet
that does the same without isogain, so they use nothing but torch and each other."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def run(model: Callable[..., Any], inputs: Any) -> Any:
    """model(inputs); a tuple or list of inputs is spread over its arguments, a mapping over its keywords."""
    if hasattr(inputs, "keys"):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


class Skip(nn.Module):
    """y = x + scale * branch(x); `learnable` makes the scale a parameter, which starts at that value."""

    def __init__(self, branch: nn.Module, scale: float, learnable: bool = False) -> None:
        super().__init__()
        self.branch = branch
        weight = next(branch.parameters())
        self.scale = nn.Parameter(weight.new_full((), scale)) if learnable else scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch: torch.Tensor = self.branch(x)
        return x + self.scale * branch

    def extra_repr(self) -> str:
        return "learnable scale" if isinstance(self.scale, nn.Parameter) else f"scale={self.scale:g}"


class TailoredReLU(nn.Module):
    """Leaky ReLU times sqrt(2 / (1 + slope^2)), which keeps the mean square of a centred Gaussian."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale: float = (2.0 / (1.0 + self.slope**2)) ** 0.5
        return scale * nn.functional.leaky_relu(x, self.slope)

    def extra_repr(self) -> str:
        return f"slope={self.slope:g}"


class Shaped(nn.Module):
    """scale * (phi(input_scale * x + input_shift) + shift) with phi one of torch's functions: an activation shaped for
    depth (Martens et al. 2021). The four numbers follow from `slope`, the growth of the squared gradient per layer."""

    def __init__(
        self, function: str, slope: float, input_scale: float, input_shift: float, shift: float, scale: float
    ) -> None:
        super().__init__()
        self.function, self.slope = function, slope
        self.input_scale, self.input_shift, self.shift, self.scale = input_scale, input_shift, shift, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        phi = getattr(nn.functional, self.function)
        value: torch.Tensor = phi(self.input_scale * x + self.input_shift)
        return self.scale * (value + self.shift)

    def extra_repr(self) -> str:
        return f"{self.function}, slope={self.slope:g}"


class Exponential(nn.Module):
    """e^x, which PyTorch has as a function only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x)


class BatchRenorm(nn.modules.batchnorm._NormBase):
    """Batch norm in training that gives what evaluation would give (Ioffe 2017): the normalised values times r plus d, with
    r the deviation of the batch over the running one and d the distance of the means over that, both constant on the way
    back. Over the first `ramp` batches the bounds of r open from 1 to 3, those of d from 0 to 5. For `[batch, features]` and
    `[batch, channels, ...]`."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(
        self,
        features: int,
        ramp: int = 100,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if ramp < 1:
            raise ValueError(f"ramp is {ramp}: must be at least 1 batch")
        super().__init__(features, eps, momentum, device=device, dtype=dtype)
        self.ramp = ramp

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if input.ndim < 2:
            raise ValueError(f"expected [batch, features, ...], got {input.ndim} axes")
        normalise = nn.functional.batch_norm
        if not self.training or input.numel() == 0:
            return normalise(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        with torch.no_grad():
            rows = input.numel() // input.shape[1]
            axes = [axis for axis in range(input.ndim) if axis != 1]
            wide = torch.promote_types(self.running_var.dtype, torch.float32)
            variance, mean = torch.var_mean(input.to(wide), axes, correction=0)
            running_mean, running_var = self.running_mean.to(wide), self.running_var.to(wide)
            deviation = (running_var + self.eps).sqrt()
            part = (self.num_batches_tracked / self.ramp).clamp(max=1.0).to(wide)
            r_max, d_max = 1.0 + 2.0 * part, 5.0 * part
            r = ((variance + self.eps).sqrt() / deviation).clamp(1.0 / r_max, r_max)
            d = ((mean - running_mean) / deviation).clamp(-d_max, d_max)
        weight, bias = self.weight * r, self.weight * d + self.bias
        # It refuses a single row, of which nothing is to be remembered.
        output = normalise(
            input, None, None, weight.to(self.weight.dtype), bias.to(self.bias.dtype), True, eps=self.eps
        )
        with torch.no_grad():
            self.num_batches_tracked += 1
            share = 1.0 / self.num_batches_tracked.to(wide) if self.momentum is None else self.momentum
            self.running_mean.copy_(running_mean + share * (mean - running_mean))
            self.running_var.copy_(running_var + share * (variance * rows / (rows - 1) - running_var))
        return output

    def extra_repr(self) -> str:
        return f"{self.num_features}, ramp={self.ramp}, eps={self.eps:g}"


def renormalised(old: Any, ramp: int) -> BatchRenorm:
    """A batch norm as a batch renormalisation that goes on from its statistics, weights and momentum."""
    new: BatchRenorm = _going_on(old, BatchRenorm, ramp)
    return new


def _going_on(old: Any, kind: Any, number: int) -> Any:
    like = old.weight if old.weight is not None else old.running_mean
    place = {} if like is None else {"device": like.device, "dtype": like.dtype}
    new = kind(old.num_features, number, old.eps, old.momentum, **place)
    new.load_state_dict(old.state_dict(), strict=False)
    for name in ("weight", "bias"):
        kept = getattr(old, name)
        # What was not trained is not now, the ones and zeros that stand for nothing neither.
        getattr(new, name).requires_grad_(kept is not None and kept.requires_grad)
    return new


class GhostBatchNorm(nn.modules.batchnorm._NormBase):
    """Batch norm over parts of a batch (Hoffer, Hubara and Soudry 2017): in training each of as many parts as have at least
    `ghost` samples is normalised by its own mean and variance, and the running averages follow each of them. For
    `[batch, features]` and `[batch, channels, ...]`."""

    num_batches_tracked: torch.Tensor | None

    def __init__(
        self,
        features: int,
        ghost: int = 64,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if ghost != int(ghost) or ghost < 2:
            raise ValueError(f"ghost is {ghost}: must be a whole number of samples, at least 2")
        super().__init__(features, eps, momentum, device=device, dtype=dtype)
        self.ghost = int(ghost)

    def parts(self, samples: int) -> int:
        """Of a batch of so many samples; they differ by one sample at most."""
        return max(samples // self.ghost, 1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if input.ndim < 2:
            raise ValueError(f"expected [batch, features, ...], got {input.ndim} axes")
        by_batch = self.training or self.running_mean is None
        parts = self.parts(input.shape[0]) if by_batch else 1
        if parts == 1:
            return self._normalised(input, by_batch)
        return torch.cat([self._normalised(part, by_batch) for part in input.tensor_split(parts)])

    def _normalised(self, part: torch.Tensor, by_batch: bool) -> torch.Tensor:
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else momentum
        running = (self.running_mean, self.running_var, self.weight, self.bias)
        return nn.functional.batch_norm(part, *running, by_batch, momentum, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, ghost={self.ghost}, eps={self.eps:g}"


def split(old: Any, ghost: int) -> GhostBatchNorm:
    """A batch norm as one over parts of the batch that goes on from its statistics, weights and momentum."""
    new: GhostBatchNorm = _going_on(old, GhostBatchNorm, ghost)
    if old.running_mean is None:
        new.running_mean = new.running_var = new.num_batches_tracked = None
    return new


class Standardise(nn.Module):
    """(x - mean) / deviation; both of a shape that broadcasts against x."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.deviation
