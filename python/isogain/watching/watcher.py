"""`isogain.watch`: the life of a watched training, step by step."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from isogain import _core
from isogain.arguments import expect_int, expect_optional_int, holds_any
from isogain.findings import Finding, OnFinding, announce, check_on_finding
from isogain.watching.accumulated import AccumulatedGradients
from isogain.watching.device import DeviceSide, is_on_device
from isogain.watching.distributed import Processes, processes_of
from isogain.watching.guard import Guard
from isogain.watching.hooks import EVERYTHING, NOTHING, Taps
from isogain.watching.losses import LossSeen, look
from isogain.watching.optimizers import StepHooks, optimizers_of, rate_of, seen
from isogain.watching.parameters import MOST_COPIED, Filter, Parameters
from isogain.watching.scaling import Scaling
from isogain.watching.snapshots import FixedBatch

__all__ = ["Watcher"]


class Watcher:
    """A training that is watched: `isogain.watch(model, optimizer)`.

        with isogain.watch(model, optimizer, run="runs/mine") as w:
            for x, y in data:
                optimizer.zero_grad()
                loss = loss_fn(model(x), y)
                w.loss(loss)
                loss.backward()
                optimizer.step()

    It ends with the block, or by `close()`. What is found is warned of as it appears, kept in `findings` and written to the
    record. The weights that come out are those of the same training unwatched, bit for bit; an error of the watcher
    switches off the part concerned, and is told at the end.

    model: any module; before or after it is wrapped by DDP or sharded by FSDP2, and before a compiled model's first call.
    optimizer: one, several (list or mapping), or None: then call `w.step()` after each backward pass.
    run: folder of the record, the same as the command line's; none is written without it. A run that is there goes on, if
        it is that of a model with the same parameters.
    first_step: updates done before, for a training that goes on from a checkpoint. Left out it is 0, or the step after the
        last one recorded in the run that goes on; what it recorded from here on is left behind.
    every: measure every so many steps. The default measures every 32nd, at about 1 % of the time. The first 20 steps
        and those of the record's own cadence (20 in each decade) are always measured.
    steps: updates planned. With it, findings also say whether they can take the weights anywhere.
    loss_fn: a loss module, whose value is then taken without `w.loss`; so is that of a model that returns its loss. With
        `batch` it may be any function; then `w.loss` is still needed.
    losses: whether losses told within one step are means of its parts, or parts of its sum.
    on_finding: `"warn"`; `"raise"` for a `FindingError` at a finding of level error; or a function of one finding.
    parameters: a function of name and parameter that says which ones to look at.
    activations: whether modules are looked at, or only parameters.
    updates: whether the size of updates is measured, for which one copy of the weights is kept (up to 1 GiB).
    scaler: the `GradScaler`, if there is one: cotangents are divided by its scale, and overflows are noted.
    distributed: False for a training of this process's own although torch.distributed is initialised.
    dist_every: in a distributed training, measure only steps that are multiples of this.
    histogram: whether the record says how many values of each tensor have which order of magnitude, at the steps of its
        cadence: activations, cotangents, weights and gradients, counted by binary exponent.
    batch: a batch `(inputs, targets)` as `isogain.check` takes it, on which the model is checked at some steps, before the
        update; the record then holds the chain rule taken apart there. It costs a pass with everything kept.
    batch_at: those steps; 0, 1, 10, 100 and so on where left out.
    seed: for the record.

    Memory: some 400 bytes for each tensor watched, 1024 losses, 32 step records, and the copy of the weights. It does not
    grow with the training.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: object = None,
        *,
        run: str | os.PathLike[str] | None = None,
        every: int | None = None,
        steps: int | None = None,
        loss_fn: Callable[..., Any] | None = None,
        losses: Literal["mean", "sum"] = "mean",
        on_finding: OnFinding = "warn",
        parameters: Filter = "all",
        activations: bool = True,
        updates: bool = True,
        scaler: Any = None,
        distributed: bool | None = None,
        dist_every: int = 1,
        histogram: bool = False,
        batch: Any = None,
        batch_at: Iterable[int] | None = None,
        first_step: int | None = None,
        seed: int = 0,
    ) -> None:
        check_on_finding(on_finding)
        expect_int(1, dist_every=dist_every)
        expect_optional_int(1, every=every, steps=steps)
        if first_step is not None and first_step < 0:
            raise ValueError(f"first_step is {first_step}; steps count from 0")
        if losses not in ("mean", "sum"):
            raise ValueError(f'losses is {losses!r}; it must be "mean" or "sum"')
        if run is None and (histogram or batch is not None):
            raise ValueError(f"{'histogram' if histogram else 'batch'} is for the record: give the folder of one, run=...")
        if batch is None and batch_at is not None:
            raise ValueError("batch_at names steps for a batch, and there is none: give batch=(inputs, targets)")
        if loss_fn is not None and not isinstance(loss_fn, nn.Module) and batch is None:
            raise TypeError("loss_fn must be a module (nn.CrossEntropyLoss()); for a function, call w.loss(value)")
        self.findings: list[Finding] = []
        # Wrappers that hand everything on would only add to the names.
        inner = model.module if isinstance(model, (DistributedDataParallel, nn.DataParallel)) else model
        self._model = inner
        self._every = every
        self._steps = steps
        self._on_finding = on_finding
        self._scaling = Scaling(scaler)
        self._seed = seed
        self._losses_add = losses == "sum"
        self._updates = updates
        self._distributed = distributed
        self._dist_every = dist_every
        self._processes: Processes | None = None
        self._looked_around = False
        self._scale = 1.0
        self._step = 0
        self._active = True
        self._closed = False
        #: Losses of this step that are on a device, to be read when its copies arrive.
        self._losses: list[Any] = []
        self._knows_loss = False
        self._loss_seen: LossSeen | None = None
        self._guard = Guard(self._remove)
        self._optimizers = optimizers_of(optimizer)
        if self._optimizers and not holds_any(self._optimizers, inner):
            # No error: of weights kept in 16 bits it may move copies in 32.
            warnings.warn(
                "the optimizer holds no parameter of this model; unless it moves copies of them, make it from `model.parameters()`",
                stacklevel=2,
            )
        self._native = _core.Watch(run, getattr(torch._C, "_current_graph_task_id", None))
        self._parameters = Parameters(inner, parameters, self._native)
        self._histogram = histogram
        self._batch = None if batch is None else FixedBatch(inner, batch, loss_fn, batch_at, self._native)
        if run is not None and _holds_a_run(Path(run)):
            self._step = self._native.resume_run(self._parameters.sizes(), first_step)
        elif first_step is not None:
            self._step = first_step
        self._first_step = self._step
        self._taps: Taps | None = None
        if activations:
            self._taps = Taps(inner, self._native, self._guard, self._pass_begins)
        self._device: DeviceSide | None = None
        self._accumulated: AccumulatedGradients | None = None
        if self._scaling or not self._optimizers:
            self._accumulated = AccumulatedGradients(self._parameters, self._guard.run)
        self._handles: list[RemovableHandle] = []
        self._of_pass: list[RemovableHandle] = []
        self._returns_loss = False
        if isinstance(loss_fn, nn.Module):
            self._handles.append(loss_fn.register_forward_hook(self._on_loss))
        self._steppers = StepHooks(self._optimizers, self._before, self._after, self._end, self._closure_loss)
        self._begin()

    # What the user calls.

    def loss(self, value: torch.Tensor | float) -> None:
        """Tells the loss of this step; where gradients accumulate, of each batch. On a device it is read later."""
        if self._active and not (self._batch is not None and self._batch.runs):
            self._guard.run("loss", self._keep_loss, value)

    def step(self) -> None:
        """Ends a step, for trainings without an optimizer that is known to the watcher. To be called after the backward
        pass, before gradients are set to zero."""
        if self._optimizers:
            raise RuntimeError("w.step() is for watch(model, optimizer=None); this watcher follows its optimizer")
        if not self._looked_around:
            self._guard.run("distributed", self._look_around)
        self._take_snapshot()
        self._guard.run("gradients", lambda: self._read_gradients(None))
        self._end()

    def close(self) -> None:
        """Takes every hook away and ends the record. Says once what could not be watched."""
        if self._closed:
            return
        self._closed = True
        self._remove()
        told: list[tuple[str, str, str]] = []
        if self._device is not None:
            device = self._device
            self._guard.run("steps", lambda: told.extend(self._arrived(device, wait=True)))
        self._guard.run("record", self._native.close)
        self._guard.tell([*self._native.problems(), *self._parameters.problems()])
        self._tell(told)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def overflows(self) -> list[int]:
        """Steps that a loss scaler left out because a gradient overflowed."""
        return list(self._scaling.overflows)

    # What hooks call.

    def _on_loss(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.dim() == 0 and output.grad_fn is not None:
            self.loss(output)

    def _keep_loss(self, value: torch.Tensor | float) -> None:
        self._knows_loss = True
        if not self._looked_around:
            self._guard.run("distributed", self._look_around)
        if self._loss_seen is None and isinstance(value, torch.Tensor) and value.grad_fn is not None:
            self._loss_seen = look(value)
        if self._device is None:
            # What is not in this process's plain memory says what it is by itself.
            if not self._native.tell_loss(value):
                self._native.tell_loss(float(value.detach() if isinstance(value, torch.Tensor) else value))
        else:
            self._losses.append(value.detach() if isinstance(value, torch.Tensor) else value)

    def _closure_loss(self, value: Any) -> None:
        if value is not None and not self._losses and not self._native.has_loss():
            self.loss(value)

    def _on_pass(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if not torch.compiler.is_compiling() and torch.is_grad_enabled():
            self._pass_begins()

    def _pass_begins(self) -> None:
        if self._batch is not None and self._batch.runs:
            return
        if not self._looked_around:
            self._guard.run("distributed", self._look_around)
        # On a device the scale is one of its tensors: it is not waited for at every step.
        if self._scaling and (self._device is None or self._level != NOTHING):
            self._guard.run("loss scale", self._follow_scale)

    def _follow_scale(self) -> None:
        if self._scaling.overflowed(self._step):
            note = f"step {self._step}: a gradient overflowed at the loss scale, and the update was left out"
            self._native.note(note)
            self._end(skipped=not self._scaling.is_fault)
        if self._level != NOTHING:
            self._scale = self._scaling.scale()
            self._native.set_scale(self._scale)

    def _on_output(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Models that work out their loss themselves return it: as `output.loss`, or as their only output."""
        if torch.compiler.is_compiling() or (self._batch is not None and self._batch.runs):
            return
        if self._taps is not None and torch.is_grad_enabled():
            self._taps.read(output)
        loss = output if isinstance(output, torch.Tensor) else getattr(output, "loss", None)
        if isinstance(loss, torch.Tensor) and loss.dim() == 0 and loss.grad_fn is not None:
            self._returns_loss = True
            self.loss(loss)

    def _look_around(self) -> None:
        """Before the first pass, not at the start: processes may be joined and the model moved in between."""
        self._looked_around = True
        if is_on_device(self._model):
            self._device = DeviceSide(self._native, self._parameters)
            self._device.begin(self._step, self._level, self._wants_histograms())
            if self._taps is not None:
                self._taps.device = self._device
        self._processes = processes_of(self._distributed)
        if self._processes is not None:
            self._native.set_processes(self._processes.count)
            self._native.writes(self._processes.rank == 0)
            # Not every process may see the folder of the run that goes on.
            first = self._processes.first_step(self._step)
            if first != self._step:
                self._step = self._first_step = first
                self._begin()

    def _before(self, optimizer: Optimizer, closure: bool) -> None:
        if not self._looked_around:
            self._guard.run("distributed", self._look_around)
        if self._level == NOTHING:
            return
        if closure:
            # The gradients are those of the last step until the closure has run.
            self._guard.run("weights", lambda: self._read_weights(optimizer))
            return
        self._take_snapshot()
        self._guard.run("gradients", lambda: self._read_gradients(optimizer))
        self._guard.run("weights", lambda: self._read_weights(optimizer))

    def _after(self, optimizer: Optimizer) -> None:
        self._scaling.updated()
        if self._level == EVERYTHING and self._updates:
            self._guard.run("updates", lambda: self._read("update", self._parameters.places(optimizer)))

    def _end(self, skipped: bool = False) -> None:
        if not self._active:
            return
        told: list[tuple[str, str, str]] = []

        def finish() -> None:
            if self._device is not None:
                told.extend(self._finish_on_device(self._device, skipped))
            else:
                rate = rate_of(self._optimizers)
                told.extend(self._conclude(self._step, self._level, self._mean_loss(), rate, skipped))

        self._guard.run("steps", finish)
        self._step += 1
        if self._active:
            self._begin()
        # Outside of what catches the watcher's own errors: what the user's function raises is for the user.
        self._tell(told)

    def _pass_by(self) -> None:
        """The end of a step of which only the loss is wanted."""
        self._guard.run("steps", self._note_loss)

    def _note_loss(self) -> None:
        if self._native.pass_by(self._step, self._losses_add):
            self._end()
            return
        self._step += 1
        if self._step >= self._next_measured:
            self._begin()

    def _tell(self, told: list[tuple[str, str, str]]) -> None:
        for document, text, _ in told:
            finding = Finding.parse(document, text)
            self.findings.append(finding)
            if self._on_finding != "warn" or self._processes is None or self._processes.rank == 0:
                announce(finding, self._on_finding)

    def _conclude(
        self, step: int, level: int, loss: float | None, rate: float, skipped: bool
    ) -> list[tuple[str, str, str]]:
        """Judges a step whose statistics are in the native half."""
        if self._processes is not None and not skipped:
            # A loss of this process alone would lead it to findings of its own.
            reduces = level != NOTHING
            loss = self._processes.reduce(self._native, self._parameters, self._taps, loss) if reduces else None
        if level != NOTHING and not self._native.is_described():
            description = self._description()
            if self._processes is not None:
                description = self._processes.agree(description, self._native)
            self._native.describe(json.dumps(description))
            self._check_taps()
        return self._native.finish(step, loss, rate, skipped)

    def _finish_on_device(self, device: DeviceSide, skipped: bool) -> list[tuple[str, str, str]]:
        told = self._arrived(device, wait=self._processes is not None)
        losses = [value if isinstance(value, torch.Tensor) else torch.tensor(float(value)) for value in self._losses]
        if skipped:
            device.begin(self._step, NOTHING)
        else:
            processes = self._processes.count if self._processes is not None else 1
            device.end(losses, rate_of(self._optimizers), self._scale, processes)
        return told

    def _arrived(self, device: DeviceSide, wait: bool) -> list[tuple[str, str, str]]:
        told: list[tuple[str, str, str]] = []
        while (arrived := device.arrived(wait)) is not None:
            packet, loss = arrived
            if self._losses_add and loss is not None:
                loss *= packet.losses_told
            told += self._conclude(packet.step, packet.level, loss, packet.learning_rate, False)
        return told

    # How a step goes.

    def _begin(self) -> None:
        self._losses.clear()
        step = self._step
        self._next_measured = _core.Watch.next_measured(step, self._every)
        self._level = NOTHING if step < self._next_measured else _core.Watch.level(step, self._every)
        if self._processes is not None and step % self._dist_every:
            self._level = NOTHING
        elif step == self._first_step:
            # What the network is, only a step that is measured in full tells.
            self._next_measured, self._level = step, EVERYTHING
        self._snapshot_due = self._batch is not None and self._batch.is_due(step)
        if self._batch is not None:
            self._next_measured = min(self._next_measured, self._batch.next(step))
            if self._snapshot_due:
                self._level = EVERYTHING
        self._steppers.quiet = self._pass_by if self._is_quiet() else None
        self._attend()

        def begin() -> None:
            if self._level != NOTHING:
                self._native.begin(self._level, 1.0)
                self._native.take_histograms(self._wants_histograms())
            self._scale = 1.0
            if self._device is not None:
                self._device.begin(self._step, self._level, self._wants_histograms())
            if self._taps is not None:
                self._taps.install(self._level)
            if self._accumulated is not None:
                self._accumulated.install(self._level != NOTHING)

        self._guard.run("steps", begin)

    def _is_quiet(self) -> bool:
        """Whether nothing but the loss is wanted of this step, and nobody else must be asked."""
        alone = self._processes is None and self._device is None and not self._scaling
        return alone and self._looked_around and self._level == NOTHING and len(self._optimizers) == 1

    def _attend(self) -> None:
        """Puts the hooks of the whole model in place, or takes them away for steps at which they would find nothing."""
        if self._level == NOTHING and self._looked_around and not self._scaling and not self._returns_loss:
            for handle in self._of_pass:
                handle.remove()
            self._of_pass.clear()
        elif not self._of_pass:
            self._of_pass = [
                self._model.register_forward_pre_hook(self._on_pass),
                self._model.register_forward_hook(self._on_output),
            ]

    def _wants_histograms(self) -> bool:
        return self._histogram and _core.Watch.is_written(self._step)

    def _take_snapshot(self) -> None:
        if self._snapshot_due and self._batch is not None:
            self._snapshot_due = False
            self._guard.run("batch", self._batch.take, self._step)

    def _read_gradients(self, optimizer: Optimizer | None) -> None:
        self._read("gradient", self._parameters.places(optimizer))

    def _read_weights(self, optimizer: Optimizer | None) -> None:
        if self._level == EVERYTHING:
            keep = self._updates and self._parameters.bytes <= MOST_COPIED
            self._read("weight", self._parameters.places(optimizer), keep)

    def _read(self, which: Literal["weight", "gradient", "update"], places: list[int], keep: bool = False) -> None:
        if self._device is not None:
            self._device.read(which, places, keep)
        else:
            self._parameters.read(which, places, keep=keep)

    def _mean_loss(self) -> float | None:
        return self._native.take_loss(self._losses_add)

    def _description(self) -> dict[str, Any]:
        loss = self._loss_seen
        known = "other" if self._knows_loss else "unknown"
        return {
            "source": type(self._model).__name__,
            "optimizer": seen(self._optimizers),
            "steps": self._steps,
            "baseline": loss.baseline if loss else None,
            "loss": loss.kind if loss else known,
            "target": loss.target if loss else None,
            "double_precision": any(tensor.dtype == torch.float64 for tensor in self._parameters.tensors),
            "seed": self._seed,
        }

    def _check_taps(self) -> None:
        if self._taps is not None and len(self._taps) and not self._native.names("activation"):
            warnings.warn(
                "isogain.watch saw no activation in the first step. A model that was compiled and called before ignores "
                "new hooks: call isogain.watch before its first call, or torch.compiler.reset(). Parameters are watched.",
                stacklevel=2,
            )

    def _remove(self) -> None:
        self._active = False
        self._steppers.remove()
        if self._taps is not None:
            self._taps.install(NOTHING)
        if self._accumulated is not None:
            self._accumulated.install(False)
        for handle in [*self._handles, *self._of_pass]:
            handle.remove()
        self._handles.clear()
        self._of_pass.clear()


def _holds_a_run(folder: Path) -> bool:
    """Whether a run is recorded there; a file that a full disk left empty holds nothing."""
    file = folder / "run.jsonl"
    return file.exists() and file.stat().st_size > 0
