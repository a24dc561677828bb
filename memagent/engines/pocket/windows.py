"""Split texts into token windows that fit the encoder together with a question."""

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
_QUESTION = 64  # maximum tokens of a question; the rest is not read
_STRIDE = 96  # tokens shared by two consecutive windows of a text


@dataclass(frozen=True, slots=True)
class Window:
    """A question followed by a part of a text.

    `first` is the index in `ids` of the part's first token. `offsets` holds the characters
    [start, end) of each token of the part, counted in the whole text.
    """

    text: int
    ids: list[int]
    first: int
    offsets: list[tuple[int, int]]


def load_tokenizer(embedder: Embedder) -> Tokenizer:
    """The encoder's tokenizer, without truncation and padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(embedder.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def windows(
    tokenizer: Tokenizer, question: str, texts: Sequence[str], most: int
) -> Iterator[Window]:
    """The windows of all texts, each of at most `most` tokens. A text without tokens has none."""
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
    """The ids, types and mask of windows, each [batch, tokens], padded to the longest window."""
    import torch

    length = max(len(window.ids) for window in batch)
    ids, types, mask = (torch.zeros(len(batch), length, dtype=torch.long) for _ in range(3))
    for row, window in enumerate(batch):
        size = len(window.ids)
        ids[row, :size] = torch.tensor(window.ids)
        # The last token is [SEP], which is no part of the text.
        types[row, window.first : size - 1] = 1
        mask[row, :size] = 1
    return ids, types, mask
