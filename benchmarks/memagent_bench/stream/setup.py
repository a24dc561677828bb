"""What the measurements share: the model, the text, and streams of the sizes they are made for."""

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
_BLOCK = 64  # slots of a block that a landmark closes
# Behind more tokens only these are compared, for the sake of time.
_FAR = 16_384
_FAR_SELECTORS = ("recent", "representative")


@dataclass(frozen=True)
class Subject:
    """A model under measurement; `window` is the context that it was trained with, in tokens."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    window: int

    def encode(self, text: str) -> Tensor:
        """Token ids [1, T], nothing special among them."""
        read = self.tokenizer(text, add_special_tokens=False, return_tensors="pt", verbose=False)
        found: Tensor = read["input_ids"]
        return found

    @property
    def landmark(self) -> int | None:
        """The token that closes a block, for models trained with landmarks."""
        found: int | None = getattr(self.tokenizer, "landmark_token_id", None)
        return found

    def config(self, selector: str, **changes: Any) -> StreamConfig:
        """Sizes whose positions stay inside the trained window: half of it recalled or local.

        With landmarks as many blocks as the window holds: the one that is being read, the one
        before it, and the others recalled.
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
        """The token that opens every text of the model, [1, 1], or none, [1, 0]."""
        import torch

        opens = self.tokenizer.bos_token_id
        return torch.tensor([[] if opens is None else [opens]], dtype=torch.int64)

    def stream(self, selector: str, rows: int = 1, **changes: Any) -> Stream:
        """A new stream of that selector, which has read the opening token."""
        from memagent.streaming.stream import Stream

        stream = Stream(self.model, self.config(selector, **changes), rows=rows)
        stream.read(self.begin.expand(rows, -1))
        return stream


def compared(selectors: Sequence[str], tokens: int) -> list[str]:
    """Those of the selectors that are measured behind so many tokens."""
    return [name for name in selectors if tokens <= _FAR or name in _FAR_SELECTORS]


def load(model: Path) -> Subject:
    """The model of a folder, checked: with all history in sight it gives the stock logits.

    Raises EngineError where the folder holds no model, CheckError where the check fails.
    """
    from memagent.streaming.loading import load_model

    found, tokenizer = load_model(str(model))
    subject = Subject(found, tokenizer, found.config.max_position_embeddings)
    _check(subject)
    return subject


def book(path: Path | None, subject: Subject, tokens: int) -> tuple[str, Tensor, dict[str, str]]:
    """Title, ids [1, T] and provenance of the first book with `tokens` tokens, cut there.

    `path` is JSON Lines of {title, text}, compressed with xz or not, or plain text; None takes
    the language reference that every Python installation carries.
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
        raise CheckError(f"with all history in sight the logits are off by {off:.2g}")
