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
# With landmarks, in a text of so many windows, so many trials: what they were made for.
_WINDOWS, _TRIALS = 64, 4


def find_passkey(
    subject: Subject,
    ids: Tensor,
    lengths: Sequence[int],
    tell: Callable[[str], None],
    *,
    trials: int = 2,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Share of keys given back digit for digit by greedy decoding.

    The depths are the rows of one batch. Rows give the share by length, selector and depth, and
    with landmarks how many blocks a head read for an answer. Models that know them are asked
    with them too, in a text of 64 windows if the book is as long.
    """
    rows, metrics = [], {}
    cases = [(length, name) for length in lengths for name in compared(SELECTORS, length)]
    reach = _WINDOWS * subject.window
    if subject.landmark is not None:
        far = {length for length, _ in cases if length < reach} | {reach}
        cases += [(length, "landmark") for length in far if length <= ids.shape[1]]
    for length, selector in sorted(cases, key=lambda case: case[0]):
        tell(f"passkey in {length:,} tokens: {selector}")
        many = _TRIALS if (length, selector) == (reach, "landmark") else 1
        seeds = range(trials if length <= _MANY_TRIALS else many)
        tried = [_trial(subject, ids, length, selector, seed) for seed in seeds]
        found = [found for found, _ in tried]
        shares = [sum(column) / len(found) for column in zip(*found, strict=True)]
        row: dict[str, Any] = {"measure": "passkey", "length": length, "selector": selector}
        row.update({f"depth {d:.0%}": s for d, s in zip(DEPTHS, shares, strict=True)})
        row["found"] = round(sum(shares) / len(shares), 4)
        row["keys"] = len(found) * len(DEPTHS)
        rows.append(row)
        metrics[f"passkey_{selector}@{length}"] = row["found"]
        if selector == "representative":
            metrics[f"passkey@{length}"] = row["found"]
        if selector == "landmark":
            row["blocks"] = max(blocks for _, blocks in tried)
            metrics["landmark_blocks"] = max(row["blocks"], metrics.get("landmark_blocks", 0))
    return rows, metrics


def _trial(
    subject: Subject, ids: Tensor, length: int, selector: str, seed: int
) -> tuple[list[bool], int]:
    """For each depth whether its key was found; the most pages that a head read for an answer."""
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
    said, pages = _said(stream, subject, 8)
    found = [text.strip().startswith(key) for text, key in zip(said, keys, strict=True)]
    return found, pages


def _said(stream: Stream, subject: Subject, tokens: int) -> tuple[list[str], int]:
    """What each row goes on with, greedily; the most pages that a head read, its own included."""
    import torch

    chosen: list[Tensor] = []
    most = 0
    for _ in range(tokens):
        assert stream.logits is not None
        chosen.append(stream.logits.argmax(-1).cpu())
        stream.read(chosen[-1][:, None])
        recalled = (part.page >= 0 for part in stream.view.chosen.values())
        most = max(most, *(1 + int(some.sum(-1).max()) for some in recalled))
    return [str(subject.tokenizer.decode(row)) for row in torch.stack(chosen, dim=1)], most
