"""Watching a PyTorch training: `isogain.watch`."""

from isogain.watching.watcher import Watcher, watch

__all__ = ["Watcher", "watch"]
