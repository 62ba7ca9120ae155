"""The callbacks with the real trainers."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from test_watch import batch, lines, mlp


class Samples(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    def __init__(self, size: int) -> None:
        self.x, self.y = batch(torch.Generator().manual_seed(0), size)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[at], self.y[at]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_lightning(tmp_path: Path, accumulate: int) -> None:
    lightning = pytest.importorskip("lightning")
    from isogain.callbacks.lightning import Watch

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self, depth: int) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.model = mlp(depth)
            self.losses: list[float] = []

        def training_step(self, pair: Any, index: int) -> torch.Tensor:
            x, y = pair
            loss = F.cross_entropy(self.model(x), y)
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.05)

    def fit(depth: int, **settings: Any) -> tuple[Any, Watch]:
        watch = Watch(**settings)
        module = Module(depth)
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            callbacks=[watch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accumulate_grad_batches=accumulate,
            gradient_clip_val=0.5,
            default_root_dir=tmp_path,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, torch.utils.data.DataLoader(Samples(640), batch_size=32))
        return module, watch

    module, watch = fit(2, run=tmp_path / "run")
    assert watch.findings == []
    assert watch.watcher is not None and not watch.watcher._guard.failures
    steps = lines(tmp_path / "run", "step")
    assert [step["step"] for step in steps][:10] == list(range(10))
    assert len(steps) == 20 // accumulate
    assert steps[0]["loss"] == pytest.approx(sum(module.losses[:accumulate]) / accumulate)
    assert steps[0]["joints"][0]["name"] == "model.0"
    # After clipping: what the optimizer gets.
    norm = sum(p["gradient"]["sum_of_squares"] for p in steps[0]["parameters"]) ** 0.5
    assert norm <= 0.5001
    _, watch = fit(30)
    assert [finding.rule for finding in watch.findings] == ["vanishing-gradient"]


def test_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate", reason="transformers.Trainer needs accelerate")
    from isogain.callbacks.transformers import Watch

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=32, vocab_size=50, n_positions=32, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config)
    text = (torch.arange(64)[:, None] + torch.arange(16)) % 50
    data = [{"input_ids": row, "labels": row} for row in text]
    watch = Watch(run=tmp_path / "run")
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=6,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=data, callbacks=[watch])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train()
    assert watch.findings == []
    assert watch.watcher is not None and not watch.watcher._guard.failures, watch.watcher._guard.failures
    steps = lines(tmp_path / "run", "step")
    assert [step["step"] for step in steps] == list(range(6))
    assert 3.5 < steps[0]["loss"] < 4.5, "ln 50 = 3.9"
    (header,) = lines(tmp_path / "run", "header")
    kinds = {op["name"]: op["kind"] for op in header["network"]["ops"]}
    assert kinds["transformer.h.0.attn.c_attn"] == "linear" and kinds["transformer.h.1.ln_1"] == "norm"
    first = {p["name"]: p for p in steps[0]["parameters"]}
    assert first["transformer.h.0.attn.c_attn.weight"]["gradient"]["count"] == 32 * 96
    assert first["transformer.h.0.attn.c_attn.weight"]["update"]["sum_of_squares"] > 0
