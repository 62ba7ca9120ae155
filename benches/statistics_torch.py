"""The kernel's eight statistics by numpy and by PyTorch, one thread.

    echo 4096 | python benches/statistics_torch.py

For each line on its input, a number of kilobytes of f32, it prints a JSON line: the least milliseconds of some rounds of
each. Both do what a program without a kernel of its own does: a pass for each statistic, sums in f64.
"""

import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402

ROUNDS = 5


def by_numpy(x):
    finite = np.isfinite(x)
    non_finite = x.size - np.count_nonzero(finite)
    if non_finite:
        x = x[finite]
    wide = x.astype(np.float64)
    return (
        x.size,
        wide.sum(),
        np.dot(wide, wide),
        x.min(),
        x.max(),
        np.abs(x).max(),
        x.size - np.count_nonzero(x),
        non_finite,
    )


def by_torch(x):
    finite = torch.isfinite(x)
    non_finite = x.numel() - int(finite.sum())
    if non_finite:
        x = x[finite]
    wide = x.double()
    values = (wide.sum(), wide.square().sum(), x.min(), x.max(), x.abs().max(), x.numel() - torch.count_nonzero(x))
    return (x.numel(), *(float(value) for value in values), non_finite)


def main():
    torch.set_num_threads(1)
    for line in sys.stdin:
        x = np.random.default_rng(1).standard_normal(int(line) * 256, dtype=np.float32) * 1e-3
        cases = {"numpy_ms": (by_numpy, x), "torch_ms": (by_torch, torch.from_numpy(x))}
        least = dict.fromkeys(cases, float("inf"))
        times = max(1, 4096 // int(line))
        for _ in range(ROUNDS):
            for name, (statistics, values) in cases.items():
                start = time.perf_counter()
                for _ in range(times):
                    statistics(values)
                least[name] = min(least[name], (time.perf_counter() - start) * 1e3 / times)
        print(json.dumps(least), flush=True)


if __name__ == "__main__":
    main()
