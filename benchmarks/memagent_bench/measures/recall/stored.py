"""A history in a real store, and what the memory recalls of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from memagent.documents.split import chunks
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.recall.selection import OVERHEAD
from memagent.memory.segmentation.sentences import Segmenter
from memagent.memory.store.database import Store
from memagent.settings import Settings
from memagent.types import Event, Piece
from memagent_bench.data.items import History, cost
from memagent_bench.report import CheckError

__all__ = ["SHARE", "Stored"]

SHARE = Settings().contiguity  # share of the budget for neighbours


class Stored:
    """A history in its own namespace.

    A history with times is stored as sessions, turn by turn. One without, such as a meeting or a
    story, is stored as a plain-text document.
    """

    def __init__(
        self,
        history: History,
        embedder: Embedder,
        folder: Path,
        segmenter: Segmenter | None = None,
    ) -> None:
        self.history = history
        self.store = Store(folder / "memory.db")
        self.memory = Namespace(self.store, "default", embedder, folder / "index", segmenter)
        self._starts: dict[int, list[int]] = {}  # starts of the turns of a source, in characters
        self._numbers: dict[int, list[int]] = {}
        if any(turn.time for turn in history.turns):
            self._say()
        else:
            self._write()
        self.memory.catch_up()

    def recall(self, question: str, budget: int, contiguity: float = SHARE) -> dict[int, float]:
        """The share of each turn that is recalled within `budget` tokens, as counted by `cost`."""
        found: dict[int, float] = {}
        recalled = self.memory.recall(
            question,
            budget=budget,
            contiguity=contiguity,
            count=lambda text: cost(text) - OVERHEAD,
        )
        if recalled.spent > budget:
            raise CheckError(f"{recalled.spent} tokens were recalled with a budget of {budget}")
        for event in recalled.events:
            for number, share in self.turns_of(event):
                found[number] = found.get(number, 0.0) + share
        return found

    def turns_of(self, event: Event) -> Iterator[tuple[int, float]]:
        """The turns that an event overlaps, each with the share of it that is in the event."""
        starts, numbers = self._starts[event.source_id], self._numbers[event.source_id]
        place = bisect_right(starts, event.start) - 1
        while place < len(starts) and starts[place] < event.end:
            start, number = starts[place], numbers[place]
            length = max(len(self.history.turns[number].said), 1)
            shared = min(event.end, start + length) - max(event.start, start)
            yield number, max(shared, 0) / length
            place += 1

    def close(self) -> None:
        """Close the store."""
        self.memory.close()
        self.store.close()

    def _say(self) -> None:
        for number, turn in enumerate(self.history.turns):
            session = self.memory.sources.session(f"{self.history.name}-{turn.session + 1}")
            said = self.memory.spans.append_turn(session.id, "user", turn.said, time=turn.time)
            self._starts.setdefault(session.id, []).append(said.start)
            self._numbers.setdefault(session.id, []).append(number)

    def _write(self) -> None:
        said = [turn.said + "\n\n" for turn in self.history.turns]
        source, _ = self.memory.sources.begin_document(
            self.history.name, self.history.name, None, "text/plain"
        )
        pieces = map(Piece, chunks(said))
        self.memory.add_pieces(source, pieces, lambda spans, chars: None)
        starts = [0, *accumulate(map(len, said))][:-1]
        self._starts[source.id] = starts
        self._numbers[source.id] = list(range(len(said)))
        if self.memory.spans.text(source.id) != "".join(said):
            raise CheckError(f"{self.history.name} was not stored verbatim")
