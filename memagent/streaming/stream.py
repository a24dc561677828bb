"""An unbounded stream of tokens in one model: read, forget, rewind.

`view` decides what a step attends to, a selector which far pages, the kernels compute it. Knows
nothing of stores, prompts or tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from memagent.streaming.attention_mass import AttentionMass
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
    """A point that a stream can return to."""

    length: int
    logits: Tensor | None
    events: tuple[dict[str, Any], ...]
    layers: dict[str, Any]


class Stream:
    """`rows` histories of equal length, read by one model in lockstep.

    `tokens` [B, length] are the tokens read so far and `surprise` [B, length] their surprise in
    nats, NaN where there was no prediction. `logits` [B, V] predict the next token. `view` decides
    what a step attends to. `notes` is JSON data of the owner that is saved with the stream.
    `on_step` is called after each step of the model with the number of tokens in it.

    Full pages that do not fit into `hot_pages` go to files in `folder`; without a folder, the model
    reads them again from `tokens` when they are needed.
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
        self.on_step: Callable[[int], None] = lambda tokens: None
        self._cuts: set[int] = set()

    @property
    def length(self) -> int:
        """Tokens read so far, landmarks included."""
        return self.tokens.shape[1]

    def read(self, tokens: Tensor, cuts: Collection[int] = ()) -> Tensor:
        """Read tokens [B, T]; returns the surprise [B, T'] of all tokens read, in nats.

        T' is T plus the number of landmarks that were inserted. An event starts at each index of
        `cuts` into `tokens`, whatever the surprise there; only for streams without landmarks.
        """
        start = self.length
        self._cuts = {start + place for place in cuts}
        for piece in self._pieces(tokens.to("cpu", torch.int64)):
            self._step(piece)
        return self.surprise[:, start:]

    def cut(self) -> None:
        """Start an event at the next token of every row, as at the end of a turn or document."""
        for events in self.events:
            events.cut()

    def forget(self, row: int, start: int, end: int) -> None:
        """Overwrite the tokens [start, end) of a row and their keys and values in every tier.

        They are never attended to again. Later tokens were computed while these were visible and
        may carry traces of them; only reading those again removes the traces.

        Raises ValueError if the tokens are not in the stream.
        """
        if not 0 <= start < end <= self.length:
            raise ValueError(f"[{start}, {end}) is not inside a stream of {self.length} tokens")
        self.tokens[row, start:end] = 0
        self.surprise[row, start:end] = float("nan")
        self.layers.forget(row, start, end)

    @cached_property
    def weights(self) -> str:
        """The fingerprint of the model; cached, since it reads every weight."""
        return fingerprint(self.model)

    def watch(self) -> AttentionMass:
        """Collect the attention mass of each event from the next step on, until `unwatch`."""
        self.layers.attention_mass = AttentionMass(self.config.page)
        self.view.renew()
        return self.layers.attention_mass

    def unwatch(self) -> None:
        """Stop collecting attention mass."""
        self.layers.attention_mass = None

    def mark(self) -> Mark:
        """The current point, for `rewind`."""
        events = tuple(log.state() for log in self.events)
        return Mark(self.length, self.logits, events, self.layers.state())

    def rewind(self, mark: Mark) -> None:
        """Return to a mark and drop what was read since from every tier.

        `forget` cannot be undone, so marks from before a `forget` are invalid.
        """
        self.tokens = self.tokens[:, : mark.length].clone()
        self.surprise = self.surprise[:, : mark.length].clone()
        self.logits = mark.logits
        for log, state in zip(self.events, mark.events, strict=True):
            log.restore(state)
        self.layers.truncate(mark.length, mark.layers)

    def bytes(self) -> dict[str, int]:
        """Memory in bytes of the page pools, the summaries and the tokens."""
        return {
            "pools": sum(cache.bytes() for cache in self.layers.caches),
            "summaries": sum(summaries.bytes() for summaries in self.layers.summaries),
            "tokens": self.tokens.numel() * 8 + self.surprise.numel() * 4,
        }

    def _step(self, tokens: Tensor) -> None:
        """Run the model once and add the tokens to the history."""
        start, count = self.length, tokens.shape[1]
        if start == 0 and self.folder is not None:  # the state of an older stream
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
        # The token after a block is predicted at its last text token, not at its landmark.
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
        self.on_step(count)

    def _surprise(self, tokens: Tensor, logits: Tensor) -> Tensor:
        """-log p of each new token [B, T]; NaN for the first token and for landmarks."""
        first = logits[:, :1] * float("nan") if self.logits is None else self.logits[:, None]
        before = torch.cat((first, logits[:, :-1]), dim=1).float()
        wanted = tokens.to(before.device)[..., None]
        found = (before.logsumexp(-1) - before.gather(2, wanted)[..., 0]).cpu()
        if self.config.landmark is not None:
            found = found.masked_fill(tokens == self.config.landmark, float("nan"))
        return found

    def _pieces(self, tokens: Tensor) -> Iterator[Tensor]:
        """The tokens in steps; with landmarks, each page is a step and ends with a landmark."""
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
        """Recompute the blocks of a page from its text, after a few pages of context."""
        size, marked = self.config.page, self.config.landmark is not None
        context = min(page, _CONTEXT_PAGES)
        config = replace(self.config, hot_pages=None, window=None, sinks=0)
        if marked:  # block by block, with all earlier ones selectable
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
