"""Find where a deep network's gradient vanishes or explodes, why, and which remedy works.

    import isogain
    print(isogain.check(model, batch, loss_fn))                  # one batch, before training
    with isogain.watch(model, optimizer, run="runs/mine") as w:  # during training; findings as they appear
        ...
    result = isogain.cure(build_model, data, loss_fn)            # tries remedies, verifies, returns the best
"""

from isogain._core import __version__

__all__ = ["__version__"]
