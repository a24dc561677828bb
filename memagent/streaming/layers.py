"""The layers of a model as a stream sees them: each with its pages and summaries, one view.

Implements what `binding` calls in place of the model's attention. Knows nothing of tokens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from memagent.kernels.api import attend_pages
from memagent.kernels.rope import rotate
from memagent.streaming.attention_mass import Masses
from memagent.streaming.binding import Layer
from memagent.streaming.cache import LayerCache
from memagent.streaming.config import StreamConfig
from memagent.streaming.events import EventLog
from memagent.streaming.selectors.base import Far
from memagent.streaming.selectors.table import SELECTORS
from memagent.streaming.stretches import Stretches
from memagent.streaming.summaries import Summaries
from memagent.streaming.tiers import Tier
from memagent.streaming.view import View

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Layers"]


class Layers:
    """Caches and summaries of every layer. `masses`, where set, collects attention by event.

    `asked` are the last queries of each layer [B, Hq, n, D], those of `refresh` tokens at most.
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
        self.masses: Masses | None = None
        self.events: list[EventLog] = []
        self.asked: dict[int, Tensor] = {}
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
        """A step of `tokens` tokens behind `start` others comes."""
        self.view.begin(start, tokens)
        for cache in self.caches:
            cache.step += 1

    def end(self) -> None:
        """The step is over: pages that became full are summarised."""
        for cache, summaries in zip(self.caches, self.summaries, strict=True):
            summaries.add_pages(cache)

    def forget(self, row: int, start: int, end: int) -> None:
        """Overwrite tokens [start, end) of a row in every tier and every summary."""
        page = self.config.page
        for cache, summaries in zip(self.caches, self.summaries, strict=True):
            cache.overwrite(row, start, end)
            summaries.forget(cache, row, start, end)
            summaries.renew(cache, start // page, -(-end // page))
        self.asked.clear()
        self.view.forget(row, start, end)

    def state(self) -> dict[str, Any]:
        """All that `truncate` needs to come back to this point."""
        return {
            "view": self.view.state(),
            "chosen": dict(self.view.chosen),
            "asked": dict(self.asked),
            "summaries": [summaries.state() for summaries in self.summaries],
        }

    def truncate(self, length: int, state: dict[str, Any]) -> None:
        """Go back to `length` tokens, where `state` was taken."""
        for cache, summaries, kept in zip(
            self.caches, self.summaries, state["summaries"], strict=True
        ):
            cache.truncate(length)
            summaries.truncate(length, kept)
        self.view.restore(state["view"])
        self.view.chosen = dict(state["chosen"])
        self.asked = dict(state["asked"])

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
            choose = partial(self._choose, layer, self._asked(layer, q), scale)
            listed, where, at = self.view.lists(layer, choose)
        else:
            listed, where, at = self.view.sliding(sliding, q.device)
        watched = self.masses is not None and sliding is None and listed.groups > 1
        pages = cache.resolve(listed.page)  # first: the pool may grow
        found = attend_pages(
            q,
            at[:, None] + torch.arange(q.shape[2], device=q.device),
            cache.k,
            cache.v,
            pages,
            where,
            listed.lo,
            listed.hi,
            listed.group,
            q.new_zeros(self.rows, listed.page.shape[1], listed.groups),
            shape.inv_freq,
            scale,
            None if self.config.landmark is None else self.config.page - 1,
            softcap=softcap,
            window=sliding,
            mass=watched,
        )
        if self.masses is not None and found.group_mass is not None:
            self.masses.add(layer, self.view.chosen[layer], found.group_mass)
        return found.out

    def _asked(self, layer: int, q: Tensor) -> Tensor:
        """The queries of this step, behind those of the last `refresh` tokens if they are fewer.

        What a question looked for is still looked for while it is being answered.
        """
        count = self.config.refresh
        if layer in self.asked and q.shape[2] < count:
            q = torch.cat((self.asked[layer], q), dim=2)[:, :, -count:]
        self.asked[layer] = q[:, :, -count:].clone()
        return q

    def _choose(self, layer: int, q: Tensor, scale: float, carry: Stretches | None) -> Stretches:
        """The far stretches of a layer for such queries."""
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
            pinned=view.wanted(),
            inv_freq=self.layers[layer].inv_freq,
            scale=scale,
            apart=self.masses is not None,
        )
        return self.selector.choose(far, q, carry)

    def keys(self, row: int, start: int, end: int) -> np.ndarray:
        """Unrotated keys [n, d] of the middle layer, all heads beside one another."""
        layer = len(self.layers) // 2
        cache = self.caches[layer]
        token = torch.arange(start, end, device=cache.k.device)
        where = cache.resolve((token // cache.page).expand(self.rows, 1, -1))[row, 0]
        slot = token % cache.page
        keys = rotate(cache.k[where, :, slot], -slot[:, None], self.layers[layer].inv_freq)
        found: np.ndarray = keys.flatten(1).float().cpu().numpy()
        return found
