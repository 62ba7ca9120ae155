"""Gradient clipping that says what it did.

    from isogain import clip
    report = clip.by_global_norm_(model.parameters(), max_norm=1.0)   # as torch.nn.utils.clip_grad_norm_
    print(report)                                                     # norm 12.3 -> 1 (threshold 1, cosine 1.0000 ...)

    clipper, log = clip.ZClip(), clip.Log()
    log(clipper(model.parameters()))                                  # at every step
    print(log)                                                        # how often it acted; a threshold to use

Call them where gradients are whole: after `backward` (and `scaler.unscale_`), before `optimizer.step`.

| method | threshold is for | direction | source |
|---|---|---|---|
| `by_value_` | each value | turns | |
| `by_norm_` | the norm of each tensor | turns | |
| `by_global_norm_` | the norm of all gradients | kept | Pascanu 2013 |
| `agc_` | each unit's norm, relative to its weights' | turns | Brock 2021 |
| `AutoClip` | the norm of all gradients: a percentile of its history | kept | Seetharaman 2020 |
| `ZClip` | the norm of all gradients: an outlier among recent ones | kept | Kumar 2025 |
| `AdaGC` | the norm of each tensor, relative to its recent ones | turns | Wang 2025 |
"""

from isogain.clip.adagc import AdaGC
from isogain.clip.agc import agc_
from isogain.clip.autoclip import AutoClip
from isogain.clip.by_global_norm import by_global_norm_
from isogain.clip.by_norm import by_norm_
from isogain.clip.by_value import by_value_
from isogain.clip.clipper import Clipper
from isogain.clip.log import Log, Proposal
from isogain.clip.report import Numbers, Report
from isogain.clip.zclip import ZClip

__all__ = [
    "AdaGC",
    "AutoClip",
    "Clipper",
    "Log",
    "Numbers",
    "Proposal",
    "Report",
    "ZClip",
    "agc_",
    "by_global_norm_",
    "by_norm_",
    "by_value_",
]
