"""Passkey retrieval: find a number hidden in a long text, by its depth and the text's length.

The task is from "Landmark Attention", arXiv:2305.16300.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from memagent_bench.stream.setup import Subject, compared

if TYPE_CHECKING:
    from torch import Tensor

    from memagent.streaming.stream import Stream

__all__ = ["find_by_landmarks", "find_passkey", "said"]

DEPTHS = (0.05, 0.25, 0.5, 0.75, 0.95)
SELECTORS = ("recent", "representative", "mean", "minmax", "per_head", "oracle")
HIDDEN = " The pass key is {key}. Remember it. {key} is the pass key. "
ASKED = " What is the pass key? The pass key is"
_MANY_TRIALS = 4096
_WINDOWS = 64  # the longest text for landmarks, in windows


def find_passkey(
    subject: Subject,
    ids: Tensor,
    lengths: Sequence[int],
    tell: Callable[[str], None],
    *,
    trials: int = 2,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Share of keys that greedy decoding reproduces exactly, by length and selector.

    Each depth is one row of the batch.
    """
    rows, metrics = [], {}
    for length in lengths:
        count = trials if length <= _MANY_TRIALS else 1
        for selector in compared(SELECTORS, length):
            row, _ = _asked(subject, ids, length, selector, count, tell)
            rows.append(row)
            metrics[f"passkey_{selector}@{length}"] = row["found"]
        metrics[f"passkey@{length}"] = metrics[f"passkey_representative@{length}"]
    return rows, metrics


def find_by_landmarks(
    subject: Subject,
    ids: Tensor,
    lengths: Sequence[int],
    tell: Callable[[str], None],
    *,
    trials: int = 4,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The same with landmarks, up to 64 windows of text, and the number of blocks a head read for
    an answer; empty for a model without landmarks."""
    rows: list[dict[str, Any]] = []
    metrics: dict[str, float] = {}
    if subject.landmark is None:
        return rows, metrics
    reach = _WINDOWS * subject.window
    for length in sorted({length for length in lengths if length < reach} | {reach}):
        if length > ids.shape[1]:
            continue
        row, blocks = _asked(subject, ids, length, "landmark", trials, tell)
        rows.append(row | {"blocks": blocks})
        metrics[f"passkey_landmark@{length}"] = row["found"]
        metrics["landmark_blocks"] = max(blocks, metrics.get("landmark_blocks", 0))
    return rows, metrics


def _asked(
    subject: Subject,
    ids: Tensor,
    length: int,
    selector: str,
    trials: int,
    tell: Callable[[str], None],
) -> tuple[dict[str, Any], int]:
    """The row of a selector and length, and the most pages that a head read for an answer."""
    tell(f"passkey in {length:,} tokens: {selector}")
    tried = [_trial(subject, ids, length, selector, seed) for seed in range(trials)]
    shares = [sum(column) / trials for column in zip(*(found for found, _ in tried), strict=True)]
    row: dict[str, Any] = {"measure": "passkey", "length": length, "selector": selector}
    row.update({f"depth {d:.0%}": s for d, s in zip(DEPTHS, shares, strict=True)})
    row["found"] = round(sum(shares) / len(shares), 4)
    row["keys"] = trials * len(DEPTHS)
    return row, max(blocks for _, blocks in tried)


def _trial(
    subject: Subject, ids: Tensor, length: int, selector: str, seed: int
) -> tuple[list[bool], int]:
    """Whether each depth's key was found, and the most pages that a head read for an answer.

    The seed also varies where in a block the answer falls.
    """
    import torch

    draw = random.Random(f"{seed} {length}")
    keys = [str(draw.randint(10_000, 99_999)) for _ in DEPTHS]
    question = subject.encode(ASKED)
    texts = []
    for key, depth in zip(keys, DEPTHS, strict=True):
        hidden = subject.encode(HIDDEN.format(key=key))
        room = length - 16 * (seed % 4) - hidden.shape[1] - question.shape[1]
        start = draw.randrange(max(1, ids.shape[1] - room))
        filler = torch.cat([ids[:, start:], ids, ids], dim=1)[:, :room]
        place = int(room * depth)
        texts.append(torch.cat([filler[:, :place], hidden, filler[:, place:]], dim=1))
    # Keys differ in tokens: all texts are cut at the beginning to the length of the shortest.
    shortest = min(text.shape[1] for text in texts)
    stream = subject.stream(selector, rows=len(DEPTHS))
    stream.read(torch.cat([text[:, -shortest:] for text in texts]))
    stream.read(question.expand(len(DEPTHS), -1))
    answers, pages = said(stream, 8)
    spoken = [str(subject.tokenizer.decode(row)) for row in answers]
    found = [text.strip().startswith(key) for text, key in zip(spoken, keys, strict=True)]
    return found, pages


def said(stream: Stream, tokens: int) -> tuple[Tensor, int]:
    """Greedy continuation of each row [B, tokens], and the most pages that a head read, including
    the current one."""
    import torch

    chosen: list[Tensor] = []
    most = 0
    for _ in range(tokens):
        assert stream.logits is not None
        chosen.append(stream.logits.argmax(-1).cpu())
        stream.read(chosen[-1][:, None])
        recalled = (part.page >= 0 for part in stream.view.chosen.values())
        most = max(most, *(1 + int(some.sum(-1).max()) for some in recalled))
    return torch.stack(chosen, dim=1), most
