"""Computes one case now: reads one JSON object from stdin, writes the golden file's JSON to stdout.

    echo '{"case": "sigmoid_20"}' | python3 oracle/live.py

`{"case": NAME}` takes a case of cases.py, `activations` or `generator`; `{"network": {...}}` takes a case written out in
the same form, so that a caller can ask about a network of its own. Errors go to stderr with exit code 2.
"""

import json
import sys


def answer(request):
    # Imported here so that a missing PyTorch is an error like any other.
    import torch

    import activations
    import golden
    import networks
    from cases import CASES

    torch.set_num_threads(1)
    if "network" in request:
        return networks.run(request["network"])
    name = request["case"]
    if name == "activations":
        return activations.table()
    if name == "generator":
        return golden.generator_vectors()
    if name not in CASES:
        raise ValueError(f"unknown case {name!r}; known: {', '.join(sorted(CASES))}, activations, generator")
    return networks.run(CASES[name])


if __name__ == "__main__":
    try:
        json.dump(answer(json.load(sys.stdin)), sys.stdout)
    except (ImportError, KeyError, ValueError) as error:
        print(f"live.py: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
