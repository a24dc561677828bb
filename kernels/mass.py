"""Attention mass of each group of pages, from the log-sum-exp of every entry, in Triton.

Sums run in a fixed order, so results are bit-identical between runs; atomic additions are not.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from memagent.kernels.launch import jit, power_of_two

__all__ = ["group_mass"]

_SIDE = 32


@jit
def _mass(
    entry_lse: tl.tensor, lse: tl.tensor, page_group: tl.tensor, out: tl.tensor, heads: tl.tensor,
    share: tl.tensor, list_heads: tl.tensor, tokens: tl.tensor, entries: tl.tensor,
    groups: tl.tensor, block_t: tl.constexpr, block_e: tl.constexpr, block_g: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of groups of one query head; an entry has the weight exp(entry_lse - lse)."""
    pair = tl.program_id(0).to(tl.int64)
    batch, head = pair // heads, pair % heads
    owners = page_group + (batch * list_heads + head // share % list_heads) * entries
    group = tl.program_id(1) * block_g + tl.arange(0, block_g)
    token, entry = tl.arange(0, block_t), tl.arange(0, block_e)
    total = tl.zeros([block_g], tl.float32)
    saw = tl.zeros([block_t], tl.float32)
    for t in range(0, tokens, block_t):
        of_all = tl.load(lse + pair * tokens + t + token, mask=t + token < tokens, other=-1e38)
        saw += ((of_all > float("-inf")) & (t + token < tokens)).to(tl.float32)
    for e in range(0, entries, block_e):
        fits = e + entry < entries
        weight = tl.zeros([block_e], tl.float32)
        for t in range(0, tokens, block_t):
            ok = t + token < tokens
            of_all = tl.load(lse + pair * tokens + t + token, mask=ok, other=0.0)
            of_all = tl.where(of_all > float("-inf"), of_all, 0.0)
            at = (pair * tokens + t + token)[:, None] * entries + (e + entry)[None, :]
            own = tl.load(entry_lse + at, mask=ok[:, None] & fits[None, :], other=float("-inf"))
            weight += tl.sum(tl.exp(own - of_all[:, None]), 0)
        owner = tl.load(owners + e + entry, mask=fits, other=-1).to(tl.int32)
        owner = tl.where(fits, tl.minimum(tl.maximum(owner, 0), groups - 1), -1)
        total += tl.sum(tl.where(owner[None, :] == group[:, None], weight[None, :], 0.0), 1)
    seen = tl.maximum(tl.sum(saw, 0), 1.0)
    tl.store(out + pair * groups + group, total / seen, mask=group < groups)


def group_mass(
    entry_lse: Tensor, lse: Tensor, page_group: Tensor, groups: int, share: int
) -> Tensor:
    """Mass of each group averaged over the queries that saw any key, [B, Hq, G] float32.

    entry_lse [B, Hq, T, M], lse [B, Hq, T], page_group [B, Hkv or 1, M]; `share` is the number of
    query heads per kv head.
    """
    batch, heads, tokens, entries = entry_lse.shape
    out = torch.empty((batch, heads, groups), dtype=torch.float32, device=lse.device)
    block_g = min(64, power_of_two(groups, least=1))
    _mass[(batch * heads, triton.cdiv(groups, block_g))](
        entry_lse, lse, page_group.contiguous(), out,
        heads, share, page_group.shape[1], tokens, entries, groups,
        block_t=min(_SIDE, power_of_two(tokens, least=1)), block_e=_SIDE, block_g=block_g,
    )  # fmt: skip
    return out
