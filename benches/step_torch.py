"""Times PyTorch eager's training steps of one of the networks in benches/networks, on one thread or as many as are named.

    yes 5 | head -40 | python benches/step_torch.py mlp-20x256 [THREADS]

Prints a JSON line that says how many parameters there are, then waits: for each line on its input, a number of steps, it
does so many and prints their times, {"ms": [...]}. A step is zero_grad, forward, backward, optimizer step. Times are
those of the process on the processor, because a shared machine makes a clock on the wall useless; of several threads
only that clock can tell.

`blas` in the first line names the matrix library PyTorch really loaded: "mkl", "openblas", "blis", "reference", or
"unknown". Debian's python3-torch calls whatever libblas.so.3 is, and the reference one is about 15 times slower than
libopenblas0-pthread, so a comparison against "reference" says nothing.
"""

import json
import os
import pathlib
import sys
import time

# Before torch is loaded: its OpenMP and BLAS threads otherwise spin against whatever else the machine does.
THREADS = int(sys.argv[2]) if len(sys.argv) > 2 else 1
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

WARM_UP = 3


def he_normal(model):
    """Weights from N(0, 2 / fan_in), biases of zero, as the recipes say: the default start would leave numbers so small
    that arithmetic itself gets slower."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return model


def mlp(depth, width):
    widths = [784] + [width] * (depth - 1) + [10]
    layers = [layer for pair in zip(widths, widths[1:]) for layer in (nn.Linear(*pair), nn.ReLU())]
    return he_normal(nn.Sequential(*layers[:-1]))


def cnn():
    return he_normal(
        nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Linear(128, 10),
        )
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        stride = outputs // inputs
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(y + self.shortcut(x))


def resnet20():
    channels = [16] * 4 + [32] * 3 + [64] * 3
    stem = [nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU()]
    blocks = [Block(*pair) for pair in zip(channels, channels[1:])]
    return he_normal(nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, steps, width = x.shape
        parts = self.qkv(self.norm(x)).split(width, dim=2)
        q, k, v = (part.view(batch, steps, self.heads, -1).transpose(1, 2) for part in parts)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.proj(y.transpose(1, 2).reshape(batch, steps, width))


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.fc, self.proj = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return x + self.proj(functional.gelu(self.fc(self.norm(x))))


class Gpt(nn.Module):
    def __init__(self, tokens=65, steps=64, width=128, heads=4, depth=4):
        super().__init__()
        self.embedding, self.position = nn.Embedding(tokens, width), nn.Parameter(torch.randn(steps, width))
        halves = [half for _ in range(depth) for half in (Attention(width, heads), FeedForward(width))]
        self.blocks, self.norm, self.head = nn.Sequential(*halves), nn.LayerNorm(width), nn.Linear(width, tokens)

    def forward(self, tokens):
        return self.head(self.norm(self.blocks(self.embedding(tokens) + self.position))).flatten(0, 1)


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(32, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.001)


def momentum(parameters):
    return torch.optim.SGD(parameters, lr=0.001, momentum=0.9)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.001)


def noise(*shape):
    """Numbers from N(0, 1), and a class for each sample."""
    return lambda: (torch.randn(*shape), torch.randint(0, 10, shape[:1]))


def tokens():
    return torch.randint(0, 65, (16, 64)), torch.randint(0, 65, (16 * 64,))


# Network, optimizer, batch.
NETWORKS = {
    "mlp-20x256": (lambda: mlp(20, 256), sgd, noise(128, 784)),
    "mlp-50x100": (lambda: mlp(50, 100), sgd, noise(64, 784)),
    "cnn": (cnn, sgd, noise(64, 1, 28, 28)),
    "resnet-20": (resnet20, momentum, noise(64, 3, 32, 32)),
    "gpt": (Gpt, adam, tokens),
    "lstm": (Lstm, adam, noise(64, 50, 32)),
}


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
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in NETWORKS:
        sys.exit(f"step_torch.py: unknown network '{name}': one of {', '.join(NETWORKS)}")
    torch.set_num_threads(THREADS)
    now = time.process_time if THREADS == 1 else time.perf_counter
    torch.manual_seed(0)
    network, optimizer, batch = NETWORKS[name]
    model = network()
    optimizer = optimizer(model.parameters())
    inputs, labels = batch()

    def milliseconds():
        start = now()
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        return (now() - start) * 1e3

    for _ in range(WARM_UP):
        milliseconds()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    first = {"network": name, "parameters": parameters, "torch": torch.__version__, "blas": loaded_blas()}
    print(json.dumps(first), flush=True)
    for line in sys.stdin:
        print(json.dumps({"ms": [milliseconds() for _ in range(int(line))]}), flush=True)


if __name__ == "__main__":
    main()
