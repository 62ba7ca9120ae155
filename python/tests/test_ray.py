"""Trials on a Ray cluster of two nodes on the loopback interface: both take part, and the verdicts are those at
home."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import standin
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import isogain
from isogain.curing import cure

ray = pytest.importorskip("ray")
# Where the package under test is: the source tree or what is installed.
PACKAGE = Path(isogain.__file__).resolve().parents[1]
TESTS = Path(__file__).resolve().parent


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head and a second node, one CPU each; only their own processes are ended."""
    address = f"127.0.0.1:{free_port()}"
    # Short, because sockets below it have names of at most 107 characters.
    folder = Path("/tmp") / f"isogain-ray-{os.getpid()}"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{PACKAGE}{os.pathsep}{TESTS}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    common = ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--node-ip-address=127.0.0.1"]
    head = [
        *start,
        "--head",
        f"--port={address.split(':')[1]}",
        "--include-dashboard=false",
        f"--temp-dir={folder}",
        *common,
    ]
    log = (tmp_path_factory.mktemp("ray") / "log").open("wb")
    nodes = [subprocess.Popen(head, env=environment, stdout=log, stderr=log, start_new_session=True)]
    try:
        wait_for(address, 1, nodes)
        second = [*start, f"--address={address}", *common]
        nodes.append(subprocess.Popen(second, env=environment, stdout=log, stderr=log, start_new_session=True))
        wait_for(address, 2, nodes)
        yield address
    finally:
        ray.shutdown()
        for node in reversed(nodes):
            node.terminate()
            node.wait(60)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(address: str, count: int, nodes: list[subprocess.Popen[bytes]]) -> None:
    """Until that many nodes are alive."""
    host, port = address.split(":")
    for _ in range(600):
        assert all(node.poll() is None for node in nodes), "a Ray node ended early"
        try:
            with socket.create_connection((host, int(port)), timeout=0.2):
                pass
            if not ray.is_initialized():
                ray.init(address=address, log_to_driver=False, _node_ip_address="127.0.0.1")
            if sum(node["Alive"] for node in ray.nodes()) == count:
                return
        except (ConnectionError, TimeoutError, OSError):
            pass
        time.sleep(0.1)
    raise TimeoutError(f"no {count} Ray nodes at {address} within a minute")


def build() -> nn.Module:
    layers = [part for _ in range(9) for part in (nn.Linear(16, 16), nn.ReLU())]
    return nn.Sequential(nn.Linear(20, 16), nn.ReLU(), *layers, nn.Dropout(0.1), nn.Linear(16, 4))


def blobs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres, targets = 1.5 * torch.randn(4, 20, generator=generator), torch.arange(200) % 4
    return centres[targets] + torch.randn(200, 20, generator=generator), targets


def test_two_nodes_say_what_one_machine_says(cluster: str, monkeypatch: Any) -> None:
    standin.install(monkeypatch, [standin.HE, standin.SKIP, standin.SLOWER])
    results = {}
    for executor in ("ray", "processes"):
        results[executor] = cure(
            build,
            (TensorDataset(*blobs()), TensorDataset(*blobs())),
            nn.functional.cross_entropy,
            steps=40,
            batch_size=16,
            executor=executor,
            progress=False,
        )
    there, here = results["ray"], results["processes"]
    assert there.data is not None and here.data is not None
    for result in (there, here):
        result.data["spent"].pop("seconds")
    assert there.data == here.data and there.verdicts == here.verdicts
    nodes = {f"node {node['NodeID']}" for node in ray.nodes()}
    assert set(there.places) == nodes and len(nodes) == 2
    assert sum(there.places.values()) == there.data["spent"]["trials"]
    assert ray.is_initialized(), "a connection that was there before stays"


def test_a_trial_that_raises_on_a_node_is_a_failed_one(cluster: str, monkeypatch: Any) -> None:
    wrong = standin.prescription("swap-activation", "activation = tanh", {"activation": "tanh"})

    class Fragile(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            if self.training and isinstance(self[1], nn.Tanh):
                raise RuntimeError("no tanh here")
            return super().forward(x)

    standin.install(monkeypatch, [wrong, standin.HE])
    result = cure(
        lambda: Fragile(*build()),
        blobs(),
        nn.functional.cross_entropy,
        steps=12,
        batch_size=16,
        executor="ray",
        progress=False,
    )
    assert result.failures["swap-activation (activation = tanh)"] == "RuntimeError: no tanh here"
