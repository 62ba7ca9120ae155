"""`isogain.watch` in other people's training loops: `callbacks.lightning`, `callbacks.transformers`."""
