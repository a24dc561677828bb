"""A long text in a session of the store: its outline and steps, which can be undone and edited.

The outline is the session's first turn. A step is one transaction: the chosen plan as a turn that
is never recalled, the paragraph, and new versions of memory and plans. All state is in the store.
Knows nothing of models and prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memagent.errors import NotFoundError, UsageError
from memagent.memory.namespace import Namespace
from memagent.memory.segmentation.sentences import estimate_tokens
from memagent.memory.store.working import Line, Working
from memagent.types import Source, Span
from memagent.writing.line_changes import changed, numbered
from memagent.writing.step import Scene, Written

__all__ = ["Book", "newest_book"]

_OUTLINE = "outline"
# Number of stored paragraphs looked up for a plan.
_NEAR = 2

Kind = Literal["paragraph", "plan"]


@dataclass(frozen=True, slots=True)
class _Place:
    """The role of a turn in the text: its kind, paragraph number, attempt and edit count."""

    kind: str
    number: int
    attempt: int = 1
    edit: int = 0

    @property
    def key(self) -> str:
        if (self.attempt, self.edit) == (1, 0):
            return f"{self.kind}:{self.number}"
        return f"{self.kind}:{self.number}.{self.attempt}.{self.edit}"


def _place(key: str) -> _Place | None:
    kind, _, rest = key.partition(":")
    if kind not in ("paragraph", "plan"):
        return None
    return _Place(kind, *map(int, rest.split(".")))


def newest_book(memory: Namespace) -> str:
    """Name of the session with the most recent text. Raises NotFoundError if there is none."""
    for source in sorted(memory.sources.all("session"), key=lambda s: s.updated, reverse=True):
        if _OUTLINE in memory.spans.keys(source.id).values():
            return source.name
    raise NotFoundError(
        f"no text to continue in the namespace {memory.namespace!r}: "
        "start one with memagent write OUTLINE"
    )


class Book:
    """The text of one session. Raises NotFoundError if it has none and no `outline` is given, and
    UsageError if it has a different outline."""

    def __init__(self, memory: Namespace, name: str, outline: str | None = None) -> None:
        self.memory = memory
        known = memory.sources.find(name, "session")
        if known is None and outline is None:
            raise NotFoundError(f"no text named {name!r} to continue: start it with an outline")
        # The session is created only here, after the checks.
        self.source: Source = known or memory.sources.session(name)
        self.working = Working(memory.store, self.source.id)
        self.plans = Working(memory.store, self.source.id, "plan")
        self.outline = self._outline(outline)

    def paragraphs(self) -> list[Span]:
        """The current paragraphs, in order."""
        return [span for span, place in self._standing() if place.kind == "paragraph"]

    def text(self) -> str:
        """The whole text so far."""
        return "".join(span.text + "\n\n" for span in self.paragraphs()).rstrip("\n") + "\n"

    def scene(self, plan: str | None, budget: int) -> Scene:
        """The input of the next step. Recalled paragraphs may take `budget` tokens."""
        paragraphs = self.paragraphs()
        memory = numbered(self.working.sourced())
        return Scene(
            number=len(paragraphs) + 1,
            outline="" if paragraphs and memory else self.outline.text,
            memory=memory,
            earlier=self._near(plan, paragraphs, budget) if plan and paragraphs else (),
            previous=paragraphs[-1].text if paragraphs else "",
            plan=plan,
        )

    def attempt(self, number: int) -> int:
        """The number of the next attempt at this paragraph, from 1."""
        places = map(_place, self.memory.spans.keys(self.source.id).values())
        return 1 + max(
            (p.attempt for p in places if p and (p.kind, p.number) == ("paragraph", number)),
            default=0,
        )

    def add(self, scene: Scene, seen: tuple[Line, ...], written: Written) -> Span:
        """Store a step; `seen` are the lines of memory that its `scene` was made from.

        Raises UsageError if another process has written the paragraph meanwhile.
        """
        number = scene.number
        place = _Place("paragraph", number, self.attempt(number))
        with self.memory.store.write():
            if len(self.paragraphs()) != number - 1:
                raise UsageError(
                    f"paragraph {number} of {self.source.name!r} was written by another process "
                    "meanwhile: let one of them write it"
                )
            spans = self.memory.spans
            if scene.plan is not None:
                plan = _Place("plan", number, place.attempt).key
                spans.append_turn(self.source.id, "user", scene.plan, key=plan, segment=False)
            span = spans.append_turn(self.source.id, "assistant", written.paragraph, key=place.key)
            if written.reply is not None:
                title = f"paragraph {number}"
                sources = (self.outline.id, span.id) if number == 1 else (span.id,)
                lines, why = changed(self.working.sourced(), seen, written.reply, sources)
                self.working.replace(lines, "\n".join([title, *why]), sources=sources)
                plans = [Line(plan, sources) for plan in written.reply.plans]
                self.plans.replace(plans, title, sources=sources)
        return span

    def edit(self, text: str) -> Span:
        """Replace the newest paragraph with `text`."""
        span, place = self._newest()
        edited = _Place("paragraph", place.number, place.attempt, place.edit + 1)
        with self.memory.store.write():
            self.memory.withdraw([span])
            return self.memory.spans.append_turn(self.source.id, "assistant", text, key=edited.key)

    def undo(self) -> int:
        """Undo the newest step with its changes to memory and plans; returns its number."""
        _, newest = self._newest()
        step = (newest.number, newest.attempt)
        with self.memory.store.write():
            gone = [span for span, p in self._standing() if (p.number, p.attempt) == step]
            self.memory.withdraw(gone)
            ids = {
                span_id
                for span_id, key in self.memory.spans.keys(self.source.id).items()
                if (p := _place(key)) and (p.number, p.attempt) == step
            }
            for working in (self.working, self.plans):
                made = [v.number for v in working.history() if ids.intersection(v.sources)]
                if made:
                    before = working.sourced(made[0] - 1)
                    working.replace(before, f"undo of paragraph {newest.number}")
        return newest.number

    def _outline(self, given: str | None) -> Span:
        keys = self.memory.spans.keys(self.source.id)
        found = next((span_id for span_id, key in keys.items() if key == _OUTLINE), None)
        if found is not None:
            span = self.memory.spans.get(found)
            if given is not None and given != span.text:
                raise UsageError(
                    f"the session {self.source.name!r} has a different outline: continue without "
                    "an outline, or choose another name with -s"
                )
            return span
        if given is None:
            raise NotFoundError(f"the session {self.source.name!r} is not a text with an outline")
        if self.source.chars:
            raise UsageError(
                f"the session {self.source.name!r} holds a conversation: choose another name "
                "with -s"
            )
        return self.memory.spans.append_turn(self.source.id, "user", given, key=_OUTLINE)

    def _standing(self) -> list[tuple[Span, _Place]]:
        keys = self.memory.spans.keys(self.source.id)
        spans = self.memory.spans.of(self.source.id, withdrawn=False)
        placed = ((span, _place(keys[span.id])) for span in spans if span.id in keys)
        return [(span, place) for span, place in placed if place is not None]

    def _newest(self) -> tuple[Span, _Place]:
        standing = [each for each in self._standing() if each[1].kind == "paragraph"]
        if not standing:
            raise NotFoundError("there is no paragraph yet")
        return standing[-1]

    def _near(self, plan: str, paragraphs: list[Span], budget: int) -> tuple[str, ...]:
        """Stored paragraphs nearest to the plan, the nearest first; the outline counts as one.

        Ranked by vectors only: lexical scores depend on the whole store, so other texts in it
        would change how this one continues.
        """
        import numpy as np

        self.memory.catch_up()
        self.memory.sync_index()
        texts = [self.outline, *paragraphs[:-1]]
        events = [
            (event, span)
            for event in self.memory.events.of(self.source.id)
            if (span := next((s for s in texts if s.start <= event.start < s.end), None))
        ]
        ids = np.array([event.id for event, _ in events], dtype=np.int64)
        vectors = self.memory.retriever.dense.vectors_of(ids)
        nearness = vectors @ self.memory.embedder.encode([plan])[0]
        near: dict[int, str] = {}
        for place in np.argsort(-nearness, kind="stable"):
            event, span = events[place]
            # An outline may be long, so only its matching event is used.
            text = event.text if span is self.outline else span.text
            if span.id not in near and (tokens := estimate_tokens(text)) <= budget:
                near[span.id] = text
                budget -= tokens
            if len(near) == _NEAR:
                break
        return tuple(near.values())
