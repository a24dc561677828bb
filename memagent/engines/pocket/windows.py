"""A question and texts as token windows that fit the encoder. Knows nothing of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memagent.memory.index.embedder import Embedder

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

__all__ = ["Window", "load_tokenizer", "tensors", "windows"]

_CLS, _SEP = "[CLS]", "[SEP]"
_QUESTION = 64  # tokens at most: what stands behind them is not read
_STRIDE = 96  # tokens that two windows of one text share


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a text behind the question. `first` is the place of the part's first token in
    `ids`; `offsets` are the characters [start, end) in the whole text of each of its tokens."""

    text: int
    ids: list[int]
    first: int
    offsets: list[tuple[int, int]]


def load_tokenizer(embedder: Embedder) -> Tokenizer:
    """The encoder's tokenizer, whole texts in and no padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(embedder.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def windows(
    tokenizer: Tokenizer, question: str, texts: Sequence[str], most: int
) -> Iterator[Window]:
    """Every window of at most `most` tokens; a text without a token has none."""
    cls, sep = tokenizer.token_to_id(_CLS), tokenizer.token_to_id(_SEP)
    assert cls is not None
    assert sep is not None
    asked = tokenizer.encode(question, add_special_tokens=False).ids[:_QUESTION]
    head = [cls, *asked, sep]
    room = most - len(head) - 1
    for number, code in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
        for start in _starts(len(code.ids), room):
            ids = code.ids[start : start + room]
            yield Window(number, [*head, *ids, sep], len(head), code.offsets[start : start + room])


def _starts(length: int, room: int) -> Iterator[int]:
    start = 0
    while length:
        yield start
        if start + room >= length:
            return
        start += room - min(_STRIDE, room // 2)


def tensors(batch: Sequence[Window]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, types and mask [batch, tokens] of windows, padded to the longest."""
    import torch

    length = max(len(window.ids) for window in batch)
    ids, types, mask = (torch.zeros(len(batch), length, dtype=torch.long) for _ in range(3))
    for row, window in enumerate(batch):
        size = len(window.ids)
        ids[row, :size] = torch.tensor(window.ids)
        # The last token closes the text; no answer stands there.
        types[row, window.first : size - 1] = 1
        mask[row, :size] = 1
    return ids, types, mask
