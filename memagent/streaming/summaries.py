"""Summary keys of the pages and events of a layer, by which selectors find them.

They stay in memory after the pages themselves have moved to a lower tier, and are written once a
page is full. Knows nothing of selectors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memagent.kernels.api import summarize_pages
from memagent.streaming.cache import LayerCache

__all__ = ["Summaries"]

_REACH = 64  # tokens from which later queries vote for a token
_VOTES = 4  # representative tokens of an event


class Summaries:
    """Summary keys [B, Hkv, N, D] of pages and events; only those of `names` are kept.

    - mean, low, high: mean, minimum and maximum over the slots of a page
    - last: the last slot of a page, which holds its landmark
    - weighted: mean over the slots, weighted by the attention they received
    - event: the representative keys of an event, see `representatives`

    `received` [B, Hkv, tokens] is the attention that each token got from the queries up to 64
    tokens after it; `weighted` and `event` need it.
    """

    def __init__(
        self,
        names: frozenset[str],
        rows: int,
        heads: int,
        dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.pages = 0
        self._length = 0
        self.votes = bool(names & {"weighted", "event"})
        self.tensors = {
            name: torch.zeros(rows, heads, 64, dim, dtype=dtype, device=device)
            for name in sorted(names - {"event"})
        }
        self.received = torch.zeros(rows, heads, 4096 if self.votes else 0, device=device)
        self.recent = torch.zeros(rows, heads, 0, dim, dtype=dtype, device=device)
        # The keys [Hkv, E, D] of the events of each row, and the events themselves.
        self.keys = [torch.zeros(heads, 64, dim, dtype=dtype, device=device) for _ in range(rows)]
        self.events: list[list[tuple[int, int]]] = [[] for _ in range(rows)]

    def __getitem__(self, name: str) -> Tensor:
        """The summary `name` of all full pages, [B, Hkv, pages, D]."""
        return self.tensors[name][:, :, : self.pages]

    def vote(self, start: int, q: Tensor, k: Tensor, scale: float) -> None:
        """Add the attention of the new queries q [B, Hq, T, D] to the last 64 tokens' `received`.

        k [B, Hkv, T, D]; both unrotated, since positions matter little at this distance.
        """
        if not self.votes:
            return
        rows, heads, tokens, dim = k.shape
        keys = torch.cat((self.recent, k), dim=2)
        before = self.recent.shape[2]
        queries = q.reshape(rows, heads, -1, tokens, dim)
        logits = queries @ keys[:, :, None].transpose(-1, -2) * scale
        ahead = (
            before
            + torch.arange(tokens, device=q.device)[:, None]
            - torch.arange(before + tokens, device=q.device)
        )
        seen = (ahead >= 0) & (ahead < _REACH)
        weight = logits.float().masked_fill(~seen, float("-inf")).softmax(-1).sum((2, 3))
        end = start + tokens
        self.received = _wider(self.received[..., None], end)[..., 0]
        self.received[:, :, start - before : end] += weight
        self.recent = keys[:, :, -_REACH:].clone()
        self._length = end

    def add_pages(self, cache: LayerCache) -> None:
        """Summarise the pages that became full."""
        full = cache.length // cache.page
        if full <= self.pages:
            return
        self._make(cache, range(self.pages, full))
        self.pages = full

    def renew(self, cache: LayerCache, first: int, end: int) -> None:
        """Summarise pages [first, end) again after their slots changed."""
        self._make(cache, range(first, min(end, self.pages)))

    def forget(self, cache: LayerCache, row: int, start: int, end: int) -> None:
        """Remove every trace of the tokens [start, end); their keys must already be zero."""
        if not self.votes:
            return
        self.received[row, :, start:end] = 0
        self.recent = self.recent[:, :, :0]
        for number, span in enumerate(self.events[row]):
            if span[0] < end and start < span[1]:
                self.keys[row][:, number] = self._representative(cache, row, span)

    def state(self) -> dict[str, Any]:
        """The parts of the summaries that later tokens change, for `truncate`."""
        return {
            "pages": self.pages,
            "received": self.received[:, :, : self._length][:, :, -_REACH:].clone(),
            "recent": self.recent,
            "events": [len(events) for events in self.events],
        }

    def truncate(self, length: int, state: dict[str, Any]) -> None:
        """Return to `length` tokens, where `state` was taken."""
        self.pages, self.recent, self._length = state["pages"], state["recent"], length
        if self.votes:
            reach = state["received"].shape[2]
            self.received[:, :, length - reach :] = 0
            self.received[:, :, length - reach : length] = state["received"]
        for events, count in zip(self.events, state["events"], strict=True):
            del events[count:]

    def representatives(self, cache: LayerCache, row: int, events: list[tuple[int, int]]) -> Tensor:
        """Keys [Hkv, E, D] of the first E events of a row.

        The key of an event is the mean of its 4 keys that received most attention. Sources: InfLLM
        (arXiv:2402.04617), EM-LLM (arXiv:2407.09450).
        """
        known, made = self.events[row], []
        for span in events[len(known) :]:
            made.append(self._representative(cache, row, span))
            known.append(span)
        if made:
            self.keys[row] = _wider(self.keys[row], len(known))
            self.keys[row][:, len(known) - len(made) : len(known)] = torch.stack(made, dim=1)
        return self.keys[row][:, : len(events)]

    def _representative(self, cache: LayerCache, row: int, span: tuple[int, int]) -> Tensor:
        start, end = span
        token = torch.arange(start, end, device=self.received.device)
        physical = cache.resolve((token // cache.page).expand(cache.rows, 1, -1))
        keys = cache.k[physical[row, 0], :, token % cache.page].transpose(0, 1)
        best = self.received[row, :, start:end].topk(min(_VOTES, end - start), dim=-1).indices
        chosen = keys.gather(1, best[..., None].expand(-1, -1, keys.shape[-1]))
        return chosen.float().mean(1).to(keys.dtype)

    @property
    def tensors_of(self) -> list[tuple[str, Tensor]]:
        """Names and tensors that `restore` takes."""
        parts = [*self.tensors.items(), ("received", self.received), ("recent", self.recent)]
        return [*parts, *((f"events{row}", keys) for row, keys in enumerate(self.keys))]

    def restore(
        self,
        tensors: dict[str, Tensor],
        events: list[list[tuple[int, int]]],
        pages: int,
        length: int,
    ) -> None:
        """Load the summaries that another process saved."""
        self.pages, self.events, self._length = pages, events, length
        self.tensors = {name: tensors[name] for name in self.tensors}
        self.received, self.recent = tensors["received"], tensors["recent"]
        self.keys = [tensors[f"events{row}"] for row in range(len(events))]

    def bytes(self) -> int:
        """Memory in bytes."""
        kept = [*self.tensors.values(), self.received, self.recent, *self.keys]
        return sum(tensor.numel() * tensor.element_size() for tensor in kept)

    def _make(self, cache: LayerCache, pages: range) -> None:
        if not pages or not self.tensors:
            return
        self._widen(pages.stop)
        logical = torch.arange(pages.start, pages.stop, device=cache.k.device)
        physical = cache.resolve(logical.expand(cache.rows, 1, -1))
        for row, where in enumerate(physical[:, 0]):
            for name, key in self._keys(cache, where, row, pages).items():
                self.tensors[name][row, :, pages.start : pages.stop] = key

    def _keys(self, cache: LayerCache, where: Tensor, row: int, pages: range) -> dict[str, Tensor]:
        """Each summary [Hkv, n, D] of n physical pages."""
        made: dict[str, Tensor] = {}
        if self.tensors.keys() & {"mean", "low", "high"}:
            lo = torch.zeros_like(where)
            found = summarize_pages(cache.k, where, lo, lo + cache.page)._asdict()
            made.update((name, key.transpose(0, 1)) for name, key in found.items())
        keys = cache.k[where].transpose(0, 1)  # [Hkv, n, P, D]
        made["last"] = keys[:, :, -1]
        if "weighted" in self.tensors:
            tokens = slice(pages.start * cache.page, pages.stop * cache.page)
            weight = self.received[row, :, tokens].view(keys.shape[:3])
            share = weight / weight.sum(-1, keepdim=True).clamp(min=1e-9)
            made["weighted"] = (keys.float() * share[..., None]).sum(2).to(keys.dtype)
        return {name: made[name] for name in self.tensors}

    def _widen(self, pages: int) -> None:
        for name, tensor in self.tensors.items():
            self.tensors[name] = _wider(tensor, pages)


def _wider(tensor: Tensor, count: int) -> Tensor:
    """`tensor` [..., n, D] grown to hold at least `count` in its second to last dimension."""
    if count <= tensor.shape[-2]:
        return tensor
    shape = (*tensor.shape[:-2], max(count, 2 * tensor.shape[-2]), tensor.shape[-1])
    wider = tensor.new_zeros(shape)
    wider[..., : tensor.shape[-2], :] = tensor
    return wider
