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
