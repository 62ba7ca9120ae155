"""What a clipping did. Stands in for the tensor that `torch.nn.utils.clip_grad_norm_` returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeAlias, Union

import torch
from torch import Tensor

from isogain.clip.gradients import on_device, wide

Number: TypeAlias = Union[Tensor, float]


class Numbers(NamedTuple):
    """What a report holds, as Python floats."""

    norm_before: float
    norm_after: float
    cosine: float
    threshold: float
    clipped_tensor_fraction: float
    clipped_element_fraction: float


@dataclass(eq=False, repr=False)
class Report:
    """What one clipping did to the gradients.

    Used as a number (`float(report)`, `report.item()`, `f"{report:.3f}"`, comparison, arithmetic, torch functions,
    any method of a tensor) it is `total_norm`, the norm before clipping. The other numbers are computed on the device
    from small vectors and fetched together when the first one is looked at; until then nothing waits for the device.
    """

    method: str
    total_norm: Tensor
    """The norm of all gradients before clipping: a scalar on the device of the first gradient."""
    measure: Callable[[], Sequence[Number]]
    """Computes the numbers after the first of `Numbers`. It calls no collective, so one rank may look alone."""

    @cached_property
    def numbers(self) -> Numbers:
        """All numbers, in one transfer from the device."""
        return Numbers(*self.vector().tolist())

    @torch.no_grad()
    def vector(self) -> Tensor:
        """All numbers in the order of `Numbers`, [6], on the device."""
        device = self.total_norm.device
        values = [self.total_norm, *self.measure()]
        return torch.stack([torch.as_tensor(value, dtype=wide(device), device=device) for value in values])

    @property
    def norm_before(self) -> float:
        """The norm of all gradients before clipping."""
        return self.numbers.norm_before

    @property
    def norm_after(self) -> float:
        """The norm of all gradients after clipping."""
        return self.numbers.norm_after

    @property
    def cosine(self) -> float:
        """Cosine between all gradients before and after: 1 keeps the direction. NaN where a value is not finite."""
        return self.numbers.cosine

    @property
    def threshold(self) -> float:
        """What was compared with, in the unit of the method; its docstring says which."""
        return self.numbers.threshold

    @property
    def clipped_tensor_fraction(self) -> float:
        """Share of the gradients that were made smaller, in [0, 1]."""
        return self.numbers.clipped_tensor_fraction

    @property
    def clipped_element_fraction(self) -> float:
        """Share of the values that were made smaller, in [0, 1]."""
        return self.numbers.clipped_element_fraction

    @property
    def acted(self) -> bool:
        """Whether any gradient was changed."""
        return self.numbers.clipped_tensor_fraction > 0.0

    @property
    def finite(self) -> bool:
        """Whether the norm before clipping is finite."""
        return bool(torch.tensor(self.numbers.norm_before).isfinite())

    def item(self) -> float:
        return float(self.total_norm.item())

    def __float__(self) -> float:
        return self.item()

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.total_norm)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec)

    def __str__(self) -> str:
        n = self.numbers
        if not self.finite:
            return f"{self.method}: norm {n.norm_before:g}, not finite"
        if not self.acted:
            return f"{self.method}: norm {n.norm_before:.4g}, not clipped (threshold {n.threshold:.4g})"
        return (
            f"{self.method}: norm {n.norm_before:.4g} -> {n.norm_after:.4g} (threshold {n.threshold:.4g}, cosine "
            f"{n.cosine:.4f}, {n.clipped_tensor_fraction:.0%} of tensors, {n.clipped_element_fraction:.1%} of values)"
        )

    __repr__ = __str__

    def __reduce__(self) -> tuple[Any, ...]:
        return Report, (self.method, self.total_norm.cpu(), partial(list, self.numbers[1:]))

    # Comparison and arithmetic give tensors, as they do with the tensor this stands in for: no waiting.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return self.total_norm == _operand(other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return self.total_norm != _operand(other)

    def __lt__(self, other: Any) -> Tensor:
        return self.total_norm < _operand(other)

    def __le__(self, other: Any) -> Tensor:
        return self.total_norm <= _operand(other)

    def __gt__(self, other: Any) -> Tensor:
        return self.total_norm > _operand(other)

    def __ge__(self, other: Any) -> Tensor:
        return self.total_norm >= _operand(other)

    def __add__(self, other: Any) -> Tensor:
        return self.total_norm + _operand(other)

    def __radd__(self, other: Any) -> Tensor:
        return self.total_norm + _operand(other)

    def __sub__(self, other: Any) -> Tensor:
        return self.total_norm - _operand(other)

    def __rsub__(self, other: Any) -> Tensor:
        return _operand(other) - self.total_norm

    def __mul__(self, other: Any) -> Tensor:
        return self.total_norm * _operand(other)

    def __rmul__(self, other: Any) -> Tensor:
        return self.total_norm * _operand(other)

    def __truediv__(self, other: Any) -> Tensor:
        return self.total_norm / _operand(other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _operand(other) / self.total_norm

    def __pow__(self, other: Any) -> Tensor:
        return self.total_norm ** _operand(other)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.total_norm, name)

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return function(*map(_plain, args), **{key: _plain(value) for key, value in (kwargs or {}).items()})


def _plain(value: Any) -> Any:
    """`value` with every report in it replaced by its tensor."""
    if isinstance(value, Report):
        return value.total_norm
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return value


def _operand(value: Any) -> Tensor:
    """What stands on the other side of an operator: a tensor or a number, which torch takes alike."""
    operand: Tensor = _plain(value)
    return operand


def nothing(method: str, threshold: float) -> Report:
    """The report where no parameter has a gradient."""
    return Report(method, torch.tensor(0.0), partial(list, [0.0, 1.0, threshold, 0.0, 0.0]))


def one_factor(method: str, total: Tensor, factor: Tensor, threshold: Number) -> Report:
    """The report where all gradients were multiplied by the same factor: the direction is kept."""

    def measure() -> Sequence[Number]:
        norm = total.to(wide(total.device))
        acted = (factor < 1.0).to(norm.dtype)
        return norm * factor, torch.where(norm.isfinite(), 1.0, torch.nan), threshold, acted, acted

    return Report(method, total, measure)


def many_factors(
    method: str, total: Tensor, norms: Tensor, factors: Tensor, elements: Sequence[int], threshold: Number
) -> Report:
    """The report where the gradient of norm `norms[i]` was multiplied by `factors[i]`, both [n].

    With g = (g_1 ... g_n) and g' = (f_1 g_1 ... f_n g_n), |g'|^2 = sum f_i^2 |g_i|^2 and <g, g'> = sum f_i |g_i|^2:
    the cosine needs no second look at the gradients.
    """

    def measure() -> Sequence[Number]:
        dtype = wide(total.device)
        square, factor = norms.to(dtype) ** 2, factors.to(dtype)
        clipped = (factor < 1.0).to(dtype)
        sizes = on_device(elements, total.device).to(dtype)
        after = (factor**2 * square).sum().sqrt()
        angle = cosine(square.sum().sqrt(), after, (factor * square).sum())
        return after, angle, threshold, clipped.mean(), (clipped * sizes).sum() / sizes.sum().clamp(min=1.0)

    return Report(method, total, measure)


def cosine(before: Tensor, after: Tensor, product: Tensor) -> Tensor:
    """Of two vectors with these norms and this inner product. A vector of zeros has no direction to lose: 1."""
    zero = (before == 0.0) | (after == 0.0)
    return torch.where(zero, 1.0, product / (before * after)).clamp(-1.0, 1.0)
