"""Real networks at their standard initialisation raise no alarm while they train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import isogain


def findings(model: nn.Module, loss: Callable[[torch.Generator], torch.Tensor], steps: int = 12) -> list[str]:
    """Rules that spoke in a short training with AdamW at its usual rate."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    with isogain.watch(model, optimizer, on_finding=lambda finding: None) as w:
        for _ in range(steps):
            optimizer.zero_grad()
            value = loss(generator)
            w.loss(value)
            value.backward()
            optimizer.step()
    assert not w._guard.failures and not w._native.problems()
    return [str(finding) for finding in w.findings]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "convnext_tiny", "squeezenet1_1", "swin_t"])
def test_vision(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    model = getattr(models, name)(num_classes=10)

    def loss(generator: torch.Generator) -> torch.Tensor:
        x, y = torch.randn(8, 3, 64, 64, generator=generator), torch.randint(0, 10, (8,), generator=generator)
        return F.cross_entropy(model(x), y)

    assert findings(model, loss, steps=8) == []


@pytest.mark.parametrize("name", ["gpt2", "bert", "llama", "t5"])
def test_language(name: str) -> None:
    hf = pytest.importorskip("transformers")
    torch.manual_seed(0)
    size: dict[str, Any] = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 0}
    wide = size | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 6, "num_attention_heads": 2}
    models: dict[str, Callable[[], nn.Module]] = {
        "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(n_layer=6, n_embd=64, n_head=2, n_positions=32, **size)),
        "bert": lambda: hf.BertForMaskedLM(hf.BertConfig(**wide)),
        "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**wide)),
        "t5": lambda: hf.T5ForConditionalGeneration(
            hf.T5Config(num_layers=3, d_model=64, d_ff=128, num_heads=2, d_kv=32, decoder_start_token_id=0, **size)
        ),
    }
    model = models[name]()

    def loss(generator: torch.Generator) -> torch.Tensor:
        text = (torch.randint(0, 50, (8, 1), generator=generator) + torch.arange(16)) % 50
        value: torch.Tensor = model(input_ids=text, labels=text).loss
        return value

    assert findings(model, loss) == []
