"""Perplexity along a book, compared with the model inside its own window."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memagent_bench.stream.setup import Subject

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["along_a_book"]

WAYS = ("own window", "sinks + window", "window only", "recall")


def along_a_book(
    subject: Subject, ids: Tensor, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """One row per section of the book, with a column per way of reading, and the overall figures.

    `own window` is the baseline: the stock model over overlapping windows of its training length,
    each token scored with at least half a window of context.
    """
    import torch

    surprise: dict[str, Tensor] = {}
    tell(f"perplexity along {ids.shape[1]:,} tokens: own window")
    surprise["own window"] = own_window(subject, ids)
    tell("sinks + window")
    surprise["sinks + window"] = subject.stream("recent").read(ids)[0]
    tell("window only, no sinks")
    surprise["window only"] = subject.stream("recent", sinks=0).read(ids)[0]
    tell("recall")
    surprise["recall"] = subject.stream("representative").read(ids)[0]
    rows, metrics = [], {}
    step = max(ids.shape[1] // 12, 1)
    for start in range(0, ids.shape[1] - step + 1, step):
        row: dict[str, Any] = {"measure": "along a book", "tokens": start + step}
        for way in WAYS:
            row[way] = round(math.exp(surprise[way][start : start + step].nanmean()), 4)
        row["over own window"] = round(row["sinks + window"] / row["own window"], 4)
        rows.append(row)
    size = len(str(subject.tokenizer.decode(ids[0])).encode())
    for way in WAYS:
        name = way.replace(" + ", "_").replace(" ", "_")
        metrics[f"perplexity_{name}"] = round(math.exp(surprise[way].nanmean()), 4)
        metrics[f"bits_per_byte_{name}"] = round(
            float(torch.nansum(surprise[way])) / math.log(2) / size, 4
        )
    metrics["bits_per_byte"] = metrics["bits_per_byte_sinks_window"]
    metrics[f"perplexity@{ids.shape[1]}"] = metrics["perplexity_sinks_window"]
    ratios = [row["over own window"] for row in rows]
    metrics["worst_over_own_window"] = max(ratios)
    metrics["last_over_first"] = round(ratios[-1] / ratios[0], 4)
    return rows, metrics


def own_window(subject: Subject, ids: Tensor, batch: int = 16) -> Tensor:
    """Surprise [T] of each token under the stock model, in nats, in windows of its own size.

    Each window begins with the opening token, if the model has one.
    """
    import torch

    stock = copy.deepcopy(subject.model)
    stock.set_attn_implementation("sdpa")
    opening, total = subject.begin, ids.shape[1]
    size = subject.window - opening.shape[1]
    half = size // 2
    found = torch.full((total,), float("nan"))
    starts = list(range(0, max(total - half, 1), half))
    # The last window may be shorter than the others and is read on its own.
    whole = [start for start in starts if start + size <= total]
    groups = [whole[n : n + batch] for n in range(0, len(whole), batch)]
    groups += [[start] for start in starts if start + size > total]
    for group in groups:
        read = torch.stack([torch.cat((opening[0], ids[0, s : s + size])) for s in group])
        read = read.to(stock.device)
        with torch.no_grad():
            logits = stock(read).logits[:, :-1].float()
        wanted = read[:, 1:, None]
        lost = (logits.logsumexp(-1) - logits.gather(2, wanted)[..., 0]).cpu()
        for start, row in zip(group, lost, strict=True):
            # Without an opening token the first token has no prediction.
            row = torch.cat((torch.full((1 - opening.shape[1],), float("nan")), row))
            skip = half if start else 0
            found[start + skip : start + size] = row[skip:]
    return found
