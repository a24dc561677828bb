"""Scores of a trained model on held-out books: bits per byte, bits of a repeat, passkeys.

Works on any causal model and tokenizer that transformers loads, and reads with landmarks if the
tokenizer has one. Knows nothing of how the model was trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from memagent_bench.training import grouped
from memagent_bench.training.blocks import close_blocks, places, room
from memagent_bench.training.data import BOS, LANDMARK
from memagent_bench.training.sequences import KEY_ASK, KEY_SENTENCE, Sampler, hide_key
from memagent_bench.training.settings import Phase

__all__ = [
    "Reader",
    "bits_per_byte",
    "evaluate",
    "pairs_accuracy",
    "passkey_accuracy",
    "passkey_rows",
    "repeat_bits",
]

PASSAGE = 64
# Contexts of passkeys are shorter by this much, to leave room for tokens that a reader adds.
KEY_MARGIN = 32
BATCH = 16

Ids = NDArray[np.int64]


def _encode(tokenizer: Tokenizer, texts: Sequence[str], longer_than: int) -> list[Ids]:
    codes = [np.array(tokenizer.encode(text).ids) for text in texts]
    kept = [code for code in codes if len(code) > longer_than]
    if not kept:
        raise ValueError(f"no held-out text is longer than {longer_than} tokens")
    return kept


@dataclass(frozen=True)
class Reader:
    """A model and how it reads text: plain, or with a landmark after every block."""

    model: Any
    landmark: int | None = None

    def room(self, context: int) -> int:
        """Number of text tokens that fit in `context` slots."""
        return context if self.landmark is None else room(context)

    @torch.inference_mode()
    def logits(self, ids: Tensor) -> Tensor:
        """Logits after each token of text [sequence, position, vocabulary]."""
        device = self.model.device
        if self.landmark is None:
            self.model.set_attn_implementation("sdpa")
            logits: Tensor = self.model(input_ids=ids.to(device), use_cache=False).logits
            return logits.float().cpu()
        self.model.set_attn_implementation(grouped.register())
        closed = torch.from_numpy(close_blocks(ids.numpy(), self.landmark))
        logits = self.model(input_ids=closed.to(device), use_cache=False).logits
        return logits[:, torch.from_numpy(places(ids.shape[1])).to(device)].float().cpu()


def _bits(reader: Reader, ids: Ids) -> Tensor:
    """Bits of each token but the first, [sequence, position - 1]."""
    parts = []
    for start in range(0, len(ids), BATCH):
        batch = torch.from_numpy(ids[start : start + BATCH])
        logits = reader.logits(batch)[:, :-1].transpose(1, 2)
        parts.append(torch.nn.functional.cross_entropy(logits, batch[:, 1:], reduction="none"))
    return torch.cat(parts) / math.log(2)


def bits_per_byte(
    reader: Reader, tokenizer: Tokenizer, texts: Sequence[str], context: int
) -> float:
    """Mean over all bytes, in disjoint windows of `context` tokens that start with BOS.

    The end of a text that does not fill a window is left out of the bits and of the bytes.
    """
    bos = tokenizer.token_to_id(BOS)
    windows, size = [], 0
    for text in texts:
        code = tokenizer.encode(text)
        whole = len(code.ids) // (context - 1) * (context - 1)
        if whole:
            windows.append(np.array(code.ids[:whole], dtype=np.int64).reshape(-1, context - 1))
            size += len(text[: code.offsets[whole - 1][1]].encode())
    ids = np.concatenate(windows)
    ids = np.concatenate([np.full((len(ids), 1), bos), ids], axis=1)
    return float(_bits(reader, ids).sum()) / size


def repeat_bits(
    reader: Reader, tokenizer: Tokenizer, texts: Sequence[str], context: int, count: int
) -> dict[str, float]:
    """Bits per token of a passage when it is first read and when it is repeated.

    `near` and `far` are the repeats in the lower and upper half of the distances. The first tokens
    of a repeat cannot be recognized as such, but they count too.
    """
    rng = np.random.default_rng(0)
    bos = tokenizer.token_to_id(BOS)
    codes = _encode(tokenizer, texts, context)
    ids = np.empty((count, context), dtype=np.int64)
    places = np.empty((count, 2), dtype=np.int64)
    length = min(PASSAGE, context // 4)
    for row in range(count):
        code = codes[row % len(codes)]
        start = rng.integers(len(code) - context)
        ids[row] = [bos, *code[start : start + context - 1]]
        first = int(rng.integers(1, context - 2 * length + 1))
        second = int(rng.integers(first + length, context - length + 1))
        ids[row, second : second + length] = ids[row, first : first + length]
        places[row] = first, second
    bits = _bits(reader, ids).numpy()
    read = np.array(
        [[bits[r, p - 1 : p - 1 + length].mean() for p in places[r]] for r in range(count)]
    )
    distances = places[:, 1] - places[:, 0]
    far = distances > np.median(distances)
    return {
        "first": float(read[:, 0].mean()),
        "second": float(read[:, 1].mean()),
        "second_near": float(read[~far, 1].mean()),
        "second_far": float(read[far, 1].mean()),
    }


def passkey_rows(tokenizer: Tokenizer, texts: Sequence[str], size: int, count: int) -> Ids:
    """Rows of `size` tokens of book text with five-digit keys at evenly spaced depths.

    Each row ends with the question; its last six tokens are a space and the digits, which the
    tokenizer never merges.
    """
    rng = np.random.default_rng(1)
    bos = tokenizer.token_to_id(BOS)
    rows, codes = [], _encode(tokenizer, texts, size)
    for row in range(count):
        key = "".join(str(digit) for digit in rng.integers(0, 10, 5))
        sentence = KEY_SENTENCE.format(name="pass key", key=key)
        needle = tokenizer.encode(f"\n{sentence}\n").ids
        ask = tokenizer.encode("\n" + KEY_ASK.format(name="pass key")).ids
        answer = tokenizer.encode(f" {key}").ids
        left = size - 1 - len(needle) - len(ask) - len(answer)
        code = codes[row % len(codes)]
        start = rng.integers(len(code) - left)
        filler = code[start : start + left]
        rows.append(hide_key(filler, needle, [*ask, *answer], (row + 0.5) / count, bos))
    return np.stack(rows)


def passkey_accuracy(
    reader: Reader, tokenizer: Tokenizer, texts: Sequence[str], size: int, count: int
) -> dict[str, float]:
    """Share of hidden keys that greedy decoding returns.

    Greedy decoding returns a key exactly if each digit is the most likely one after the correct
    digits before it, so a single forward pass over the complete answer is enough. `digits` is the
    share of digits that are the most likely ones.
    """
    ids = torch.from_numpy(passkey_rows(tokenizer, texts, size, count))
    guesses = torch.cat([reader.logits(part)[:, -6:-1].argmax(-1) for part in ids.split(BATCH)])
    right = guesses == ids[:, -5:]
    return {"keys": right.all(1).float().mean().item(), "digits": right.float().mean().item()}


def pairs_accuracy(
    reader: Reader, tokenizer: Tokenizer, texts: Sequence[str], context: int, count: int
) -> float:
    """Share of the values of key-value lists that greedy decoding returns at the end."""
    corpus = np.concatenate(_encode(tokenizer, texts, context)).astype(np.uint16)
    sampler = Sampler(corpus, tokenizer, seed=2, answer_weight=2.0)
    only = Phase(until=1.0, context=context, repeat=0, random=0, passkey=0, pairs=1.0)
    (batch,) = sampler.batches(0, count * context, only)
    ids = torch.from_numpy(batch.ids)
    guesses = torch.cat([reader.logits(part)[:, :-1].argmax(-1) for part in ids.split(BATCH)])
    asked = torch.from_numpy(batch.weights[:, 1:] > 1)
    # An answer is always a space, four digits and a full stop.
    right = (guesses == ids[:, 1:])[asked].view(-1, 6)
    return right.all(1).float().mean().item()


def evaluate(
    model: Any, tokenizer: Tokenizer, texts: Sequence[str], context: int, *, count: int, chars: int
) -> dict[str, Any]:
    """All scores; `count` sequences for each recall task and `chars` of each text.

    Scores with landmarks are under `landmark`, on as much text as fits the context with them.
    """
    model.eval()
    mark = tokenizer.token_to_id(LANDMARK)

    def figures(reader: Reader) -> dict[str, Any]:
        size = reader.room(context)
        heads = [text[:chars] for text in texts]
        return {
            "bits_per_byte": bits_per_byte(reader, tokenizer, heads, size),
            "repeat_bits_per_token": repeat_bits(reader, tokenizer, texts, size, count),
            "passkey": passkey_accuracy(reader, tokenizer, texts, size - KEY_MARGIN, count),
            "pairs": pairs_accuracy(reader, tokenizer, texts, size, count),
        }

    found = figures(Reader(model))
    return found if mark is None else found | {"landmark": figures(Reader(model, mark))}
