"""Train a small Llama model on books and export it as standard transformers files.

    python -m memagent_bench.training.lm --config CONFIG.toml --books DIR --out DIR
        [--start MODEL]

When restarted with the same arguments, it continues from its last checkpoint and ends with the
weights of an uninterrupted run. Knows nothing of the package that ships the result.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import platform
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from torch import nn

from memagent_bench.training import attention, grouped
from memagent_bench.training.blocks import BLOCK
from memagent_bench.training.choice import Chooser
from memagent_bench.training.data import (
    BOS,
    EOS,
    LANDMARK,
    encode_books,
    make_tokenizer,
    read_books,
)
from memagent_bench.training.evaluate import evaluate
from memagent_bench.training.model import build_model, build_optimizers, export
from memagent_bench.training.sequences import Batch, Sampler
from memagent_bench.training.settings import Settings, load_settings

log = logging.getLogger("lm")

VAL_CHARS = 100_000


def rate_at(step: int, settings: Settings) -> float:
    """The fraction of the full learning rate: linear warm-up, then a cosine down to a fiftieth."""
    warm, steps = settings.train.warmup_steps, settings.train.steps
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def loss_of(
    model: Any, batch: Batch, device: torch.device, chooser: Chooser | None = None, *, mixed: bool
) -> torch.Tensor:
    """Weighted sum of the cross-entropy of each token but the first; the chooser sees the batch."""
    if batch.landmark:
        model.set_attn_implementation(grouped.register())
    else:
        fused = "sdpa" if device.type == "cuda" else attention.register()
        model.set_attn_implementation(fused)
    ids = torch.from_numpy(batch.ids).to(device)
    positions = torch.from_numpy(batch.positions).to(device) if batch.landmark else None
    text = torch.from_numpy(batch.text).to(device)
    weights = torch.from_numpy(batch.weights).to(device)[:, text[1:]].reshape(-1)
    recall: dict[str, Any] = {}
    if batch.far is not None:
        recall["far"] = torch.from_numpy(batch.far).to(device)
        recall["inv_freq"] = model.model.rotary_emb.inv_freq
        recall["read"] = model.config.max_position_embeddings // BLOCK
        if chooser is not None and batch.wanted is not None:
            chooser.ask(torch.from_numpy(batch.wanted).to(device))
            recall["chooser"] = chooser
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        logits = model(input_ids=ids, position_ids=positions, use_cache=False, **recall).logits
    flat = logits[:, text[:-1]].float().flatten(0, 1)
    losses = nn.functional.cross_entropy(flat, ids[:, text[1:]].reshape(-1), reduction="none")
    return (losses * weights).sum()


class Run:
    """A training run in its folder: the state that a checkpoint stores, and its steps."""

    def __init__(
        self, settings: Settings, books: Path, out: Path, start: Path | None = None
    ) -> None:
        self.settings = settings
        self.out = out
        self.start = start
        train = settings.train
        torch.set_num_threads(train.threads)
        out.mkdir(parents=True, exist_ok=True)
        cuda = torch.cuda.is_available()
        chosen = train.device if train.device != "auto" else ("cuda" if cuda else "cpu")
        self.device = torch.device(chosen)
        native = cuda or torch.cpu._is_avx512_bf16_supported()
        self.mixed = train.precision == "bfloat16" or (train.precision == "auto" and native)
        special = [BOS, EOS, LANDMARK] if settings.landmarks else [BOS, EOS]
        self.tokenizer = make_tokenizer(
            out / "tokens.json", books, settings.data, special, self.start
        )
        corpus = encode_books(
            out / "corpus.npy", self.tokenizer, books, settings.data.chars_per_book
        )
        log.info("corpus of %d tokens", len(corpus))
        self.sampler = Sampler(corpus, self.tokenizer, train.seed, train.answer_weight)
        self.val = list(read_books(books, "val.jsonl.xz", VAL_CHARS))
        self.model = build_model(settings, self.tokenizer, start).to(self.device)
        self.optimizers = build_optimizers(self.model, settings)
        self.chooser = Chooser(settings.choice) if settings.choice else None
        self.missed: list[float] = []
        self.step = 0
        self.seconds = 0.0
        self.curve: list[dict[str, Any]] = []
        self._resume()

    def _resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        self.missed = state["missed"]
        if self.chooser:
            self.chooser.others = state["others"]
        log.info("resumed at step %d", self.step)

    def save(self) -> None:
        """Write the checkpoint; a kill at any moment leaves either the old one or the new one."""
        unfinished = self.out / "checkpoint.partial"
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "missed": self.missed,
            "others": self.chooser.others if self.chooser else None,
        }
        torch.save(state, unfinished)
        unfinished.replace(self.out / "checkpoint.pt")

    def advance(self) -> float:
        """Run one step; return its loss in nats per token."""
        train, phase = self.settings.train, self.settings.phase_at(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = train.learning_rate * rate_at(self.step, self.settings)
        batches = self.sampler.batches(self.step, train.batch_tokens, phase)
        whole = sum(float(batch.weights[:, 1:].sum()) for batch in batches)
        self.model.train()
        total = 0.0
        for batch in batches:
            loss = loss_of(self.model, batch, self.device, self.chooser, mixed=self.mixed) / whole
            total += loss.item()
            if self.chooser and (missed := self.chooser.take()) is not None:
                loss = loss + self.chooser.weight * missed
                self.missed.append(missed.item())
            loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return total

    def figures(self, *, count: int, chars: int) -> dict[str, Any]:
        """The scores of the current weights."""
        context = self.settings.phases[-1].context
        return evaluate(self.model, self.tokenizer, self.val, context, count=count, chars=chars)

    def train(self) -> None:
        """Run all remaining steps, with checkpoints and evaluations."""
        train = self.settings.train
        began, losses = time.monotonic(), []
        while self.step < train.steps:
            started = time.monotonic()
            losses.append(self.advance())
            if self.step % 50 == 0:
                rate = train.batch_tokens / (time.monotonic() - started)
                log.info("step %d loss %.4f, %.0f tokens/s", self.step, losses[-1], rate)
            if self.step % train.evaluate_every == 0:
                self.seconds += time.monotonic() - began
                point = {"step": self.step, "loss": sum(losses) / len(losses)}
                if self.missed:
                    point["choice"] = sum(self.missed) / len(self.missed)
                    self.missed = []
                self.curve.append(point | self.figures(count=48, chars=8_000))
                log.info("%s", json.dumps(self.curve[-1]))
                export(self.model, self.tokenizer, self.out / "export")
                began, losses = time.monotonic(), []
            if self.step % train.checkpoint_every == 0:
                self.seconds += time.monotonic() - began
                self.save()
                began = time.monotonic()
        self.seconds += time.monotonic() - began
        self.save()

    def report(self) -> dict[str, Any]:
        """The scores of the exported files, which are what ships, and the figures of the run."""
        train, phases = self.settings.train, self.settings.phases
        exported = transformers.LlamaForCausalLM.from_pretrained(
            self.out / "export", dtype=torch.float32
        ).to(self.device)
        score = partial(evaluate, exported, self.tokenizer, self.val, chars=VAL_CHARS, count=200)
        return {
            **score(phases[-1].context),
            "beyond_training_context": score(2 * phases[-1].context),
            "training_context": phases[-1].context,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "steps": self.step,
            "tokens": self.step * train.batch_tokens,
            "seconds": round(self.seconds),
            "seed": train.seed,
            "device": self.device.type,
            "mixed_precision": self.mixed,
            "settings": asdict(self.settings),
            "versions": {
                "python": platform.python_version(),
                "tokenizers": tokenizers.__version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
            "curve": self.curve,
        }


def main() -> None:
    """Read the arguments, train the remaining steps, export, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--books", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="exported model to continue training from")
    args = parser.parse_args()
    try:
        settings = load_settings(args.config)
    except (OSError, KeyError, TypeError, ValueError) as error:
        parser.error(f"{args.config}: {error}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    transformers.utils.logging.disable_progress_bar()
    run = Run(settings, args.books, args.out, args.start)
    run.train()
    export(run.model, run.tokenizer, args.out / "export")
    (args.out / "report.json").write_text(json.dumps(run.report(), indent=2) + "\n")
    log.info("written to %s", args.out)


if __name__ == "__main__":
    main()
