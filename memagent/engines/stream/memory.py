"""The events of a namespace as one stream of a model, kept in step with the store.

The store has the text. The stream is a cache of it next to the index: the model reads the text into
it, and does so again if the stream is missing or was made with other weights. Knows nothing of
questions.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from bisect import bisect_right
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from memagent.errors import StoreError
from memagent.streaming.token_ranges import TokenRange
from memagent.types import Event, EventReader

if TYPE_CHECKING:
    from torch import Tensor

    from memagent.streaming.stream import Stream

__all__ = ["StreamMemory"]

logger = logging.getLogger(__name__)

_EVENTS_AT_ONCE = 64
_LOCK = "lock"
# The stream is saved after this many new tokens, so that a killed process loses little work.
_SAVED_EVERY = 4096


class StreamMemory:
    """The stream of one namespace, and the tokens of each event in it.

    `open_stream(folder)` returns the saved stream, or a new one that begins with the instructions
    as attention sinks. `encode` turns text into tokens [1, T]. If another process uses the folder,
    the stream is kept in memory only. A damaged folder is emptied.
    """

    def __init__(
        self,
        memory: EventReader,
        open_stream: Callable[[Path | None], Stream],
        encode: Callable[[str], Tensor],
        name: str,
    ) -> None:
        self.memory = memory
        self.encode = encode
        self.folder = memory.caches / f"stream-{name}"
        self._open = open_stream
        self._lock = _locked(self.folder)
        self.stream: Stream
        # The tokens of each event, by its id, in the order of the stream.
        self.places: dict[int, TokenRange]
        self._saved = self._saved_at = 0
        try:
            self._begin_or_recover()
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise

    def catch_up(self, skip: Callable[[Event], bool]) -> None:
        """Read new events, and forget those that are no longer stored.

        Events for which `skip` returns True are left for later: they belong to the current turn.
        """
        self._check_folder()
        stored = self.memory.ids()
        self._drop_gone(stored)
        pending: list[Event] = []
        new = [event_id for event_id in stored if event_id not in self.places]
        for event in self.memory.get(new):
            if not skip(event):
                pending.append(event)
            if len(pending) == _EVENTS_AT_ONCE:
                self._read(pending)
                pending = []
        self._read(pending)
        if self.stream.length - self._saved_at >= _SAVED_EVERY:
            self.save()

    def hidden(self, allowed: Collection[int] | None) -> list[TokenRange]:
        """The token ranges of all events that are not `allowed`; None allows all."""
        if allowed is None:
            return []
        return [span for event_id, span in self.places.items() if event_id not in allowed]

    def spans(self, events: Collection[Event], room: int) -> list[TokenRange]:
        """The token ranges of the first of these events that fit in `room` tokens, sorted."""
        found = []
        for event in events:
            span = self.places.get(event.id)
            if span is None:
                continue
            room -= span[1] - span[0]
            if room < 0:
                break
            found.append(span)
        return sorted(found)

    def attention(self, shares: dict[TokenRange, float]) -> tuple[tuple[Event, float], ...]:
        """Attention shares of events, largest first, from the shares of token ranges.

        The share of a range over several events is divided among them by tokens.
        """
        ids, starts = list(self.places), [start for start, _ in self.places.values()]
        found: dict[int, float] = {}
        for (start, end), share in shares.items():
            number = max(bisect_right(starts, start) - 1, 0)
            while number < len(ids) and starts[number] < end:
                a, b = self.places[ids[number]]
                inside = max(0, min(end, b) - max(start, a))
                if inside and share > 0:
                    part = share * inside / (end - start)
                    found[ids[number]] = found.get(ids[number], 0.0) + part
                number += 1
        best = sorted(found, key=lambda event_id: -found[event_id])
        return tuple((event, found[event.id]) for event in self.memory.get(best))

    def save(self) -> None:
        """Write the stream to its folder if this process holds the lock and something changed."""
        from safetensors import SafetensorError

        from memagent.streaming.saving import save

        self._check_folder()
        if self._lock is None:
            return
        self._drop_gone(self.memory.ids())
        if len(self.places) == self._saved:
            return
        self.stream.notes = {"places": {str(key): span for key, span in self.places.items()}}
        try:
            save(self.stream)
        except (OSError, SafetensorError) as error:
            logger.warning("the stream of %r was not saved: %s", self.memory.namespace, error)
            return
        self._saved, self._saved_at = len(self.places), self.stream.length

    def close(self) -> None:
        """Save, and release the folder to other processes.

        If the store is closed already, nothing is saved: the stream is only a cache.
        """
        with suppress(StoreError):
            self.save()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _begin(self) -> None:
        """Open the saved stream if this process holds the lock, or begin a new one."""
        self.stream = self._open(self.folder if self._lock else None)
        notes = self.stream.notes.get("places", {})
        self.places = {int(key): (a, b) for key, (a, b) in notes.items()}
        self._saved, self._saved_at = len(self.places), self.stream.length

    def _begin_or_recover(self) -> None:
        """Begin; if the folder is damaged, warn, empty it and begin again."""
        try:
            self._begin()
        except Exception as error:
            if self._lock is None:
                raise
            # A damaged cache may raise anything; the text can always be read again.
            logger.warning(
                "the saved stream of %r is damaged, all text is read again: %s",
                self.memory.namespace,
                str(error).split("\n")[0],
            )
            _clear(self.folder)
            self._begin()

    def _check_folder(self) -> None:
        """Start over if the folder was deleted, with the lock in it, because text was forgotten."""
        if self._lock is not None and not _same(self._lock, self.folder / _LOCK):
            self._lock.close()
            self._lock = _locked(self.folder)
            self._saved = -1
            if self._lock is None:  # another process has begun to use it
                self._begin()
            else:
                _clear(self.folder)
        if self.stream.disk is not None:
            self.stream.disk.reopen()

    def _drop_gone(self, stored: list[int]) -> None:
        """Forget the events that are no longer stored."""
        kept = set(stored)
        for event_id in [i for i in self.places if i not in kept]:
            self.stream.forget(0, *self.places.pop(event_id))
            self._saved = -1

    def _read(self, events: list[Event]) -> None:
        """Read all of these events or, if that fails, none."""
        import torch

        if not events:
            return
        pieces = [self.encode(as_text(event)) for event in events]
        mark, start = self.stream.mark(), self.stream.length
        ends = torch.tensor([piece.shape[1] for piece in pieces]).cumsum(0).tolist()
        begins = [0, *ends[:-1]]
        try:
            self.stream.read(torch.cat(pieces, dim=1), cuts=begins)
        except BaseException:
            self.stream.rewind(mark)
            raise
        for event, begin, end in zip(events, begins, ends, strict=True):
            self.places[event.id] = (start + begin, start + end)


def as_text(event: Event) -> str:
    """An event as the model reads it: the time and the speaker of a turn, then the text."""
    if event.kind == "session":
        return f"[{event.time[:16].replace('T', ' ')}] {event.role}: {event.text}\n"
    return f"{event.text}\n"


def _locked(folder: Path) -> IO[str] | None:
    """The folder's lock, held until it is closed; None if another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError:  # the folder cannot be written: do without the cache
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def _same(lock: IO[str], path: Path) -> bool:
    """Whether `path` is still the file of the open lock."""
    return path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat())


def _clear(folder: Path) -> None:
    """Delete everything in a folder except its lock."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()
