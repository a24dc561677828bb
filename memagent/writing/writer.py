"""Continuing a long text: choose the next plan, write the next step, report it.

Keeps no state: a step depends only on the store, the seed and the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from memagent.agent.model_fit import recall_budget
from memagent.agent.thinking import side_thinking
from memagent.engines.base import Engine
from memagent.settings import Settings
from memagent.types import Span
from memagent.writing.book import Book
from memagent.writing.generation import Call, check_writes, seed_of
from memagent.writing.step import Written, answer_tokens, write_step

__all__ = ["GO_ON", "STEPS", "Step", "Writer"]

# Default number of paragraphs to write.
STEPS = 10

# The plan used if the model made none.
GO_ON = "Go on from the previous paragraph."


@dataclass(frozen=True, slots=True)
class Step:
    """A stored paragraph with its plan and the state of memory and plans after it."""

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
    """Continues `book` with one engine. Raises UsageError for an engine that only quotes."""

    def __init__(self, book: Book, engine: Engine, settings: Settings, seed: int) -> None:
        check_writes(engine, "writing")
        self.book = book
        self.engine = engine
        self.settings = settings
        self.seed = seed

    def choose(self) -> str | None:
        """The plan for the next step, chosen by the seed; None for the first step."""
        number = len(self.book.paragraphs()) + 1
        if number == 1:
            return None
        plans = self.book.plans.lines()
        if not plans:
            return GO_ON
        return plans[seed_of(self.seed, number, self.book.attempt(number), 0) % len(plans)]

    def step(self, plan: str | None, on_text: Callable[[str], None] = lambda text: None) -> Step:
        """Write the next paragraph from `plan`; store it with its changes to memory and plans.

        EngineError, InputError and KeyboardInterrupt leave the store unchanged.
        """
        book = self.book
        seen = book.working.sourced()
        scene = book.scene(plan, recall_budget(self.settings, self.engine))
        call = Call(
            self.engine,
            answer_tokens(self.engine, self.settings.max_tokens),
            self.settings.temperature,
            (self.seed, scene.number, book.attempt(scene.number)),
            on_text,
            side_thinking(self.settings),
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
