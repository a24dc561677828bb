"""Virtual positions of the pages and queries of a step.

Positions stay inside the range that the model was trained on, or are the true ones. Knows nothing
of selection.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memagent.streaming.config import Positions
from memagent.streaming.page_ranges import PageRanges, concatenate

__all__ = ["Placed", "place"]


class Placed(NamedTuple):
    """What a step attends to, and at which positions, in tokens.

    page_pos [B, H, M] is the position of slot 0 of each page, start_pos [B] that of the first new
    token.
    """

    ranges: PageRanges
    page_pos: Tensor
    start_pos: Tensor


def place(
    policy: Positions,
    sinks: PageRanges,
    far: PageRanges,
    local: PageRanges,
    page: int,
    start: int,
) -> Placed:
    """Sinks, recalled ranges and window as one list with virtual positions.

    `page` is the page size and `start` the first new token. Policies:

    - `compact`: sinks, recalled ranges and window follow one another without gaps, as StreamingLLM
      (arXiv:2309.17453) counts inside its cache. If a head recalls fewer tokens than another, its
      gap is after the sinks.
    - `constant`: everything recalled is at one position between sinks and window (InfLLM,
      arXiv:2402.04617; EM-LLM, arXiv:2407.09450).
    - `true`: everything is at its position in the history.
    """
    whole = concatenate([sinks, far, local])
    heads = whole.page.shape[1]
    far, local = far.heads(heads), local.heads(heads)
    first = local.page[:, :1, 0] * page + local.lo[:, :1, 0]  # [B, 1]
    if policy == "true":
        return Placed(whole, whole.page * page, torch.full_like(first[:, 0], start))
    sink_pos = (sinks.size.cumsum(-1) - sinks.size - sinks.lo).expand(-1, heads, -1)
    sink_end = sinks.size.sum(-1)  # [B, 1]
    if policy == "compact":
        size = far.size
        total = size.sum(-1)
        most = total.amax(1, keepdim=True)
        before = size.cumsum(-1) - size
        far_pos = (sink_end + most - total)[..., None] + before - far.lo
        base = sink_end + most
    else:
        some = (far.page >= 0).any(-1).any(1, keepdim=True)
        far_pos = sink_end[..., None].expand_as(far.page)
        base = sink_end + page * some
    local_pos = (local.page * page) - first[..., None] + base[..., None]
    page_pos = torch.cat((sink_pos, far_pos, local_pos), dim=2)
    return Placed(whole, page_pos, (base + start - first)[:, 0])
