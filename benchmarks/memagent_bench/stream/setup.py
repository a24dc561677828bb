"""Shared by the measurements: the model, the text, and streams sized for the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.errors import InputError
from memagent_bench.data.books import read_books
from memagent_bench.report import CheckError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from memagent.streaming.config import StreamConfig
    from memagent.streaming.stream import Stream

__all__ = ["Subject", "book", "compared", "load"]

_LEAST_TOKENS = 4096
_BLOCK = 64  # slots of a block, including its landmark
# After more tokens only these selectors are compared, to save time.
_FAR = 16_384
_FAR_SELECTORS = ("recent", "representative")


@dataclass(frozen=True)
class Subject:
    """The model being measured; `window` is the context length of its training, in tokens."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    window: int

    def encode(self, text: str) -> Tensor:
        """Token ids [1, T], without special tokens."""
        read = self.tokenizer(text, add_special_tokens=False, return_tensors="pt", verbose=False)
        found: Tensor = read["input_ids"]
        return found

    @property
    def landmark(self) -> int | None:
        """Id of the token that ends a block; None for a model trained without landmarks."""
        found: int | None = getattr(self.tokenizer, "landmark_token_id", None)
        return found

    def config(self, selector: str, **changes: Any) -> StreamConfig:
        """Sizes that keep all positions inside the training window.

        With landmarks, the window holds the block being read, the one before it, and recalled
        blocks.
        """
        from memagent.streaming.config import Segmentation, StreamConfig

        if selector == "landmark":
            sizes = {
                "page": _BLOCK, "window": _BLOCK, "chunk": _BLOCK, "sinks": 0, "refresh": 16,
                "budget": self.window - _BLOCK, "landmark": self.landmark, **changes,
            }  # fmt: skip
            return StreamConfig(selector=selector, **sizes)
        chunk = self.window // 8
        recalls = selector != "recent"
        sizes = {
            "budget": 3 * self.window // 8 if recalls else 0,
            "window": 3 * self.window // 8 if recalls else 3 * self.window // 4,
            "chunk": chunk,
            "page": 32 if self.window < 2048 else 64,
            "refresh": 16,
            "segmentation": Segmentation(most=64 if self.window < 2048 else 128),
            **changes,
        }
        return StreamConfig(selector=selector, **sizes)

    @property
    def begin(self) -> Tensor:
        """The token at the start of every text, [1, 1]; [1, 0] if the model has none."""
        import torch

        opens = self.tokenizer.bos_token_id
        return torch.tensor([[] if opens is None else [opens]], dtype=torch.int64)

    def stream(self, selector: str, rows: int = 1, **changes: Any) -> Stream:
        """A new stream with this selector that has read the opening token."""
        from memagent.streaming.stream import Stream

        stream = Stream(self.model, self.config(selector, **changes), rows=rows)
        stream.read(self.begin.expand(rows, -1))
        return stream


def compared(selectors: Sequence[str], tokens: int) -> list[str]:
    """The selectors that are compared after `tokens` tokens."""
    return [name for name in selectors if tokens <= _FAR or name in _FAR_SELECTORS]


def load(model: Path) -> Subject:
    """Load the model in a folder, and check that a stream over it gives the stock model's logits.

    Raises EngineError if the folder holds no model, CheckError if the check fails.
    """
    from memagent.streaming.loading import load_model

    found, tokenizer = load_model(str(model))
    subject = Subject(found, tokenizer, found.config.max_position_embeddings)
    _check(subject)
    return subject


def book(path: Path | None, subject: Subject, tokens: int) -> tuple[str, Tensor, dict[str, str]]:
    """Title, ids [1, T] and provenance of the first book with `tokens` tokens, truncated to that.

    `path` is JSON Lines of {title, text}, optionally compressed with xz, or plain text; None uses
    the language reference that comes with Python.
    """
    texts, about = read_books(path)
    best = subject.encode("")
    for title, text in texts:
        ids = subject.encode(text[: tokens * 8])
        if ids.shape[1] >= tokens:
            return title, ids[:, :tokens], about
        best = max(best, ids, key=lambda t: t.shape[1])
    if best.shape[1] < _LEAST_TOKENS:
        raise InputError(f"no text of {_LEAST_TOKENS} tokens in {path}: choose another --data")
    return "longest text", best, about


def _check(subject: Subject) -> None:
    import copy

    import torch

    from memagent.streaming.config import StreamConfig
    from memagent.streaming.stream import Stream

    read = torch.randint(2, subject.model.config.vocab_size, (1, min(300, subject.window)))
    stock = copy.deepcopy(subject.model)
    stock.set_attn_implementation("eager")
    with torch.no_grad():
        wanted = stock(read.to(stock.device)).logits[0, -1].float()
    stream = Stream(subject.model, StreamConfig(window=None, chunk=64, selector="recent"))
    stream.read(read)
    assert stream.logits is not None
    off = float((stream.logits[0].float() - wanted).abs().max())
    limit = 1e-3 if subject.model.dtype == torch.float32 else 0.5
    if not off < limit:
        raise CheckError(f"with all history in the window the logits are off by {off:.2g}")
