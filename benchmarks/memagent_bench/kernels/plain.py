"""Selection and attention in plain PyTorch, to check the kernels at the timed size.

Works on plain rotated keys in float32; knows nothing of speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memagent_bench.kernels.chunk import SUMMARIES, Chunk
from memagent_bench.kernels.setup import Findings, Setup, relative_error

if TYPE_CHECKING:
    import torch

__all__ = ["check_chunk"]

_CHECKED = 8  # queries of a chunk that are compared


def check_chunk(
    setup: Setup,
    findings: Findings,
    chunk: Chunk,
    plain: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    """Check scores, selection and attention at the timed size against plain PyTorch."""
    import torch

    from memagent.kernels.rope import rotate

    dtype, top = setup.sizes.dtype, setup.sizes.top
    rows = torch.linspace(0, chunk.tokens - 1, _CHECKED, device=setup.device).long()
    rows = torch.unique(rows)
    for kind in SUMMARIES:
        scores = chunk.scores(0, kind, chunk.reduce)
        exact = {name: part.float() for name, part in chunk.keys[0][kind].items()}
        query = rotate(chunk.q[0], chunk.away[:, None], chunk.inv_freq).float()
        expected = _scores(query, exact, chunk.reduce)
        findings.check(f"scores by {kind}", dtype, relative_error(scores, expected))
        chunk.select(0, kind)
        best = chunk.chosen.pages[..., 1 : 1 + top].long() - 1
        # Of equal scores any may be taken, but no page twice.
        taken = scores.gather(-1, best).sort(-1, descending=True).values
        wrong = float((taken != scores.topk(top).values).sum() + (best.diff() <= 0).sum())
        findings.check(f"selected by {kind}", dtype, wrong, 0.0)
        out = chunk.attend(0, chunk.chosen).out[:, :, rows]
        whole = _attention(chunk, chunk.chosen.pages, plain, rows)
        findings.check(f"attention selected by {kind}", dtype, relative_error(out, whole))
    if chunk.tokens == 1:
        out = chunk.attend(0, chunk.full).out
        every = torch.arange(chunk.history.count, device=setup.device)
        whole = _attention(chunk, every[None, None], plain, rows)
        findings.check("attention, full list", dtype, relative_error(out, whole))


def _scores(query: torch.Tensor, keys: dict[str, torch.Tensor], reduce: str) -> torch.Tensor:
    """The result of `score_pages` in float32, computed a few queries at a time."""
    import torch

    first = next(iter(keys.values()))
    rows = query.reshape(*first.shape[:2], -1, query.shape[-1])
    if reduce == "mean":
        rows = rows.mean(2, keepdim=True)
    found = []
    for part in torch.split(rows, 256, dim=2):
        if "mean" in keys:
            product = part @ keys["mean"].transpose(-1, -2)
        else:
            product = part.clamp(min=0) @ keys["high"].transpose(-1, -2)
            product += part.clamp(max=0) @ keys["low"].transpose(-1, -2)
        found.append(product.amax(2))
    return torch.stack(found).amax(0)


def _attention(
    chunk: Chunk,
    listed: torch.Tensor,
    plain: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    rows: torch.Tensor,
) -> torch.Tensor:
    """Attention of some queries over the listed pages, gathered from plain keys, in float32."""
    import torch

    sizes, device = chunk.setup.sizes, chunk.setup.device
    pages = listed[0].expand(sizes.kv_heads, -1).long()
    head = torch.arange(sizes.kv_heads, device=device)[:, None]
    k, v = (
        t.view(sizes.kv_heads, -1, sizes.page, sizes.dim)[head, pages].flatten(1, 2).float()
        for t in plain[1:]
    )
    query = plain[0][0, :, rows].float()
    tokens = len(rows)
    logits = query.reshape(sizes.kv_heads, -1, sizes.dim) @ k.transpose(-1, -2) * chunk.scale
    slot = torch.arange(sizes.page, device=device)
    place = (chunk.place[pages][..., None] + slot).flatten(1)
    seen = place[:, None] <= chunk.q_pos[0, rows, None]
    logits = logits.view(sizes.kv_heads, -1, tokens, logits.shape[-1])
    weight = logits.masked_fill(~seen[:, None], float("-inf")).softmax(-1)
    out = torch.matmul(weight.flatten(1, 2), v)
    return out.view(1, sizes.heads, tokens, sizes.dim)
