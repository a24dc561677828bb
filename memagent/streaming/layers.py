"""The layers of a model in a stream: pages and summaries of each, and one view for all.

Implements the attention that `binding` calls in place of the model's own. Knows nothing of tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from memagent.kernels.api import AttentionParams, PageList, attend_pages
from memagent.kernels.rope import rotate
from memagent.streaming.attention_mass import AttentionMass
from memagent.streaming.binding import Layer
from memagent.streaming.cache import LayerCache
from memagent.streaming.config import StreamConfig
from memagent.streaming.events import EventLog
from memagent.streaming.page_ranges import PageRanges
from memagent.streaming.selectors.base import Far
from memagent.streaming.selectors.table import SELECTORS
from memagent.streaming.summaries import Summaries
from memagent.streaming.tiers import Tier
from memagent.streaming.view import View

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Layers"]


class Layers:
    """Caches and summaries of every layer.

    `attention_mass`, if set, collects the attention of each event. `last_queries` holds the queries
    [B, Hq, n, D] of the last `refresh` tokens or fewer, by layer.
    """

    def __init__(
        self,
        layers: list[Layer],
        config: StreamConfig,
        rows: int,
        below: Tier,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.layers = layers
        self.config = config
        self.rows = rows
        self.selector = SELECTORS[config.selector]()
        self.view = View(config, rows)
        self.attention_mass: AttentionMass | None = None
        self.events: list[EventLog] = []
        self.last_queries: dict[int, Tensor] = {}
        self.caches = [
            LayerCache(
                number, rows, layer.kv_heads, config.page, layer.dim,
                dtype=dtype, device=device, limit=config.hot_pages, below=below,
            )
            for number, layer in enumerate(layers)
        ]  # fmt: skip
        self.summaries = [
            Summaries(self.selector.needs, rows, layer.kv_heads, layer.dim, dtype, device)
            for layer in layers
        ]

    def begin(self, start: int, tokens: int) -> None:
        """Start a step that adds `tokens` tokens to `start` earlier ones."""
        self.view.begin(start, tokens)
        for cache in self.caches:
            cache.step += 1

    def end(self) -> None:
        """End a step: summarise the pages that became full."""
        for cache, summaries in zip(self.caches, self.summaries, strict=True):
            summaries.add_pages(cache)

    def forget(self, row: int, start: int, end: int) -> None:
        """Overwrite tokens [start, end) of a row in every tier and every summary."""
        page = self.config.page
        for cache, summaries in zip(self.caches, self.summaries, strict=True):
            cache.overwrite(row, start, end)
            summaries.forget(cache, row, start, end)
            summaries.renew(cache, start // page, -(-end // page))
        self.last_queries.clear()
        self.view.forget(row, start, end)

    def state(self) -> dict[str, Any]:
        """The state that `truncate` needs to return to this point."""
        return {
            "view": self.view.state(),
            "chosen": dict(self.view.chosen),
            "asked": dict(self.last_queries),
            "summaries": [summaries.state() for summaries in self.summaries],
        }

    def truncate(self, length: int, state: dict[str, Any]) -> None:
        """Return to `length` tokens, where `state` was taken."""
        for cache, summaries, kept in zip(
            self.caches, self.summaries, state["summaries"], strict=True
        ):
            cache.truncate(length)
            summaries.truncate(length, kept)
        self.view.restore(state["view"])
        self.view.chosen = dict(state["chosen"])
        self.last_queries = dict(state["asked"])

    def attend(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        scale: float,
        softcap: float | None,
        sliding: int | None,
    ) -> Tensor:
        """Called by the model for each layer of a step; see `binding.Attention`."""
        shape, cache, start = self.layers[layer], self.caches[layer], self.view.start
        if shape.order is not None:
            q, k = q[..., shape.order], k[..., shape.order]
        slot = torch.arange(start, self.view.end, device=k.device) % self.config.page
        cache.append(start, rotate(k, slot, shape.inv_freq), v)
        if sliding is None:
            self.summaries[layer].vote(start, q, k, scale)
            choose = partial(self._choose, layer, self._queries(layer, q), scale)
            ranges, page_pos, start_pos = self.view.lists(layer, choose)
        else:
            ranges, page_pos, start_pos = self.view.sliding(sliding, q.device)
        landmark = None if self.config.landmark is None else self.config.page - 1
        page_list = PageList(
            cache.resolve(ranges.page),  # before cache.k is read: the pool may grow
            page_pos,
            ranges.lo,
            ranges.hi,
            ranges.group,
            q.new_zeros(self.rows, ranges.page.shape[1], ranges.groups),
        )
        found = attend_pages(
            q,
            start_pos[:, None] + torch.arange(q.shape[2], device=q.device),
            cache.k,
            cache.v,
            page_list,
            AttentionParams(shape.inv_freq, scale, softcap, sliding, landmark),
            mass=self.attention_mass is not None and sliding is None and ranges.groups > 1,
        )
        if self.attention_mass is not None and found.group_mass is not None:
            self.attention_mass.add(layer, self.view.chosen[layer], found.group_mass)
        return found.out

    def _queries(self, layer: int, q: Tensor) -> Tensor:
        """The queries of this step, preceded by earlier ones if they are fewer than `refresh`.

        An answer is therefore generated with what its question was looking for.
        """
        count = self.config.refresh
        if layer in self.last_queries and q.shape[2] < count:
            q = torch.cat((self.last_queries[layer], q), dim=2)[:, :, -count:]
        self.last_queries[layer] = q[:, :, -count:].clone()
        return q

    def _choose(self, layer: int, q: Tensor, scale: float, carry: PageRanges | None) -> PageRanges:
        """The ranges of the far history that the queries of a layer select."""
        config, view = self.config, self.view
        far = Far(
            page=config.page,
            first=view.first,
            until=view.until,
            budget=config.budget,
            contiguity=config.contiguity,
            least=config.segmentation.least,
            distance=view.distance,
            cache=self.caches[layer],
            summaries=self.summaries[layer],
            events=[log.done for log in self.events],
            hidden=view.unseen,
            pinned=view.required(),
            inv_freq=self.layers[layer].inv_freq,
            scale=scale,
            separate_events=self.attention_mass is not None,
        )
        return self.selector.choose(far, q, carry)

    def keys(self, row: int, start: int, end: int) -> np.ndarray:
        """Unrotated keys [n, d] of the middle layer, its heads concatenated."""
        layer = len(self.layers) // 2
        cache = self.caches[layer]
        token = torch.arange(start, end, device=cache.k.device)
        pages = cache.resolve((token // cache.page).expand(self.rows, 1, -1))[row, 0]
        slot = token % cache.page
        keys = rotate(cache.k[pages, :, slot], -slot[:, None], self.layers[layer].inv_freq)
        found: np.ndarray = keys.flatten(1).float().cpu().numpy()
        return found
