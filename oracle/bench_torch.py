"""Times PyTorch eager's training step of a ReLU network (SGD, cross-entropy), one thread; prints one JSON line.

    python3 oracle/bench_torch.py --depth 20 --width 256 --batch 128 --inputs 784 --steps 200

`depth` counts linear layers: inputs -> width, depth - 2 times width -> width, width -> classes. A step is zero_grad,
forward, backward, optimizer step. Times are those on the processor, because a shared machine makes a clock on the wall
useless. Written: {median_ms, min_ms, steps, torch_version, blas}.

`blas` names the matrix library PyTorch really loaded: "mkl", "openblas", "blis", "reference", or "unknown". Debian's
python3-torch calls whatever libblas.so.3 is, and the reference one makes this step about 15 times slower than
libopenblas0-pthread does, so a comparison against "reference" says nothing; a warning goes to stderr then.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

# Before torch is loaded: its OpenMP and BLAS threads otherwise spin against whatever else the machine does.
os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def loaded_blas():
    """Which matrix library is mapped into this process (Linux), or linked into PyTorch."""
    if torch.backends.mkl.is_available():
        return "mkl"
    maps = pathlib.Path("/proc/self/maps")
    lines = maps.read_text(encoding="utf-8").splitlines() if maps.exists() else []
    files = {pathlib.PurePath(line.split()[-1]) for line in lines if ".so" in line}
    # Debian: libblas.so.3 is called, and OpenBLAS and BLIS bring one in a folder of their own name. Elsewhere PyTorch is
    # linked to its own copy of the library itself.
    called = [str(path) for path in files if path.name.startswith("libblas.so")] or [str(path) for path in files]
    for name in ("openblas", "blis"):
        if any(name in path for path in called):
            return name
    return "reference" if any("libblas.so" in path for path in called) else "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=positive, default=20)
    parser.add_argument("--width", type=positive, default=256)
    parser.add_argument("--batch", type=positive, default=128)
    parser.add_argument("--inputs", type=positive, default=784)
    parser.add_argument("--classes", type=positive, default=10)
    parser.add_argument("--steps", type=positive, default=200)
    parser.add_argument("--warm-up", type=int, default=10)
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(0)
    widths = [args.inputs] + [args.width] * (args.depth - 1) + [args.classes]
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(args.batch, args.inputs)
    labels = torch.randint(0, args.classes, (args.batch,))

    times_ms = []
    for step in range(args.warm_up + args.steps):
        start = time.process_time()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
        if step >= args.warm_up:
            times_ms.append((time.process_time() - start) * 1e3)
    blas = loaded_blas()
    if blas == "reference":
        print("bench_torch.py: reference BLAS is loaded; install libopenblas0-pthread", file=sys.stderr)
    print(
        json.dumps(
            {
                "median_ms": statistics.median(times_ms),
                "min_ms": min(times_ms),
                "steps": args.steps,
                "torch_version": torch.__version__,
                "blas": blas,
            }
        )
    )


if __name__ == "__main__":
    main()
