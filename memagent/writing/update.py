"""The running memory of a conversation: the model rewrites lines after reading the newest turns.

Only the session's own turns are read, and of the answers only those that cite nothing: recalled
text, whoever wrote it, cannot change working memory. Knows nothing of the terminal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from memagent.agent.structured_retry import ask
from memagent.agent.thinking import side_thinking
from memagent.engines.base import Engine
from memagent.errors import EngineError, InputError, MemagentError, NotFoundError
from memagent.memory.namespace import Namespace
from memagent.memory.store.working import MOST_LINES, MOST_WORDS, Working
from memagent.prompts.load import render
from memagent.settings import Settings
from memagent.types import Chunk, Message, Span
from memagent.writing.generation import Call, check_writes
from memagent.writing.line_changes import changed, numbered
from memagent.writing.reply import Changes, parse_changes
from memagent.writing.step import answer_tokens
from memagent.writing.step_schema import changes_schema, measured

__all__ = ["keep_up", "update"]

logger = logging.getLogger(__name__)

# At most this many of the newest turns are read; each may fill one _SHARE-th of the window.
_TURNS = 64
_SHARE = 4

Lines = tuple[tuple[int, str], ...]


def update(
    memory: Namespace,
    engine: Engine,
    settings: Settings,
    working: Working,
    *,
    time: str | None = None,
    on_text: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Let the model rewrite `working` from the newest turns that fit; returns its changes.

    New lines get the turns that were read as their sources. Raises InputError after three unusable
    answers; the lines are then unchanged.
    """
    check_writes(engine, "updating the memory of a session")
    turns = _own_turns(memory, working.session_id)
    if not turns:
        raise NotFoundError("there is nothing to read yet: this session has no turn of its own")
    seen = working.sourced()
    call = Call(
        engine,
        answer_tokens(engine, settings.max_tokens),
        settings.temperature,
        (turns[-1].ordinal,),
        on_text,
        side_thinking(settings),
    )
    prompt = _Prompt(call, working.kind)
    lines, turns = prompt.fitted(numbered(seen), turns)
    numbers = [number for number, _ in lines]
    shape = measured(engine, call.max_tokens, " ".join(turn.text for turn in turns[-4:]))

    def parse(text: str) -> Changes:
        return parse_changes(text, numbers)

    schema = changes_schema(shape, numbers)

    def say_it(wrong: str, attempt: int) -> Chunk:
        return call.say(prompt.messages(lines, turns, wrong), schema, attempt)

    outcome = ask(say_it, parse)
    if outcome.value is None:
        raise InputError(
            f"the {working.kind} is unchanged: {len(outcome.outputs)} answers of the model were "
            f"unusable ({outcome.rejection}): try again, or edit it by hand"
        )
    read = tuple(turn.id for turn in turns)
    with memory.store.write():
        current = working.sourced()
        after, why = changed(current, seen, outcome.value, read)
        if after != list(current):
            working.replace(after, "\n".join(["update", *why]), sources=read, time=time)
    return why


def keep_up(
    memory: Namespace,
    engine: Engine,
    settings: Settings,
    session_id: int,
    *,
    time: str | None = None,
    on_text: Callable[[str], None] = lambda text: None,
) -> None:
    """Update the working memory if `working_every` exchanges have ended since the last update.

    A failure is logged as a warning; the turns are kept.
    """
    every = settings.working_every
    if not every or not engine.capabilities.generates:
        return
    try:
        spans = memory.spans.of(session_id, withdrawn=False)
        asked = [span for span in spans if span.role == "user"]
        answered = bool(asked) and spans[-1].role == "assistant"
        working = Working(memory.store, session_id)
        if not answered or len(asked) % every or _has_read(working, asked[-1]):
            return
        update(memory, engine, settings, working, time=time, on_text=on_text)
    except MemagentError as error:
        logger.warning("the working memory was not updated: %s", " ".join(str(error).split()))


def _has_read(working: Working, turn: Span) -> bool:
    return any(turn.id in version.sources for version in working.history())


def _own_turns(memory: Namespace, session_id: int) -> list[Span]:
    """The newest turns that contain no recalled text."""
    turns = memory.spans.of(session_id, last=_TURNS, withdrawn=False)
    citing: set[int] = set()
    for turn in turns:
        answer = memory.answers.of_question(turn.id) if turn.role == "user" else None
        if answer is not None and memory.answers.citations(answer):
            citing.update(part.id for part in memory.answers.parts(answer))
    return [turn for turn in turns if turn.role != "tool" and turn.id not in citing]


class _Prompt:
    """The prompt that asks for an update of one kind of lines."""

    def __init__(self, call: Call, kind: str) -> None:
        self.call = call
        self.kind = kind

    def messages(self, lines: Lines, turns: Sequence[Span], wrong: str) -> tuple[Message, ...]:
        """The messages; `wrong` is the error in the previous answer, if any."""
        system = render(
            "working_system.md.j2",
            kind=self.kind,
            bound=self.call.engine.capabilities.structured,
            most_lines=MOST_LINES,
            most_words=MOST_WORDS,
        )
        read = [(turn.role, self._clipped(turn.text)) for turn in turns]
        turn = render("working_turns.md.j2", lines=lines, turns=read, wrong=wrong)
        return Message("system", system), Message("user", turn)

    def fitted(self, lines: Lines, turns: list[Span]) -> tuple[Lines, list[Span]]:
        """The lines and turns that fit: drops the oldest turns, then the oldest lines."""
        engine = self.call.engine
        room = engine.context - self.call.max_tokens
        # Leaves room for the error in a previous answer.
        wrong = "it is no whole JSON: " * 4
        while engine.count_prompt(self.messages(lines, turns, wrong)) > room:
            if len(turns) > 1:
                turns = turns[1:]
            elif lines:
                lines = lines[1:]
            else:
                raise EngineError(
                    f"not even the newest turn fits the window of {engine.model}: lower "
                    "--max-tokens, or serve the model with a larger context"
                )
        return lines, turns

    def _clipped(self, text: str) -> str:
        """A turn, cut off if it is too long to be read whole."""
        most = self.call.engine.context // _SHARE
        tokens = self.call.engine.count(text)
        return text if tokens <= most else text[: len(text) * most // tokens] + "…"
