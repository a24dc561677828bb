"""Writing a book on: the next plan, the next step, and what a step is told as.

No state is kept here: everything that a step goes by is in the store, the seed and the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from memagent.engines.base import Engine
from memagent.settings import Settings
from memagent.types import Span
from memagent.writing.book import Book
from memagent.writing.generation import Call, check_writes, seed_of
from memagent.writing.step import Written, answer_tokens, write_step

__all__ = ["GO_ON", "STEPS", "Step", "Writer"]

# Paragraphs at a time where nobody says how many.
STEPS = 10

# The plan where a model has made none.
GO_ON = "Go on from the previous paragraph."


@dataclass(frozen=True, slots=True)
class Step:
    """A paragraph that is stored, and how it came about."""

    number: int
    plan: str | None
    span: Span
    written: Written
    lines: tuple[str, ...]
    version: int
    plans: tuple[str, ...]

    def report(self, session: str) -> dict[str, Any]:
        """The step as the JSON that schemas/write.json describes."""
        return {
            "session": session,
            "step": self.number,
            "plan": self.plan,
            "paragraph": self.written.paragraph,
            "start": self.span.start,
            "end": self.span.end,
            "state": "complete" if self.written.reply else "memory unchanged",
            "repeated": round(self.written.repeated, 4),
            "memory": {"version": self.version, "lines": list(self.lines)},
            "plans": list(self.plans),
            "notes": list(self.written.notes),
        }


class Writer:
    """Writes `book` on with one engine. UsageError for an engine that only quotes."""

    def __init__(self, book: Book, engine: Engine, settings: Settings, seed: int) -> None:
        check_writes(engine, "writing")
        self.book = book
        self.engine = engine
        self.settings = settings
        self.seed = seed

    def choose(self) -> str | None:
        """A plan for the next step, by the seed; None for the first, which opens the text."""
        number = len(self.book.paragraphs()) + 1
        if number == 1:
            return None
        plans = self.book.plans.lines()
        if not plans:
            return GO_ON
        return plans[seed_of(self.seed, number, self.book.attempt(number), 0) % len(plans)]

    def step(self, plan: str | None, on_text: Callable[[str], None] = lambda text: None) -> Step:
        """Write the next paragraph by `plan` and store it with what it makes of memory and plans.

        EngineError and InputError leave the store as it was, and so does KeyboardInterrupt.
        """
        book = self.book
        seen = book.working.sourced()
        budget = min(self.settings.budget, self.engine.context // 2)
        scene = book.scene(plan, budget)
        call = Call(
            self.engine,
            answer_tokens(self.engine, self.settings.max_tokens),
            self.settings.temperature,
            (self.seed, scene.number, book.attempt(scene.number)),
            on_text,
        )
        written = write_step(call, scene, [span.text for span in book.paragraphs()])
        span = book.add(scene, seen, written)
        return Step(
            scene.number,
            plan,
            span,
            written,
            tuple(book.working.lines()),
            book.working.version,
            tuple(book.plans.lines()),
        )
