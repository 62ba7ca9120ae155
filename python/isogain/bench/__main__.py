"""`python -m isogain.bench [--models mlp,cnn,gpt] [--watchers WORD,...] [--rounds N] [--memory STEPS]`."""

from __future__ import annotations

import argparse
import os

#: Rounds and steps of a round for each model: some 20 s for each watcher.
SIZES = {"mlp": (40, 16), "cnn": (8, 4), "gpt": (8, 4)}


def main() -> None:
    """Prints a table, one line for each watcher."""
    parser = argparse.ArgumentParser(prog="python -m isogain.bench", description="What watching costs, as CPU time.")
    parser.add_argument("--models", default="mlp,cnn,gpt", help="names, separated by commas")
    parser.add_argument("--watchers", default="", help="words that a watcher's name must contain one of")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each comparison; 0 is about 20 s")
    parser.add_argument("--steps", type=int, default=0, help="steps of a round")
    parser.add_argument("--memory", type=int, default=0, help="instead: what so many steps add to memory (Linux)")
    arguments = parser.parse_args()
    # Before torch starts its threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    from isogain.bench.measure import compare
    from isogain.bench.models import MODELS
    from isogain.bench.watchers import WATCHERS, Unavailable

    torch.set_num_threads(1)
    if arguments.memory:
        from isogain.bench.memory import grown

        for every in (None, 1):
            objects, resident = grown(arguments.memory, every)
            cadence = "at every step" if every else "at the default cadence"
            print(f"{arguments.memory} steps {cadence}: {objects:+} bytes of Python objects, {resident:+} of the process")
        return
    words = [word for word in arguments.watchers.split(",") if word]
    print(f"torch {torch.__version__}, 1 thread, load {os.getloadavg()[0]:.1f}; CPU time of a step, watched over bare")
    for model in arguments.models.split(","):
        rounds, steps = SIZES[model]
        rounds, steps = arguments.rounds or rounds, arguments.steps or steps
        for name, make in WATCHERS.items():
            if words and not any(word in name for word in words):
                continue
            try:
                ratio = compare(MODELS[model], make, rounds, steps)
            except Unavailable as missing:
                print(f"{model}  {name:38} not compared, it needs {missing}", flush=True)
                continue
            print(f"{model}  {name:38} {ratio}  bare {ratio.bare_milliseconds:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
