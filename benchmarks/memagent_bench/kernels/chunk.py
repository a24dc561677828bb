"""A paged history of several layers, and the last chunk of queries over it.

Sinks come first, then all far pages at one position (InfLLM, arXiv:2402.04617), then the local
pages in their order: the same list serves full and selected attention, and rotating the keys to
these positions gives the plain keys that any other attention can work on. Times nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from memagent_bench.kernels.setup import Setup

if TYPE_CHECKING:
    import torch

    from memagent.kernels.layout import PageList

__all__ = ["SUMMARIES", "Chunk", "History", "SummaryName"]

SummaryName = Literal["mean", "bound"]
SUMMARIES: tuple[SummaryName, ...] = ("mean", "bound")
_RUN = 16  # slots of a planted page that answer the query


class History:
    """Keys and values of `sizes.sets` layers, [N, Hkv, P, D] each, random."""

    def __init__(self, setup: Setup, keys: int) -> None:
        sizes = setup.sizes
        shape = (keys // sizes.page, sizes.kv_heads, sizes.page, sizes.dim)
        self.keys = keys
        self.count = shape[0]
        self.layers = [
            (setup.random(*shape), setup.random(*shape)) for _ in range(sizes.sets(keys))
        ]
        self.bytes = 2 * self.layers[0][0].nbytes


class Chunk:
    """The last `tokens` queries of a history; one token is decode, many are prefill."""

    def __init__(self, setup: Setup, history: History, tokens: int) -> None:
        import torch

        sizes = setup.sizes
        self.setup, self.history, self.tokens = setup, history, tokens
        own = -(-tokens // sizes.page) if tokens > 1 else 0
        self.local = sizes.window // sizes.page + own
        self.far = history.count - 1 - self.local
        self.reduce: Literal["max", "mean"] = "max" if tokens == 1 else "mean"
        self.inv_freq = 10000.0 ** (
            -torch.arange(0, sizes.dim, 2, device=setup.device).float() / sizes.dim
        )
        self.scale = sizes.dim**-0.5
        number = torch.arange(history.count, device=setup.device)
        place = (number - self.far).clamp(min=1) * sizes.page
        place[0] = 0
        self.place = place  # of slot 0 of every page
        end = int(place[-1]) + sizes.page
        self.q_pos = end - tokens + torch.arange(tokens, device=setup.device)[None]
        # Pages are scored for the last query; all far pages are at one distance.
        self.away = torch.full_like(self.q_pos, end - 1 - sizes.page)
        shape = (1, sizes.heads, tokens, sizes.dim)
        self.q = [setup.random(*shape) for _ in history.layers]
        self.keys = [self.summary(number) for number in range(len(history.layers))]
        self.full = self._full()
        self.chosen = self._chosen()

    def summary(self, layer: int) -> dict[SummaryName, dict[str, torch.Tensor]]:
        """Page summaries for scoring, [1, Hkv, far, D] each."""
        import torch

        from memagent.kernels import api

        pages = torch.arange(1, 1 + self.far, device=self.setup.device)
        hi = torch.full_like(pages, self.setup.sizes.page)
        keys = self.history.layers[layer][0]
        made = api.summarize_pages(keys, pages, torch.zeros_like(hi), hi, impl=self.setup.impl)
        mean, low, high = (part.transpose(0, 1)[None].contiguous() for part in made)
        return {"mean": {"mean": mean}, "bound": {"low": low, "high": high}}

    def _page_list(self, pages: torch.Tensor, group: torch.Tensor | None = None) -> PageList:
        import torch

        from memagent.kernels.layout import PageList

        hi = torch.full_like(pages, self.setup.sizes.page)
        group = torch.zeros_like(pages) if group is None else group
        bias = torch.zeros(*pages.shape[:2], int(group.max()) + 1, device=pages.device)
        place = self.place.to(torch.int32)[pages.long()]
        return PageList(pages, place, torch.zeros_like(hi), hi, group, bias)

    def _full(self) -> PageList:
        """All pages, in an order that memory prefetching cannot predict."""
        import torch

        order = torch.randperm(
            self.history.count, generator=self.setup.generator, device=self.setup.device
        )
        return self._page_list(order.to(torch.int32)[None, None])

    def _chosen(self) -> PageList:
        """Sinks, room for the selected pages, and the local pages, for each kv head."""
        import torch

        top = self.setup.sizes.top
        row = torch.arange(self.history.count, device=self.setup.device, dtype=torch.int32)
        row = torch.cat((row[: 1 + top], row[1 + self.far :]))
        return self._page_list(row.expand(1, self.setup.sizes.kv_heads, -1).contiguous())

    def attend(self, layer: int, page_list: PageList, *, mass: bool = False, last: int = 0) -> Any:
        """Attention over the listed pages, of the whole chunk or of its `last` queries."""
        from memagent.kernels import api

        return api.attend_pages(
            self.q[layer][:, :, -last:],
            self.q_pos[:, -last:],
            *self.history.layers[layer],
            page_list,
            api.AttentionParams(self.inv_freq, self.scale),
            mass=mass,
            impl=self.setup.impl,
        )

    def turned(self, layer: int) -> torch.Tensor:
        """The queries rotated for far pages."""
        from memagent.kernels import api

        return api.rotate_heads(self.q[layer], self.away, self.inv_freq, impl=self.setup.impl)

    def scores(self, layer: int, kind: SummaryName, reduce: Literal["max", "mean"]) -> torch.Tensor:
        """Scores [1, Hkv, far] of the far pages, including the rotation of the queries."""
        from memagent.kernels import api

        keys = self.keys[layer][kind]
        return api.score_pages(self.turned(layer), **keys, reduce=reduce, impl=self.setup.impl)

    def select(
        self, layer: int, kind: SummaryName = "mean", reduce: Literal["max", "mean"] | None = None
    ) -> None:
        """Write the best far pages to the list `chosen`."""
        import torch

        from memagent.kernels import api

        scores = self.scores(layer, kind, reduce or self.reduce)
        best = api.select_pages(scores, self.setup.sizes.top, impl=self.setup.impl)
        torch.add(best, 1, out=self.chosen.pages[..., 1 : 1 + self.setup.sizes.top])

    def step(self, layer: int, kind: SummaryName = "mean") -> Any:
        """One layer's work for the chunk: select, then attend."""
        self.select(layer, kind)
        return self.attend(layer, self.chosen)

    def kept(self, layer: int, kind: SummaryName) -> float:
        """Share of full attention's mass on the sinks, selected and local pages."""
        import torch

        self.select(layer, kind)
        kv_heads = self.setup.sizes.kv_heads
        pages = self.full.pages.expand(1, kv_heads, -1).contiguous()
        held = torch.zeros(1, kv_heads, self.history.count, device=pages.device).int()
        held.scatter_(2, self.chosen.pages.long(), 1)
        page_list = self._page_list(pages, held.gather(2, pages.long()))
        return float(self.attend(layer, page_list, mass=True).group_mass[..., 1].mean())

    def plant(self, layer: int) -> None:
        """Plant runs of keys that match the queries, in half as many far pages as are selected.

        Every head gives them the same logit, the one at which they hold some 95 % of its weight.
        """
        import math

        import torch

        sizes, generator = self.setup.sizes, self.setup.generator
        count = max(1, sizes.top // 2)
        turned = self.turned(layer).double().cpu().view(sizes.kv_heads, -1, sizes.dim)
        logit = math.log(20 * self.history.keys / (count * _RUN))
        # The shortest key that gives this logit with each of the queries that share it.
        key = torch.linalg.pinv(turned).sum(-1) * logit / self.scale
        order = torch.randperm(self.far, generator=generator, device=self.setup.device)
        keys = self.history.layers[layer][0]
        keys[1 + order[:count], :, :_RUN] += key[None, :, None].to(keys)
        self.keys[layer] = self.summary(layer)

    def dense(self, layer: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """q [1, Hq, T, D], k and v [1, Hkv, keys, D], rotated, pages in their own order."""
        from memagent.kernels.rope import rotate

        keys, values = self.history.layers[layer]
        kv_heads, dim = keys.shape[1], keys.shape[3]
        placed = keys.new_empty(kv_heads, *keys.shape[::2], dim)
        for start in range(0, len(keys), 1024):  # float32 in between: not all at once
            part = slice(start, start + 1024)
            turned = rotate(keys[part], self.place[part, None, None], self.inv_freq)
            placed[:, part] = turned.transpose(0, 1)
        q = rotate(self.q[layer], self.q_pos[:, None], self.inv_freq)
        value = values.transpose(0, 1).reshape(1, kv_heads, -1, dim)
        return q, placed.view(1, kv_heads, -1, dim), value
