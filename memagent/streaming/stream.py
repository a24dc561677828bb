"""One unbounded stream of tokens inside one model: read, generate, forget, go back.

What a step attends to is decided here; how, by the kernels; which far pages, by a selector.
Knows nothing of stores, prompts or tokenizers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from memagent.streaming.attention_mass import Masses
from memagent.streaming.binding import bind, fingerprint, running
from memagent.streaming.config import StreamConfig
from memagent.streaming.events import EventLog
from memagent.streaming.layers import Layers
from memagent.streaming.tiers import DiskTier, HostTier, TextTier, Tier

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["STATE", "Mark", "Stream"]

STATE = "state.safetensors"


@dataclass(frozen=True, slots=True)
class Mark:
    """A point that a stream can go back to."""

    length: int
    logits: Tensor | None
    events: tuple[dict[str, Any], ...]
    layers: dict[str, Any]


class Stream:
    """`rows` histories of equal length read by one model in step.

    `tokens` [B, length] and `surprise` [B, length] (nats, NaN where nothing was expected) are
    those read so far, `logits` [B, V] what is expected next, `view` what a step sees of them,
    `notes` what the stream's owner wants saved with it (JSON).
    Full pages that do not fit into `hot_pages` go to files in `folder`; without one they are read
    again from `tokens` when they are wanted.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        config: StreamConfig | None = None,
        *,
        rows: int = 1,
        folder: Path | None = None,
        host_pages: int | None = None,
    ) -> None:
        self.model = model
        self.config = config or StreamConfig()
        self.rows = rows
        self.folder = folder
        self.text = TextTier(self._encode)
        below: Tier = self.text
        self.disk = None if folder is None else DiskTier(folder / "pages", below=below)
        below = self.disk or below
        if host_pages is not None:
            below = HostTier(host_pages, below)
        self.layers = Layers(
            bind(model), self.config, rows, below, dtype=model.dtype, device=model.device
        )
        self.view = self.layers.view
        rule = self.config.segmentation
        self.events = [EventLog(rule, partial(self.layers.keys, row)) for row in range(rows)]
        self.layers.events = self.events
        self.tokens = torch.zeros(rows, 0, dtype=torch.int64)
        self.surprise = torch.zeros(rows, 0)
        self.logits: Tensor | None = None
        self.notes: dict[str, Any] = {}
        self._cuts: set[int] = set()

    @property
    def length(self) -> int:
        """Tokens read so far, landmarks included."""
        return self.tokens.shape[1]

    def read(self, tokens: Tensor, cuts: Collection[int] = ()) -> Tensor:
        """Take tokens [B, T] in; returns the surprise [B, T'] of all that was taken in, in nats.

        T' is larger than T by the landmarks that were put in. At each of `cuts`, counted in
        `tokens`, an event begins whatever its surprise; for streams without landmarks.
        """
        start = self.length
        self._cuts = {start + place for place in cuts}
        for piece in self._pieces(tokens.to("cpu", torch.int64)):
            self._step(piece)
        return self.surprise[:, start:]

    def cut(self) -> None:
        """The next token begins an event in every row: a turn, a role, a document ends here."""
        for events in self.events:
            events.cut()

    def forget(self, row: int, start: int, end: int) -> None:
        """Overwrite the tokens [start, end) of a row and their keys and values in every tier.

        They are never attended to again. Later tokens were computed while these were seen: only
        reading them anew removes what they may carry of it.
        """
        if not 0 <= start < end <= self.length:
            raise ValueError(f"[{start}, {end}) does not lie in a stream of {self.length} tokens")
        self.tokens[row, start:end] = 0
        self.surprise[row, start:end] = float("nan")
        self.layers.forget(row, start, end)

    @cached_property
    def weights(self) -> str:
        """The fingerprint of the model; made once, since it reads every weight."""
        return fingerprint(self.model)

    def watch(self) -> Masses:
        """Collects attention by event from the next step on, until `unwatch`."""
        self.layers.masses = Masses(self.config.page)
        self.view.renew()
        return self.layers.masses

    def unwatch(self) -> None:
        """Stop collecting."""
        self.layers.masses = None

    def mark(self) -> Mark:
        """The present point."""
        events = tuple(log.state() for log in self.events)
        return Mark(self.length, self.logits, events, self.layers.state())

    def rewind(self, mark: Mark) -> None:
        """Go back to a mark: what was read since is dropped from every tier.

        What was forgotten since is not there again: marks from before a `forget` are of no use.
        """
        self.tokens = self.tokens[:, : mark.length].clone()
        self.surprise = self.surprise[:, : mark.length].clone()
        self.logits = mark.logits
        for log, state in zip(self.events, mark.events, strict=True):
            log.restore(state)
        self.layers.truncate(mark.length, mark.layers)

    def bytes(self) -> dict[str, int]:
        """Memory by part: keys and values in the pools, summaries, tokens."""
        return {
            "pools": sum(cache.bytes() for cache in self.layers.caches),
            "summaries": sum(summaries.bytes() for summaries in self.layers.summaries),
            "tokens": self.tokens.numel() * 8 + self.surprise.numel() * 4,
        }

    def _step(self, tokens: Tensor) -> None:
        """One forward call; afterwards the tokens are part of the history."""
        start, count = self.length, tokens.shape[1]
        if start == 0 and self.folder is not None:  # another stream's, whose pages go as well
            (self.folder / STATE).unlink(missing_ok=True)
        self.layers.begin(start, count)
        device = self.model.device
        with running(self.layers), torch.no_grad():
            logits = self.model(
                input_ids=tokens.to(device),
                position_ids=torch.zeros_like(tokens, device=device),
                use_cache=False,
            ).logits
        surprise = self._surprise(tokens, logits)
        # What follows a block is predicted at its last token of text, not at the landmark.
        last = count - 1 - int(self.config.landmark == int(tokens[0, -1]))
        if last >= 0:
            self.logits = logits[:, last].clone()
        self.tokens = torch.cat((self.tokens, tokens), dim=1)
        self.surprise = torch.cat((self.surprise, surprise), dim=1)
        self.layers.end()
        for log, row in zip(self.events, surprise.tolist(), strict=True):
            for token, value in enumerate(row, start=start):
                if token in self._cuts:
                    log.cut()
                if log.push(token, value) and self.config.landmark is None:
                    self.view.renew()

    def _surprise(self, tokens: Tensor, logits: Tensor) -> Tensor:
        """-log p of each new token [B, T]; NaN for the first of a stream and for landmarks."""
        first = logits[:, :1] * float("nan") if self.logits is None else self.logits[:, None]
        before = torch.cat((first, logits[:, :-1]), dim=1).float()
        wanted = tokens.to(before.device)[..., None]
        found = (before.logsumexp(-1) - before.gather(2, wanted)[..., 0]).cpu()
        if self.config.landmark is not None:
            found = found.masked_fill(tokens == self.config.landmark, float("nan"))
        return found

    def _pieces(self, tokens: Tensor) -> Iterator[Tensor]:
        """The tokens in steps; with landmarks, no step crosses a page, and each page is closed."""
        page, mark = self.config.page, self.config.landmark
        done = 0
        while done < tokens.shape[1]:
            room = self.config.chunk
            if mark is not None:
                room = min(room, page - 1 - self.length % page)
            piece = tokens[:, done : done + room]
            done += piece.shape[1]
            if mark is not None and (self.length + piece.shape[1]) % page == page - 1:
                piece = torch.nn.functional.pad(piece, (0, 1), value=mark)
            yield piece

    def _encode(self, row: int, page: int) -> list[Tensor]:
        """The blocks of a page as the model makes them from the text, with some pages before it."""
        size, marked = self.config.page, self.config.landmark is not None
        context = min(page, _CONTEXT_PAGES)
        config = replace(self.config, hot_pages=None, window=None, sinks=0)
        if marked:  # block by block, all earlier ones in reach
            config = replace(config, selector="landmark", budget=context * size)
        else:
            config = replace(config, selector="recent", chunk=(context + 1) * size)
        again = Stream(self.model, config)
        text = self.tokens[row : row + 1, (page - context) * size : (page + 1) * size]
        step = size if marked else text.shape[1]
        for start in range(0, text.shape[1], step):
            again._step(text[:, start : start + step])
        last = torch.tensor([[[context]]])
        blocks = []
        for cache in again.layers.caches:
            physical = int(cache.resolve(last.to(cache.k.device)))
            blocks.append(torch.stack((cache.k[physical], cache.v[physical])))
        return blocks


_CONTEXT_PAGES = 4
