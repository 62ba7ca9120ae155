"""Clipping between `loss.backward()` and `optimizer.step()`: what the core's kinds are in PyTorch and in `isogain.clip`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from isogain import clip
from isogain.surgery.errors import CannotApply


@dataclass(frozen=True)
class _Kind:
    source: str
    """How the function, or the class of clippers with a memory, is called."""
    method: Callable[..., Any]
    settings: Mapping[str, str]
    """The names of the settings in a change, and in the method."""
    is_each: bool = False
    """Whether it is called for each parameter on its own."""
    spares_heads: bool = False


_KINDS = {
    "value": _Kind("torch.nn.utils.clip_grad_value_", nn.utils.clip_grad_value_, {"threshold": "clip_value"}),
    "norm": _Kind("torch.nn.utils.clip_grad_norm_", nn.utils.clip_grad_norm_, {"threshold": "max_norm"}, is_each=True),
    "global-norm": _Kind("torch.nn.utils.clip_grad_norm_", nn.utils.clip_grad_norm_, {"threshold": "max_norm"}),
    "agc": _Kind("isogain.clip.agc_", clip.agc_, {"threshold": "clipping"}, spares_heads=True),
    "auto-clip": _Kind("isogain.clip.AutoClip", clip.AutoClip, {"percentile": "percentile"}),
    "z-clip": _Kind(
        "isogain.clip.ZClip", clip.ZClip, {"threshold": "z_threshold", "decay": "alpha", "warm_up": "warmup_steps"}
    ),
    "ada-gc": _Kind(
        "isogain.clip.AdaGC",
        clip.AdaGC,
        {"threshold": "lambda_rel", "decay": "beta", "warm_up": "warmup_steps", "start": "lambda_abs"},
    ),
}


class Clip:
    """Clips the gradients of a model in place. What it remembers is of one training."""

    def __init__(self, kind: str, settings: Mapping[str, float], heads: Iterable[str] = ()) -> None:
        self.kind, self.settings, self.heads = kind, dict(settings), tuple(heads)
        """`heads` are the paths of the layers that give the outputs; AGC leaves them alone."""
        self._of = _KINDS[kind]
        self._arguments = {self._of.settings[name]: value for name, value in settings.items()}
        self._clipper = self._of.method(**self._arguments) if self._remembers else None

    @classmethod
    def read(cls, change: Mapping[str, Any], heads: Callable[[], Iterable[str]]) -> Clip:
        """From a change, `{"kind": "agc", "threshold": 0.01}`; settings that are left out are the method's own. `heads` is asked
        where the kind leaves them alone. Raises `CannotApply` for what is no clipping."""
        kind = str(change.get("kind"))
        if kind not in _KINDS:
            raise CannotApply(f"clip = {kind}", f"no such kind; known: {', '.join(_KINDS)}")
        known = _KINDS[kind].settings
        # The core writes a threshold also where the kind has none.
        given = {name: value for name, value in change.items() if name != "kind" and (name in known or name != "threshold")}
        if unknown := sorted(given.keys() - known):
            raise CannotApply(f"clip = {kind}", f"has no setting {unknown[0]}; it has {', '.join(known)}")
        if "threshold" in known and not (isinstance(given.get("threshold"), int | float) and given["threshold"] > 0.0):
            raise CannotApply(f"clip = {kind}", f"needs a threshold above 0, not {given.get('threshold')!r}")
        try:
            return cls(kind, given, heads() if _KINDS[kind].spares_heads else ())
        except (TypeError, ValueError) as error:
            raise CannotApply(f"clip = {kind}", str(error)) from error

    @property
    def _remembers(self) -> bool:
        return isinstance(self._of.method, type)

    def __call__(self, model: nn.Module) -> None:
        spared = {parameter for path in self.heads for parameter in model.get_submodule(path).parameters()}
        parameters = [parameter for parameter in model.parameters() if parameter not in spared]
        if self._clipper is not None:
            self._clipper(parameters)
        else:
            for part in parameters if self._of.is_each else [parameters]:
                self._of.method(part, **self._arguments)

    def told(self) -> str:
        """What happens to the gradient, for a line of the diff."""
        settings = dict(self.settings)
        at = f" at {settings.pop('threshold'):g}" if "threshold" in settings else ""
        more = f" ({', '.join(f'{name} = {value:g}' for name, value in settings.items())})" if settings else ""
        heads = f", but for {', '.join(self.heads)}" if self.heads else ""
        return f"is clipped by {self.kind}{at}{more}{heads}"

    def code(self) -> list[str]:
        """Source of the same."""
        between = "between loss.backward() and optimizer.step():"
        if self._remembers:
            arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments.items())
            return [f"clipper = {self._of.source}({arguments})", between, "clipper(model.parameters())"]
        (threshold,) = self._arguments.values()
        if self._of.is_each:
            return [between, "for parameter in model.parameters():", f"    {self._of.source}(parameter, {threshold!r})"]
        if not self.heads:
            return [between, f"{self._of.source}(model.parameters(), {threshold!r})"]
        spared = ", ".join(f"*model.get_submodule({path!r}).parameters()" for path in self.heads)
        some = "[parameter for parameter in model.parameters() if parameter not in spared]"
        return [f"spared = {{{spared}}}", between, f"{self._of.source}({some}, {threshold!r})"]
