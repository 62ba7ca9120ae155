"""When gradients are whole, and when a step is over: the hooks of one or several optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from isogain.updates import in_a_recipe

__all__ = ["StepHooks", "optimizers_of", "seen"]


def optimizers_of(given: object) -> list[Optimizer]:
    """The optimizers in what the user gave: one, several, or none. Wrappers are taken off."""
    if given is None:
        return []
    if isinstance(given, Mapping):
        given = list(given.values())
    several: Iterable[Any] = given if isinstance(given, (list, tuple)) else (given,)
    found = []
    for optimizer in several:
        inner = getattr(optimizer, "optimizer", optimizer)
        if not isinstance(inner, Optimizer):
            raise TypeError(
                f"{type(optimizer).__name__} is no torch.optim.Optimizer; without one, pass optimizer=None and call "
                "w.step() after each update"
            )
        found.append(inner)
    return found


def seen(optimizers: list[Optimizer]) -> dict[str, Any]:
    """The optimizer in the terms of a recipe. A family that rescales the gradient counts as Adam; one of which nothing
    is known too, since its step does not shrink with the gradient for sure; and any whose steps hooks of `isogain.updates` give
    a size of their own, without eps."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    # A scheduler keeps what its warm-up leads to in `initial_lr`.
    rates = [float(group.get(name) or 0.0) for group in groups for name in ("lr", "initial_lr")]
    names = [type(optimizer).__name__ for optimizer in optimizers]
    momentum = max((float(group.get("momentum", 0.0)) for group in groups), default=0.0)
    rate = max(rates, default=0.0) or 1e-3
    changed = {name for optimizer in optimizers for name in in_a_recipe(optimizer)}
    if changed & {"name", "trust_ratio"}:
        return {"name": "adam", "learning_rate": rate, "eps": 0.0}
    if names and all(name == "SGD" for name in names):
        return {"name": "momentum" if momentum else "sgd", "learning_rate": rate, "momentum": momentum}
    is_adam = bool(names) and all("Adam" in name for name in names)
    eps = min((float(group.get("eps", 0.0)) for group in groups), default=0.0) if is_adam else 0.0
    return {"name": "adam", "learning_rate": rate, "eps": eps}


def rate_of(optimizers: list[Optimizer]) -> float:
    """Largest learning rate in use."""
    rates = [float(group.get("lr") or 0.0) for optimizer in optimizers for group in optimizer.param_groups]
    return max(rates, default=float("nan"))


class StepHooks:
    """Calls `before(optimizer)` once its gradients are whole, `after(optimizer)` once its weights have moved, and
    `ended()` once every optimizer has stepped, or one of them is about to step again."""

    def __init__(
        self,
        optimizers: list[Optimizer],
        before: Callable[[Optimizer, bool], None],
        after: Callable[[Optimizer], None],
        ended: Callable[[], None],
        loss: Callable[[Any], None],
    ) -> None:
        self._before, self._after, self._ended, self._loss = before, after, ended, loss
        #: Ends a step of which only the loss is wanted, in place of all else; for one optimizer alone.
        self.quiet: Callable[[], None] | None = None
        self._waiting = {id(optimizer) for optimizer in optimizers}
        self._all = frozenset(self._waiting)
        self._handles: list[RemovableHandle] = []
        for optimizer in optimizers:
            self._handles.append(optimizer.register_step_pre_hook(self._on_before))
            self._handles.append(optimizer.register_step_post_hook(self._on_after))

    def _on_before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # Called without a closure: only the optimizer itself is there.
        if self.quiet is not None and len(args) == 1 and not kwargs:
            return None
        if id(optimizer) not in self._waiting:
            self._end()
        # The hook gets `step`'s arguments with the optimizer itself before them.
        at = next((at for at, argument in enumerate(args) if callable(argument) and argument is not optimizer), None)
        closure = kwargs.get("closure") if at is None else args[at]
        if closure is None:
            self._before(optimizer, False)
            return None
        self._before(optimizer, True)
        watched = self._watched(optimizer, closure)
        if at is None:
            return args, {**kwargs, "closure": watched}
        return (*args[:at], watched, *args[at + 1 :]), kwargs

    def _watched(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure, whose first evaluation in a step makes the gradient that is looked at."""
        first = True

        def evaluate() -> Any:
            nonlocal first
            loss = closure()
            if first:
                first = False
                self._loss(loss)
                self._before(optimizer, False)
            return loss

        return evaluate

    def _on_after(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.quiet is not None:
            self.quiet()
            return
        self._after(optimizer)
        self._waiting.discard(id(optimizer))
        if not self._waiting:
            self._end()

    def _end(self) -> None:
        self._waiting = set(self._all)
        self._ended()

    def remove(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
