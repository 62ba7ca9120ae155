"""Vectors for the clipping that adapts: AGC, AutoClip, ZClip and AdaGC from their definitions, in plain float64.

    python3 oracle/clip_family.py           writes crates/isogain/tests/golden/clip/family.json
    python3 oracle/clip_family.py --check   computes it again and compares; exit code 1 when it differs

Both halves of isogain are held against it: the engine (crates/isogain/tests/clipping.rs) and the Python package
(python/tests/test_clip_family.py). Nothing here but the sums of the papers; no framework, no code of either half.

{"parameters": {name: [[...]] or [...]}, "steps": [{name: gradient}], "kinds": {kind: {"settings", "norms": [norm after,
one for each step], "last": {name: gradient of the last step after clipping}}}}. Weights are [fan_in, fan_out], so that a
unit is a column; PyTorch has the transpose. `head` is the last layer, which AGC leaves alone.
"""

import json
import math
import pathlib
import random
import sys

FILE = pathlib.Path(__file__).resolve().parent.parent / "crates/isogain/tests/golden/clip/family.json"
SHAPES = {"fc.weight": (4, 3), "fc.bias": (3,), "head.weight": (3, 2), "head.bias": (2,)}
STEPS, SPIKES = 40, {12: 30.0, 25: 400.0, 39: 8.0}


def drawn(stream, scale):
    return {
        name: [[scale * stream.gauss(0, 1) for _ in range(shape[1])] for _ in range(shape[0])]
        if len(shape) == 2
        else [scale * stream.gauss(0, 1) for _ in range(shape[0])]
        for name, shape in SHAPES.items()
    }


def flat(tensor):
    return [value for row in tensor for value in (row if isinstance(row, list) else [row])]


def length(values):
    return math.sqrt(math.fsum(value * value for value in values))


def scaled(tensor, factor):
    return [[factor * v for v in row] if isinstance(row, list) else factor * row for row in tensor]


def norm_of(gradients):
    return length([value for tensor in gradients.values() for value in flat(tensor)])


def to_norm(norm, limit):
    return limit / norm if norm > limit else 1.0


def all_by(gradients, factor):
    return {name: scaled(tensor, factor) for name, tensor in gradients.items()}


def agc(steps, parameters, settings):
    for gradients in steps:
        clipped = {}
        for name, tensor in gradients.items():
            weight = parameters[name]
            if name.startswith("head"):
                clipped[name] = tensor
            elif isinstance(tensor[0], list):
                factors = []
                for unit in range(len(tensor[0])):
                    limit = settings["threshold"] * max(length([row[unit] for row in weight]), 1e-3)
                    factors.append(to_norm(length([row[unit] for row in tensor]), limit))
                clipped[name] = [[v * factors[unit] for unit, v in enumerate(row)] for row in tensor]
            else:
                clipped[name] = scaled(tensor, to_norm(length(tensor), settings["threshold"] * max(length(weight), 1e-3)))
        yield clipped


def auto_clip(steps, parameters, settings):
    norms = []
    for gradients in steps:
        norm = norm_of(gradients)
        norms = sorted([*norms, norm])
        rank = (len(norms) - 1) * settings["percentile"] / 100
        low, high = norms[math.floor(rank)], norms[math.ceil(rank)]
        yield all_by(gradients, to_norm(norm, low + (high - low) * (rank - math.floor(rank))))


def z_clip(steps, parameters, settings):
    first, mean, variance = [], 0.0, 0.0
    for gradients in steps:
        norm = norm_of(gradients)
        if len(first) < settings["warm_up"]:
            first.append(norm)
            mean = math.fsum(first) / len(first)
            variance = math.fsum((x - mean) ** 2 for x in first) / len(first)
            yield gradients
            continue
        z = (norm - mean) / (math.sqrt(variance) + 1e-6)
        kept = norm
        if z > settings["threshold"]:
            kept = mean + settings["threshold"] ** 2 * math.sqrt(variance) / z
        mean = settings["decay"] * mean + (1 - settings["decay"]) * kept
        variance = settings["decay"] * variance + (1 - settings["decay"]) * (kept - mean) ** 2
        yield all_by(gradients, min(1.0, kept / norm))


def ada_gc(steps, parameters, settings):
    gamma = {name: math.inf for name in SHAPES}
    for step, gradients in enumerate(steps):
        of_all = to_norm(norm_of(gradients), settings["start"])
        clipped = {}
        for name, tensor in gradients.items():
            norm = length(flat(tensor))
            if step < settings["warm_up"]:
                clipped[name] = scaled(tensor, of_all)
                gamma[name] = min(gamma[name], norm * of_all)
            else:
                limit = settings["threshold"] * gamma[name]
                clipped[name] = scaled(tensor, to_norm(norm, limit))
                gamma[name] = settings["decay"] * gamma[name] + (1 - settings["decay"]) * min(norm, limit)
        yield clipped


KINDS = {
    "agc": (agc, {"threshold": 0.3}),
    "auto-clip": (auto_clip, {"percentile": 30.0}),
    "z-clip": (z_clip, {"threshold": 2.5, "decay": 0.97, "warm_up": 8}),
    "ada-gc": (ada_gc, {"threshold": 1.04, "decay": 0.99, "warm_up": 8, "start": 2.0}),
}


def vectors():
    stream = random.Random(7)
    parameters = drawn(stream, 1.0)
    parameters["fc.bias"] = [0.0, 0.0, 0.0]
    steps = [drawn(stream, 0.3 * SPIKES.get(step, 1.0)) for step in range(STEPS)]
    kinds = {}
    for kind, (clip, settings) in KINDS.items():
        clipped = list(clip(steps, parameters, settings))
        norms = [norm_of(gradients) for gradients in clipped]
        kinds[kind] = {"settings": settings, "norms": norms, "last": clipped[-1]}
    return {"parameters": parameters, "steps": steps, "kinds": kinds}


def main():
    text = json.dumps(vectors(), separators=(",", ":")) + "\n"
    if "--check" in sys.argv[1:]:
        if FILE.read_text() != text:
            sys.exit(f"{FILE} is not what {pathlib.Path(__file__).name} computes")
        return
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text)


if __name__ == "__main__":
    main()
