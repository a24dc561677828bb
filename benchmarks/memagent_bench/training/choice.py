"""A loss for which landmarks a query thinks most of, among many more than a sequence holds.

A sequence of training holds some tens of blocks and a stream hundreds: a query that finds its block
among the former may miss it among the latter. So the landmarks of the last sequences are kept, and
a token that asks for a key shall prefer the block where that stands to all of them. A queue of
negatives as in "Momentum Contrast for Unsupervised Visual Representation Learning",
arXiv:1911.05722, without its momentum. Knows nothing of what the text says.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memagent_bench.training.blocks import BLOCK
from memagent_bench.training.settings import Choice

__all__ = ["Chooser"]


class Chooser:
    """The landmarks of one layer that were seen last, and the loss of the batch that is read."""

    def __init__(self, settings: Choice) -> None:
        self.layer = settings.layer
        self.weight = settings.weight
        self.blocks = settings.blocks
        self.others: Tensor | None = None
        """[kv heads, blocks, dim], without those that hold a key."""
        self._wanted: Tensor | None = None
        self._loss: Tensor | None = None

    def ask(self, wanted: Tensor) -> None:
        """What each slot of the next batch asks for: the first and the last block of a key
        [rows, time, 2], -1 for none."""
        self._wanted, self._loss = wanted, None

    def take(self) -> Tensor | None:
        """The loss of the batch that was read, once; none where nothing was asked for."""
        loss, self._loss = self._loss, None
        return loss

    def weigh(self, query: Tensor, key: Tensor) -> None:
        """Work out the loss: the mean negative logarithm of what the best head gives to the key.

        Queries [rows, heads, time, dim] times the scale; keys [rows, kv heads, time, dim], rotated
        as those of a block that is recalled.
        """
        if self._wanted is None:
            return
        wanted, self._wanted = self._wanted, None
        landmarks = key[:, :, BLOCK - 1 :: BLOCK].float()
        kv_heads, blocks = landmarks.shape[1:3]
        # A stream always reads the block before the own one: that is not chosen.
        recallable = torch.arange(wanted.shape[1], device=key.device) // BLOCK - 1
        asks = (wanted[..., 0] >= 0) & (wanted[..., 1] < recallable)
        row, slot = asks.nonzero(as_tuple=True)
        if len(row):
            asking = query[row, :, slot].float().unflatten(1, (kv_heads, -1))
            gates = torch.einsum("nkgd,nkbd->nkgb", asking, landmarks[row])
            behind = torch.arange(blocks, device=key.device) >= recallable[slot, None]
            gates = gates.masked_fill(behind[:, None, None], float("-inf"))
            if self.others is not None:
                more = torch.einsum("nkgd,kbd->nkgb", asking, self.others)
                gates = torch.cat((gates, more), -1)
            share = torch.softmax(gates, -1).flatten(1, 2)
            holds = _marked(wanted[row, slot], gates.shape[-1])
            found = (share * holds[:, None]).sum(-1).amax(1)
            self._loss = -found.clamp(min=1e-9).log().mean()
        self._keep(landmarks.detach(), _marked(wanted.flatten(1), blocks))

    def _keep(self, landmarks: Tensor, holds: Tensor) -> None:
        free = landmarks.transpose(0, 1)[:, ~holds]
        kept = free if self.others is None else torch.cat((free, self.others), 1)
        self.others = kept[:, : self.blocks].contiguous()


def _marked(places: Tensor, blocks: int) -> Tensor:
    """Which of `blocks` are among the places [rows, n] of each row; -1 is none of them."""
    marked = torch.zeros(len(places), blocks + 1, dtype=torch.bool, device=places.device)
    return marked.scatter_(1, places.where(places >= 0, blocks), True)[:, :blocks]
