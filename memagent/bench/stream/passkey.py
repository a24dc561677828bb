"""A number hidden in a long text: is it found, by how deep it lies and how long the text is?

Source of the task: "Landmark Attention", arXiv:2305.16300, and many since.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from memagent.bench.stream.setup import Subject, compared

if TYPE_CHECKING:
    from torch import Tensor

    from memagent.streaming.stream import Stream

__all__ = ["find_passkey"]

DEPTHS = (0.05, 0.25, 0.5, 0.75, 0.95)
SELECTORS = ("recent", "representative", "mean", "minmax", "per_head", "oracle")
HIDDEN = " The pass key is {key}. Remember it. {key} is the pass key. "
ASKED = " What is the pass key? The pass key is"
_MANY_TRIALS = 4096


def find_passkey(
    subject: Subject,
    ids: Tensor,
    lengths: Sequence[int],
    tell: Callable[[str], None],
    *,
    trials: int = 2,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Share of keys given back digit for digit by greedy decoding.

    The depths are the rows of one batch. Rows give the share by length, selector and depth.
    """
    rows, metrics = [], {}
    for length in lengths:
        for selector in compared(SELECTORS, length):
            tell(f"passkey in {length:,} tokens: {selector}")
            seeds = range(trials if length <= _MANY_TRIALS else 1)
            found = [_trial(subject, ids, length, selector, seed) for seed in seeds]
            shares = [sum(column) / len(found) for column in zip(*found, strict=True)]
            row: dict[str, Any] = {"measure": "passkey", "length": length, "selector": selector}
            row.update({f"depth {d:.0%}": s for d, s in zip(DEPTHS, shares, strict=True)})
            row["found"] = round(sum(shares) / len(shares), 4)
            row["keys"] = len(found) * len(DEPTHS)
            rows.append(row)
            metrics[f"passkey_{selector}@{length}"] = row["found"]
            if selector == "representative":
                metrics[f"passkey@{length}"] = row["found"]
    return rows, metrics


def _trial(subject: Subject, ids: Tensor, length: int, selector: str, seed: int) -> list[bool]:
    """For each depth whether its key was found."""
    import torch

    draw = random.Random(f"{seed} {length}")
    keys = [str(draw.randint(10_000, 99_999)) for _ in DEPTHS]
    question = subject.encode(ASKED)
    texts = []
    for key, depth in zip(keys, DEPTHS, strict=True):
        hidden = subject.encode(HIDDEN.format(key=key))
        room = length - hidden.shape[1] - question.shape[1]
        start = draw.randrange(max(1, ids.shape[1] - room))
        filler = torch.cat([ids[:, start:], ids, ids], dim=1)[:, :room]
        place = int(room * depth)
        texts.append(torch.cat([filler[:, :place], hidden, filler[:, place:]], dim=1))
    # Keys of other lengths in tokens: the shortest text decides, cut at its beginning.
    shortest = min(text.shape[1] for text in texts)
    stream = subject.stream(selector, rows=len(DEPTHS))
    stream.read(torch.cat([text[:, -shortest:] for text in texts]))
    stream.read(question.expand(len(DEPTHS), -1))
    said = _said(stream, subject, 8)
    return [text.strip().startswith(key) for text, key in zip(said, keys, strict=True)]


def _said(stream: Stream, subject: Subject, tokens: int) -> list[str]:
    """What each row goes on with, greedily."""
    import torch

    chosen: list[Tensor] = []
    for _ in range(tokens):
        assert stream.logits is not None
        chosen.append(stream.logits.argmax(-1).cpu())
        stream.read(chosen[-1][:, None])
    return [str(subject.tokenizer.decode(row)) for row in torch.stack(chosen, dim=1)]
