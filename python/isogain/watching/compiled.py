"""Taps within a compiled program.

A hook that is there when `torch.compile` traces the model becomes part of the program: an operation of our own that
returns nothing and is marked as having an effect, so that the compiler neither drops nor reorders it. No graph break,
`fullgraph=True` included. It needs `CustomOpDef.register_effect` (PyTorch 2.15 is tested); with an older PyTorch
the operations of a compiled model are not seen, only its parameters.

The operation stays in the program between measured steps and returns at once there.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from isogain.watching.hooks import Taps

__all__ = ["CAN_TAP", "enroll", "tap_in_graph"]

_TAPS: weakref.WeakValueDictionary[int, Taps] = weakref.WeakValueDictionary()
_enrolled = 0


def enroll(taps: Taps) -> int:
    """The number under which a compiled program finds these taps again."""
    global _enrolled
    _enrolled += 1
    _TAPS[_enrolled] = taps
    return _enrolled


@torch.library.custom_op("isogain::see", mutates_args=())
def _see(tensor: torch.Tensor, taps: int, place: int, backward: bool) -> None:
    found = _TAPS.get(taps)
    if found is not None:
        found.see_compiled(place, tensor, backward)


@_see.register_fake
def _see_nothing(tensor: torch.Tensor, taps: int, place: int, backward: bool) -> None:
    return None


def _mark_as_effect() -> bool:
    register = getattr(_see, "register_effect", None)
    kinds = getattr(torch.library, "EffectType", None)
    if register is None or kinds is None:
        return False
    register(kinds.ORDERED)
    return True


#: Whether this PyTorch lets an operation without a result stay in a compiled program.
CAN_TAP = _mark_as_effect()


class _Tap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, taps: int, place: int) -> torch.Tensor:
        ctx.taps, ctx.place = taps, place
        torch.ops.isogain.see(tensor, taps, place, False)
        # A view would be cheaper by hand, but what follows may write in place (`out += skip`), which autograd forbids for
        # views from here. The compiler fuses the copy into what reads it.
        return tensor.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = gradients
        torch.ops.isogain.see(gradient, ctx.taps, ctx.place, True)
        return gradient, None, None


def tap_in_graph(output: Any, taps: int, place: int) -> Any:
    """A module's output with the tap in it; what is no floating-point tensor (or tuple that starts with one) passes."""
    if not CAN_TAP or not torch.is_grad_enabled():
        return output
    if isinstance(output, torch.Tensor):
        return _Tap.apply(output, taps, place) if output.requires_grad else output
    if isinstance(output, tuple) and output and isinstance(output[0], torch.Tensor) and output[0].requires_grad:
        if type(output) is tuple:
            return (_Tap.apply(output[0], taps, place), *output[1:])
    return output
