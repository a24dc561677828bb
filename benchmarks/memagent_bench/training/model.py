"""The model of a run: initialized from a seed or another model, its optimizers, and its export.

Knows nothing of the training data.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from torch import nn

from memagent_bench.training.circuit import lay_induction
from memagent_bench.training.data import wrap
from memagent_bench.training.settings import Settings

__all__ = ["build_model", "build_optimizers", "export"]


def build_model(settings: Settings, tokenizer: Tokenizer, start: Path | None = None) -> Any:
    """A float32 model: that of the folder `start`, or a new one initialized from the seed."""
    torch.manual_seed(settings.train.seed)
    if start is not None:
        return _grown(start, settings, tokenizer.get_vocab_size())
    shape = asdict(settings.model)
    theta = shape.pop("rope_theta")
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **shape,
    )
    model = transformers.LlamaForCausalLM(config)
    lay_induction(model, settings.train.seed)
    return model


def _grown(start: Path, settings: Settings, vocab: int) -> Any:
    """The model of `start` with one more embedding row for each new token.

    A new row is the mean of the others plus noise of their standard deviation.
    """
    model = transformers.LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    shape = asdict(settings.model)
    theta = shape.pop("rope_theta")
    found = {name: getattr(model.config, name) for name in shape}
    if found != shape or model.config.rope_parameters["rope_theta"] != theta:
        raise SystemExit(f"the model in {start} has another shape: {found}")
    old = model.get_input_embeddings().weight.detach().clone()
    model.resize_token_embeddings(vocab, mean_resizing=False)
    with torch.no_grad():
        rows = model.get_input_embeddings().weight[len(old) :]
        rows.copy_(old.mean(0) + old.std(0) * torch.randn(rows.shape))
    return model


def build_optimizers(model: nn.Module, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the embedding and the norms."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named if p.ndim != 2 or "embed" in name]
    rate, decay = settings.train.learning_rate, settings.train.weight_decay
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, weight_decay=0.0, betas=(0.9, 0.98), fused=True),
    ]


def export(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the model in float16 and its tokenizer in the format of the standard classes."""
    unfinished = folder.with_suffix(".partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    config = transformers.LlamaConfig.from_dict(model.config.to_dict())
    half = transformers.LlamaForCausalLM(config).to(torch.float16)
    half.load_state_dict(model.state_dict())
    half.save_pretrained(unfinished)
    # safetensors makes files readable by their owner only, but a package is for everyone.
    (unfinished / "model.safetensors").chmod(0o644)
    wrap(tokenizer).save_pretrained(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
