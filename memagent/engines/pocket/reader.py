"""Find the spans of texts that answer a question, best first, with a confidence.

Knows nothing of events, citations or the store.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from memagent.engines.pocket.weights import load_network
from memagent.engines.pocket.windows import Window, load_tokenizer, tensors, windows
from memagent.memory.index.cpu import fast_products
from memagent.memory.index.embedder import Embedder
from memagent.models.bundled import pocket_reader

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from memagent.engines.pocket.network import SpanNetwork
    from memagent.engines.pocket.weights import Calibration

__all__ = ["Found", "Reader"]

_TOKENS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """Characters [start, end) of texts[text].

    `score` is the logit of the span minus that of no answer. `confidence` is the probability that
    the span is right, calibrated on questions that were held out from training.
    """

    text: int
    start: int
    end: int
    score: float
    confidence: float


class Reader:
    """The span reader in `folder`, by default the bundled one. Loaded on first use; thread-safe."""

    def __init__(self, folder: Path | None = None, embedder: Embedder | None = None) -> None:
        self.folder = folder or pocket_reader()
        self.embedder = embedder or Embedder()
        self._lock = threading.Lock()
        self._loaded: tuple[SpanNetwork, Calibration] | None = None

    @classmethod
    def of(cls, network: SpanNetwork, calibration: Calibration, embedder: Embedder) -> Reader:
        """A reader with weights that are in memory already."""
        reader = cls(embedder=embedder)
        reader._loaded = network, calibration
        return reader

    def read(self, question: str, texts: Sequence[str], per_text: int = 1) -> list[Found]:
        """The `per_text` best spans of each text, in one list, best first.

        Even the best one may be no answer; see `answers`. Raises InputError if the reader's files
        cannot be loaded.
        """
        network, calibration = self._load()
        parts = list(windows(self._tokenizer, question, texts, calibration.most_tokens))
        parts.sort(key=lambda part: len(part.ids))
        found: dict[tuple[int, int, int], Found] = {}
        for batch in _batches(parts):
            for span in self._spans(network, calibration, batch, per_text):
                key = (span.text, span.start, span.end)
                if key not in found or found[key].score < span.score:
                    found[key] = span
        best = sorted(found.values(), key=lambda span: -span.score)
        kept: list[Found] = []
        seen: dict[int, int] = {}
        for span in best:
            seen[span.text] = seen.get(span.text, 0) + 1
            if seen[span.text] <= per_text:
                kept.append(span)
        return kept

    @property
    def calibration(self) -> Calibration:
        """How its scores become confidences."""
        return self._load()[1]

    def cut(self, question: str, text: str, tokens: int) -> str | None:
        """The start of `text` that fills `tokens` with the question; None if it is too short."""
        window = next(windows(self._tokenizer, question, [text], tokens), None)
        if window is None or len(window.ids) < tokens:
            return None
        return text[: window.offsets[-1][1]]

    def answers(self, span: Found) -> bool:
        """Whether the span is confident enough to be an answer."""
        return span.confidence >= self.calibration.least

    def _load(self) -> tuple[SpanNetwork, Calibration]:
        with self._lock:
            if self._loaded is None:
                self._loaded = load_network(self.folder, self.embedder)
            return self._loaded

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.embedder)

    def _spans(
        self, network: SpanNetwork, calibration: Calibration, batch: list[Window], count: int
    ) -> list[Found]:
        import torch

        from memagent.engines.pocket.network import best_spans

        device = network.head.weight.device
        with torch.inference_mode(), fast_products(device.type):
            logits = network(*(tensor.to(device) for tensor in tensors(batch)))
            best = best_spans(logits.cpu(), calibration.span_tokens, count)
        found = []
        for window, scores, firsts, lasts in zip(
            batch, *(values.tolist() for values in best), strict=True
        ):
            for score, first, last in zip(scores, firsts, lasts, strict=True):
                if not math.isfinite(score):
                    continue
                start = window.offsets[first - window.first][0]
                end = window.offsets[last - window.first][1]
                confidence = 1 / (1 + math.exp(-(calibration.slope * score + calibration.offset)))
                found.append(Found(window.text, start, end, score, confidence))
        return found


def _batches(parts: list[Window]) -> list[list[Window]]:
    """Batches of windows, which are sorted by length, of a limited number of tokens each."""
    found: list[list[Window]] = []
    for part in parts:
        if not found or (len(found[-1]) + 1) * len(part.ids) > _TOKENS_AT_ONCE:
            found.append([])
        found[-1].append(part)
    return found
