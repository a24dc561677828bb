"""A loss for choosing landmarks among many more blocks than a sequence contains.

A training sequence has tens of blocks and a stream has hundreds, so a query that finds its block
among the former may miss it among the latter. The loss therefore keeps the landmarks of recent
sequences, and a token that asks for a key must prefer the block of the key to all of them. This is
the queue of negatives of "Momentum Contrast for Unsupervised Visual Representation Learning",
arXiv:1911.05722, without momentum. Knows nothing of what the text says.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memagent_bench.training.blocks import BLOCK
from memagent_bench.training.settings import Choice

__all__ = ["Chooser"]


class Chooser:
    """The most recent landmarks of one layer, and the loss of the current batch."""

    def __init__(self, settings: Choice) -> None:
        self.layer = settings.layer
        self.weight = settings.weight
        self.blocks = settings.blocks
        self.others: Tensor | None = None
        """[kv heads, blocks, dim], without those that hold a key."""
        self._wanted: Tensor | None = None
        self._loss: Tensor | None = None

    def ask(self, wanted: Tensor) -> None:
        """Set the target of each slot of the next batch.

        [rows, time, 2] holds the first and the last block of a key, -1 for none.
        """
        self._wanted, self._loss = wanted, None

    def take(self) -> Tensor | None:
        """The loss of the current batch, returned once; None if there was no target."""
        loss, self._loss = self._loss, None
        return loss

    def weigh(self, query: Tensor, key: Tensor) -> None:
        """Compute the loss: the mean negative log probability that the best head gives the key.

        Queries [rows, heads, time, dim] times the scale; keys [rows, kv heads, time, dim], rotated
        like those of a recalled block.
        """
        if self._wanted is None:
            return
        wanted, self._wanted = self._wanted, None
        landmarks = key[:, :, BLOCK - 1 :: BLOCK].float()
        kv_heads, blocks = landmarks.shape[1:3]
        # A stream always reads the previous block, so it is never chosen.
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
    """Which of `blocks` are among the block numbers [rows, n] of each row; -1 matches none."""
    marked = torch.zeros(len(places), blocks + 1, dtype=torch.bool, device=places.device)
    return marked.scatter_(1, places.where(places >= 0, blocks), True)[:, :blocks]
