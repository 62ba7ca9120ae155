"""Find where a deep network's gradient vanishes or explodes, why, and which remedy works.

    import isogain
    print(isogain.check(model, batch, loss_fn))                  # one batch, before training
    with isogain.watch(model, optimizer, run="runs/mine") as w:  # during training; findings as they appear
        ...
    result = isogain.cure(build_model, data, loss_fn)            # tries remedies, verifies, returns the best
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isogain._core import __version__

if TYPE_CHECKING:
    from isogain import clip, updates
    from isogain.curing import cure
    from isogain.diagnose import check
    from isogain.findings import Finding, FindingError, FindingWarning
    from isogain.recorder import Recorder
    from isogain.report import Report
    from isogain.result import Result
    from isogain.surgery import CannotApply, Treatment, treat
    from isogain.watching import Watcher, watch

__all__ = [
    "CannotApply",
    "Finding",
    "FindingError",
    "FindingWarning",
    "Recorder",
    "Report",
    "Result",
    "Treatment",
    "Watcher",
    "__version__",
    "check",
    "clip",
    "cure",
    "treat",
    "updates",
    "watch",
]

# Where each name lives. Imported when it is asked for, so that `import isogain` needs no framework. No function has the name
# of its module: importing the module would put it in the function's place. A home with the name itself is the module.
_HOMES = {
    "CannotApply": "isogain.surgery",
    "Finding": "isogain.findings",
    "FindingError": "isogain.findings",
    "FindingWarning": "isogain.findings",
    "Recorder": "isogain.recorder",
    "Report": "isogain.report",
    "Result": "isogain.result",
    "Treatment": "isogain.surgery",
    "check": "isogain.diagnose",
    "Watcher": "isogain.watching",
    "clip": "isogain.clip",
    "cure": "isogain.curing",
    "treat": "isogain.surgery",
    "updates": "isogain.updates",
    "watch": "isogain.watching",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'isogain' has no attribute {name!r}")
    try:
        module = importlib.import_module(home)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise ModuleNotFoundError(f"isogain.{name} needs PyTorch: pip install torch", name="torch") from error
        raise
    value = globals()[name] = module if home == f"isogain.{name}" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
