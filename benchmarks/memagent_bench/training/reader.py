"""Train the span reader: the bundled encoder with a span head, its embeddings frozen.

    python -m memagent_bench.training.reader --config CONFIG.toml --data DIR --out DIR

When restarted with the same arguments, it continues from its last checkpoint and ends with the
weights of an uninterrupted run on the same kind of machine. Knows nothing of the package that
ships the result, except the network and the reader that it trains.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import platform
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from memagent.engines.pocket.reader import Reader
from memagent.engines.pocket.weights import Calibration, load_network, new_network, save_network
from memagent.engines.pocket.windows import Window, load_tokenizer, tensors, windows
from memagent.memory.index.embedder import Embedder
from memagent_bench.training.calibrate import calibrated, held_back, score
from memagent_bench.training.lessons import Data, Lesson, in_batches, lessons

log = logging.getLogger("reader")

SPAN_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Train:
    """The optimization and its hardware; `[train]` of the configuration."""

    seed: int
    batch_tokens: int
    most_tokens: int
    learning_rate: float
    warmup: float
    weight_decay: float
    dropout: float
    device: str
    precision: str
    threads: int
    checkpoint_every: int
    evaluate_every: int


@dataclass(frozen=True, slots=True)
class Example:
    """A window of a lesson, and the first and last tokens of the answers in it."""

    window: Window
    spans: tuple[tuple[int, int], ...]


def example_of(lesson: Lesson, tokenizer: Any, most: int) -> Example | None:
    """The first window that contains an answer, or else the first; None if the answer is cut."""
    best = None
    for window in windows(tokenizer, lesson.question, [lesson.passage], most):
        spans = []
        for start, end in lesson.spans:
            inside = [
                place
                for place, (a, b) in enumerate(window.offsets, start=window.first)
                if a < end and b > start
            ]
            whole = window.offsets[0][0] <= start and window.offsets[-1][1] >= end
            if inside and whole:
                spans.append((inside[0], inside[-1]))
        if spans or not lesson.spans:
            return Example(window, tuple(spans))
        best = best or Example(window, ())
    # Otherwise an answer that no window contains would be trained as no answer.
    return None if lesson.spans else best


def loss_of(logits: torch.Tensor, examples: list[Example]) -> torch.Tensor:
    """Mean -log of the summed probability of all answers, or of "no answer" if there is none."""
    row, first, last = [], [], []
    for number, example in enumerate(examples):
        for start, end in example.spans or ((0, 0),):
            row.append(number)
            first.append(start)
            last.append(end)
    logs = logits.log_softmax(2)
    each = logs[row, 0, first] + logs[row, 1, last]
    total = torch.full((len(examples),), float("-inf"))
    rows = torch.tensor(row)
    # logsumexp by row, as an answer may occur several times.
    top = total.scatter_reduce(0, rows, each.detach(), "amax")
    summed = torch.zeros(len(examples)).index_add(0, rows, (each - top[rows]).exp())
    return -(top + summed.log()).mean()


class Run:
    """One training run in its folder."""

    def __init__(self, data: Data, train: Train, sets: Path, out: Path) -> None:
        self.data, self.settings, self.out = data, train, out
        torch.set_num_threads(train.threads)
        out.mkdir(parents=True, exist_ok=True)
        cuda = torch.cuda.is_available()
        self.device = torch.device(
            train.device if train.device != "auto" else ("cuda" if cuda else "cpu")
        )
        native = cuda or torch.cpu._is_avx512_bf16_supported()
        self.mixed = train.precision == "bfloat16" or (train.precision == "auto" and native)
        self.embedder = Embedder()
        tokenizer = load_tokenizer(self.embedder)
        taught = lessons(sets, data, train.seed)
        made = [example_of(lesson, tokenizer, train.most_tokens) for lesson in taught]
        self.examples = [example for example in made if example is not None]
        lengths = [len(example.window.ids) for example in self.examples]
        self.batches = in_batches(lengths, train.batch_tokens, train.seed)
        self.tokens = sum(lengths)
        self.kept = held_back(sets, train.seed)
        log.info("%d examples, %d steps", len(self.examples), len(self.batches))
        torch.manual_seed(train.seed)
        self.network = new_network(self.embedder).to(self.device)
        config = self.network.encoder.config
        config.attention_probs_dropout_prob = 0.0
        if self.device.type == "cpu":
            # On a CPU the backward pass of the fused attention takes a quarter of a step.
            self.network.encoder.set_attn_implementation("eager")
        for module in self.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = train.dropout
        for layer in self.network.encoder.encoder.layer:
            layer.attention.self.dropout.p = 0.0
        self.network.encoder.embeddings.requires_grad_(requires_grad=False)
        self.optimizer = self._optimizer()
        self.step, self.seconds = 0, 0.0
        self.curve: list[dict[str, Any]] = []
        self._resume()

    def _optimizer(self) -> torch.optim.Optimizer:
        trained = [p for p in self.network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1]},
            {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(
            groups,
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    def _resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if path.exists():
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
            log.info("resumed at step %d", self.step)

    def save(self) -> None:
        """Write the checkpoint; a kill at any moment leaves either the old one or the new one."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
        }
        torch.save(state, self.out / "checkpoint.partial")
        (self.out / "checkpoint.partial").replace(self.out / "checkpoint.pt")

    def rate(self) -> float:
        """The fraction of the full learning rate: linear warm-up, then linear to zero."""
        done = self.step / len(self.batches)
        warm = self.settings.warmup
        return min((done + 1e-4) / warm, (1 - done) / (1 - warm))

    def advance(self) -> float:
        """Run one step; return its loss in nats per question."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self.rate()
        examples = [self.examples[place] for place in self.batches[self.step]]
        # Dropout also depends on the seed and the step only.
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step)
        self.network.train()
        batch = (tensor.to(self.device) for tensor in tensors([e.window for e in examples]))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            logits = self.network(*batch)
        loss = loss_of(logits.cpu(), examples)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return loss.item()

    def train(self) -> None:
        """Run all remaining steps, with checkpoints and evaluations."""
        began, losses = time.monotonic(), []
        while self.step < len(self.batches):
            losses.append(self.advance())
            last = self.step == len(self.batches)
            if self.step % 50 == 0:
                log.info("step %d loss %.4f", self.step, math.fsum(losses[-50:]) / 50)
            if self.step % self.settings.evaluate_every == 0 or last:
                self.seconds += time.monotonic() - began
                point = {"step": self.step, "loss": math.fsum(losses) / len(losses)}
                self.curve.append(point | score(self.reader(), self.kept[:60]))
                log.info("%s", json.dumps(self.curve[-1]))
                began, losses = time.monotonic(), []
            if self.step % self.settings.checkpoint_every == 0 or last:
                self.seconds += time.monotonic() - began
                self.save()
                began = time.monotonic()

    def reader(self) -> Reader:
        """A reader with the current weights and uncalibrated scores."""
        calibration = Calibration(
            self.embedder.id, 1.0, 0.0, 0.5, self.settings.most_tokens, SPAN_TOKENS
        )
        return Reader.of(self.network.eval(), calibration, self.embedder)

    def report(self) -> dict[str, Any]:
        """The scores of the exported files, which are what ships, and the figures of the run."""
        export = self.out / "export"
        save_network(self.network, self.reader().calibration, export)
        network, calibration = load_network(export, self.embedder)
        shipped = Reader.of(network, calibration, self.embedder)
        calibration, figures = calibrated(shipped, self.kept)
        save_network(self.network, calibration, export)
        return {
            **figures,
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "trained_parameters": sum(
                p.numel() for p in self.network.parameters() if p.requires_grad
            ),
            "steps": self.step,
            "examples": len(self.examples),
            "tokens": self.tokens,
            "seconds": round(self.seconds),
            "device": self.device.type,
            "mixed_precision": self.mixed,
            "settings": {"data": asdict(self.data), "train": asdict(self.settings)},
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
            "curve": self.curve,
        }


def main() -> None:
    """Read the arguments, train the remaining steps, export, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("config", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    try:
        tables = tomllib.loads(args.config.read_text())
        data, train = Data(**tables["data"]), Train(**tables["train"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        parser.error(f"{args.config}: {error}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run = Run(data, train, args.data, args.out)
    run.train()
    (args.out / "report.json").write_text(json.dumps(run.report(), indent=2) + "\n")
    log.info("written to %s", args.out)


if __name__ == "__main__":
    main()
