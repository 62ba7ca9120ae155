"""Watching a PyTorch training: `isogain.watch`."""

from isogain.watching.watcher import Watcher

#: `isogain.watch(model, optimizer, ...)`.
watch = Watcher

__all__ = ["Watcher", "watch"]
