"""Networks that are known to train raise no error at their standard initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import isogain

VISION = {
    "resnet18": 64, "resnet50": 64, "vgg16_bn": 64, "densenet121": 64, "efficientnet_b0": 64, "convnext_tiny": 64,
    "vit_b_16": 224, "swin_t": 64,
}  # fmt: skip


def checked(model: torch.nn.Module, batch: Any, loss: Callable[..., Any] | None) -> isogain.Report:
    report = isogain.check(model.train(), batch, loss)
    assert not report.errors, report.errors
    total = report.flow["total_log_gain"]
    if total is not None:  # torchvision's transformers start with a head of zeros: no gradient behind it
        parts = sum(joint["log_gain"] for joint in report.flow["joints"])
        assert math.isclose(parts, total, rel_tol=1e-9, abs_tol=1e-9)
    return report


@pytest.mark.parametrize("name", VISION)
def test_vision(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    samples = 2 if VISION[name] > 64 else 8
    batch = torch.randn(samples, 3, VISION[name], VISION[name]), torch.randint(0, 1000, (samples,))
    report = checked(getattr(models, name)(), batch, F.cross_entropy)
    assert len(report.flow["joints"]) >= 15


@pytest.mark.parametrize("name", ["gpt2", "bert", "llama", "t5"])
def test_language(name: str) -> None:
    hf = pytest.importorskip("transformers")
    torch.manual_seed(0)
    size: dict[str, Any] = {"vocab_size": 1000, "bos_token_id": 0, "eos_token_id": 0}
    wide = size | {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4}
    models: dict[str, Callable[[], torch.nn.Module]] = {
        "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(n_layer=6, n_embd=128, n_head=4, **size)),
        "bert": lambda: hf.BertForMaskedLM(hf.BertConfig(**wide)),
        "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**wide)),
        "t5": lambda: hf.T5ForConditionalGeneration(
            hf.T5Config(num_layers=4, d_model=128, d_ff=512, num_heads=4, d_kv=32, decoder_start_token_id=0, **size)
        ),
    }
    tokens = torch.randint(0, 1000, (4, 32))
    report = checked(models[name](), {"input_ids": tokens, "labels": tokens}, None)
    blocks = [joint for joint in report.flow["joints"] if joint["kind"] == "residual"]
    assert len(blocks) >= 9


def test_vgg19_at_a_fixed_deviation() -> None:
    """Without batch norm, drawn at N(0, 0.01^2): the network that its authors could not train from scratch."""
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    model = models.vgg19(num_classes=10)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.01)
            torch.nn.init.zeros_(module.bias)
    batch = torch.randn(2, 3, 64, 64), torch.randint(0, 10, (2,))
    (finding,) = isogain.check(model, batch, F.cross_entropy).errors
    assert (finding["rule"], finding["layers"]) == ("vanishing-activation", ["features.0", "classifier.3"])
    assert finding["causes"][0]["cause"] == "weight-scale"


class Transformer(torch.nn.Module):
    """24 blocks that copy a sequence backwards."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(50, 64)
        self.places = torch.nn.Parameter(0.02 * torch.randn(32, 64))
        block = torch.nn.TransformerEncoderLayer(64, 4, 256, 0.0, batch_first=True, norm_first=norm_first)
        self.blocks = torch.nn.TransformerEncoder(block, 24, enable_nested_tensor=False)
        self.head = torch.nn.Linear(64, 50)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.embed(tokens) + self.places)).flatten(0, 1)


@pytest.mark.filterwarnings("ignore::isogain.FindingWarning")
@pytest.mark.parametrize("norm_first", [False, True])
def test_post_norm_at_a_high_rate_loses_its_gradient(norm_first: bool) -> None:
    """Healthy before training; without warm-up the rate breaks the post-norm one within ten steps."""
    torch.manual_seed(0)
    model = Transformer(norm_first)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4 if norm_first else 1e-2)
    with isogain.watch(model, optimizer, every=1) as watcher:
        for _ in range(20):
            tokens = torch.randint(0, 50, (8, 32))
            loss = F.cross_entropy(model(tokens), tokens.flip(1).flatten())
            optimizer.zero_grad()
            watcher.loss(loss)
            loss.backward()
            optimizer.step()
    found = [(finding.level, finding.rule) for finding in watcher.findings]
    if norm_first:
        assert not found
    else:
        assert ("error", "vanishing-gradient") in found
