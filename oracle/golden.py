"""Writes the golden vectors, one JSON per case, or checks the ones in the repository.

    python3 oracle/golden.py           writes crates/isogain/tests/golden/*.json
    python3 oracle/golden.py --check   computes them again and compares; exit code 1 when one differs

PyTorch, float64, one thread. The cases stand in cases.py, the numbers they start from in generator.py, what is measured in
networks.py. Every file is {case, torch_version, network, result}; activations.json and generator.json have their own keys
(activations.py, `generator_vectors` below).
"""

import argparse
import json
import math
import pathlib
import sys

import torch

import activations
import generator
import networks
from cases import CASES

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "crates/isogain/tests/golden"
# Two builds of PyTorch add in different orders; float64 leaves this much room in nets of this depth. The absolute part is
# for what is zero but for rounding: a bias gradient in front of batch norm.
RELATIVE, ABSOLUTE = 1e-9, 1e-15


def generator_vectors():
    """{case, streams: {number: [hex u64]}, weight, bias, norm_weight, norm_bias, inputs, targets, labels}: first draws of
    each kind; weight and bias are those of a linear layer with fan-out 2, fan-in 3, gain 1, from stream 1."""
    streams = {}
    for number in (generator.PARAMETERS, generator.INPUTS, generator.LABELS, generator.TARGETS):
        stream = generator.Stream(number)
        streams[str(number)] = [f"{stream.next_u64():016x}" for _ in range(4)]
    weight, bias = generator.linear_parameters(generator.Stream(generator.PARAMETERS), 2, 3, 1.0)
    stream = generator.Stream(generator.PARAMETERS)
    return {
        "case": "generator",
        "streams": streams,
        "weight": weight.tolist(),
        "bias": bias.tolist(),
        "norm_weight": generator.norm_weight(stream, 3).tolist(),
        "norm_bias": generator.norm_bias(stream, 3).tolist(),
        "inputs": generator.inputs(2, 3).tolist(),
        "targets": generator.targets(2, 2).tolist(),
        "labels": generator.labels(8, 10).tolist(),
    }


def all_results():
    yield generator_vectors()
    yield activations.table()
    for case in CASES.values():
        yield networks.run(case)


def rendered(value, indent=0):
    """JSON with one record per line: readable in a diff, and small."""
    pad = " " * (indent + 1)
    if isinstance(value, dict) and any(isinstance(x, (dict, list)) for x in value.values()):
        inner = [f"{pad}{json.dumps(k)}: {rendered(x, indent + 1)}" for k, x in value.items()]
        return "{\n" + ",\n".join(inner) + "\n" + " " * indent + "}"
    if isinstance(value, list) and any(isinstance(x, dict) for x in value):
        return "[\n" + ",\n".join(pad + rendered(x, indent + 1) for x in value) + "\n" + " " * indent + "]"
    return json.dumps(value, allow_nan=False)


def differences(expected, found, place):
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for key in expected.keys() - {"torch_version"}:
            yield from differences(expected[key], found[key], f"{place}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (a, b) in enumerate(zip(expected, found)):
            yield from differences(a, b, f"{place}[{index}]")
    elif isinstance(expected, float) and isinstance(found, float):
        if not math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            yield f"{place}: {expected!r} in the file, {found!r} computed"
    elif expected != found:
        yield f"{place}: {expected!r} in the file, {found!r} computed"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    failures, total = [], 0
    for result in all_results():
        path = GOLDEN / f"{result['case']}.json"
        if check:
            stored = json.loads(path.read_text(encoding="utf-8"))
            failures += differences(stored, json.loads(rendered(result)), path.name)
        else:
            GOLDEN.mkdir(parents=True, exist_ok=True)
            path.write_text(rendered(result) + "\n", encoding="utf-8")
        total += path.stat().st_size
    print(f"{len(CASES) + 2} files, {total} bytes, torch {torch.__version__}, {len(failures)} differences")
    for failure in failures[:20]:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
