"""The search of crates/isogain/examples/trials_bench.rs in PyTorch eager, one thread.

    yes 1 | head -3 | python benches/search_torch.py

For each line on its input it does the search once and prints a JSON line: how many trainings, and the seconds that they
took, on the clock and on the processor. A training is 100 updates of ten ReLU layers of 64 on 1,437 samples of 64 numbers, then loss and accuracy on these
and on 360 others.
"""

import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

TRAININGS, STEPS, BATCH, DEPTH, WIDTH = 8, 100, 64, 10, 64
SAMPLES = {"train": 1437, "test": 360}


def network():
    widths = [64] + [WIDTH] * DEPTH + [10]
    layers = [layer for pair in zip(widths, widths[1:]) for layer in (nn.Linear(*pair), nn.ReLU())]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers[:-1])


def training(data, learning_rate):
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    inputs, labels = data["train"]
    order = torch.randperm(len(inputs))
    at = 0
    for _ in range(STEPS):
        if at + BATCH > len(inputs):
            order, at = torch.randperm(len(inputs)), 0
        rows = order[at : at + BATCH]
        at += BATCH
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        if not torch.isfinite(loss):
            return None
    with torch.no_grad():
        outputs = {part: model(inputs) for part, (inputs, _) in data.items()}
    losses = [float(functional.cross_entropy(outputs[part], labels)) for part, (_, labels) in data.items()]
    return losses + [float((outputs[part].argmax(1) == labels).double().mean()) for part, (_, labels) in data.items()]


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    # What the network could learn: the class is the largest of ten linear functions.
    teacher = torch.randn(64, 10)
    inputs = {part: torch.randn(count, 64) for part, count in SAMPLES.items()}
    data = {part: (inputs, (inputs @ teacher).argmax(1)) for part, inputs in inputs.items()}
    for _ in sys.stdin:
        start, start_on_processor = time.perf_counter(), time.process_time()
        for index in range(TRAININGS):
            training(data, 0.4 * 0.5**index)
        seconds, processor = time.perf_counter() - start, time.process_time() - start_on_processor
        print(
            json.dumps({"trainings": TRAININGS, "seconds": seconds, "processor_seconds": processor}),
            flush=True,
        )


if __name__ == "__main__":
    main()
