"""Where the stretches that a step attends to stand: the virtual positions of pages and queries.

Positions stay inside the window a model was trained with, or say how far things really are.
Knows nothing of what was selected or why.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memagent.streaming.config import Positions
from memagent.streaming.stretches import Stretches, stack

__all__ = ["place"]


def place(
    policy: Positions, sinks: Stretches, far: Stretches, local: Stretches, page: int, start: int
) -> tuple[Stretches, Tensor, Tensor]:
    """The whole list, the position of each page's slot 0 [B, H, M], and of token `start` [B].

    `compact`: sinks, recalled stretches and window follow one another without gaps, as
    StreamingLLM (arXiv:2309.17453) counts inside its cache; with fewer recalled tokens in one
    head than in another, the gap lies behind the sinks. `constant`: everything recalled stands at
    one place between sinks and window (InfLLM, arXiv:2402.04617; EM-LLM). `true`: where it was
    written.
    """
    whole = stack([sinks, far, local])
    heads = whole.page.shape[1]
    far, local = far.heads(heads), local.heads(heads)
    first = local.page[:, :1, 0] * page + local.lo[:, :1, 0]  # [B, 1]
    if policy == "true":
        at = torch.full_like(first[:, 0], start)
        return whole, whole.page * page, at
    sink_pos = (sinks.size.cumsum(-1) - sinks.size - sinks.lo).expand(-1, heads, -1)
    ahead = sinks.size.sum(-1)  # [B, 1]
    if policy == "compact":
        size = far.size
        total = size.sum(-1)
        most = total.amax(1, keepdim=True)
        before = size.cumsum(-1) - size
        far_pos = (ahead + most - total)[..., None] + before - far.lo
        base = ahead + most
    else:
        some = (far.page >= 0).any(-1).any(1, keepdim=True)
        far_pos = ahead[..., None].expand_as(far.page)
        base = ahead + page * some
    local_pos = (local.page * page) - first[..., None] + base[..., None]
    where = torch.cat((sink_pos, far_pos, local_pos), dim=2)
    return whole, where, (base + start - first)[:, 0]
