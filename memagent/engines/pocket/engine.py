"""The engine that needs no server: an extractive reader that answers by quoting.

A question gets the span that answers it, its sentence and the probability that it is correct, or
the reply that memory has no answer. The engine does not write text. If a newer statement superseded
the one with the answer, the newer one is read instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeGuard

from memagent.engines.base import Capabilities, Engine, EngineContext
from memagent.engines.pocket.nearest_sentences import Nearest
from memagent.engines.pocket.question_intent import Intent, classify_intent
from memagent.engines.pocket.reader import Found, Reader
from memagent.memory.index.embedder import BUNDLED, Embedder
from memagent.memory.index.encoder import Encoder
from memagent.memory.segmentation.sentences import estimate_tokens, sentences_around
from memagent.types import Chunk, Event, Request, Usage

__all__ = ["ACKNOWLEDGED", "CANNOT_WRITE", "NOT_FOUND", "PocketEngine", "make"]

NOT_FOUND = "Not in memory: nothing that is stored answers this."
ACKNOWLEDGED = "Kept, word for word. Ask me about it at any time."
CANNOT_WRITE = (
    "I can only quote what is stored: this engine, pocket, is a small reader that finds answers "
    "and writes nothing of its own. For that, run a language model (memagent doctor shows how)."
)

# Spans considered in each event: the best may be in an earlier question.
_PER_EVENT = 3
# A question about the past may refer to a superseded statement.
_PAST = re.compile(
    r"\b(?:was|were|did|had|used to|previous(?:ly)?|former(?:ly)?|old|before|earlier|originally"
    r"|first|initially|ago|until|past|back then|at the time|in (?:19|20)\d\d)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Quote:
    """A sentence of evidence[number - 1], and the answer in it if it is known."""

    number: int
    sentence: str
    answer: str = ""


class PocketEngine(Engine):
    """Answers only from the recalled events. Gives up to `most` answers whose scores are within
    `near` of the best."""

    name = "pocket"
    model = "span reader on MiniLM, extractive"
    context = 1_000_000
    capabilities = Capabilities(generates=False)

    def __init__(
        self,
        embedder: Encoder,
        reader: Reader | None = None,
        *,
        near: float = 1.0,
        most: int = 3,
    ) -> None:
        self.nearest = Nearest(embedder)
        # The reader uses the bundled encoder: share it if possible.
        self.reader = reader or Reader(embedder=embedder if _is_bundled(embedder) else None)
        self.near = near
        self.most = most

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Answer, quote, acknowledge a statement, or say that nothing fits."""
        intent = classify_intent(request.question, asked=request.asked)
        if intent in (Intent.STATEMENT, Intent.WRITING):
            reply = ACKNOWLEDGED if intent is Intent.STATEMENT else CANNOT_WRITE
            yield Chunk(reply, finish="stop", usage=Usage())
            return
        confidence = None
        if intent is Intent.SPAN:
            quotes, confidence = self._answers(request.question, request.evidence)
        else:
            quotes = self._quotes(request.question, request.evidence)
        if not quotes:
            yield Chunk(NOT_FOUND, finish="stop", usage=Usage(), found=False)
            return
        for position, quote in enumerate(quotes):
            separator = "\n" if position else ""
            answer = f"{quote.answer}\n" if quote.answer else ""
            yield Chunk(f"{separator}{answer}“{quote.sentence}” [{quote.number}]")
        yield Chunk(finish="stop", usage=Usage(), found=True, confidence=confidence)

    def count(self, text: str) -> int:
        """An estimate: the reader has no context limit."""
        return estimate_tokens(text)

    def _answers(
        self, question: str, evidence: tuple[Event, ...]
    ) -> tuple[list[_Quote], float | None]:
        """Answers, the most likely first, and its probability."""
        texts = [event.text for event in evidence]
        quotes: list[_Quote] = []
        best: Found | None = None
        for span in self.reader.read(question, texts, _PER_EVENT):
            if not self.reader.answers(span):
                break
            if best is not None and span.score < best.score - self.near:
                break
            if _answers_nothing(evidence[span.text], _around(texts, span)):
                continue
            span = self._in_force(question, evidence, span) or span
            best = best or span
            answer = texts[span.text][span.start : span.end]
            quote = _Quote(span.text + 1, _line(_around(texts, span)), _line(answer))
            if all(quote.sentence != given.sentence for given in quotes):
                quotes.append(quote)
            if len(quotes) == self.most:
                break
        return quotes, best.confidence if best else None

    def _in_force(self, question: str, evidence: tuple[Event, ...], span: Found) -> Found | None:
        """The answer in the statement that superseded the one with this span; None if there is
        none, or if the question is about the past."""
        if _PAST.search(question):
            return None
        at = evidence[span.text].start
        over = (
            each.by
            for each in evidence[span.text].intervals
            if each.by and each.start < at + span.end and each.end > at + span.start
        )
        event_id, start, end = next(over, (0, 0, 0))
        places = [place for place, event in enumerate(evidence) if event.id == event_id]
        if not places:
            return None
        newer = evidence[places[0]]
        start, end = sentences_around(newer.text, start - newer.start, end - newer.start)
        read = self.reader.read(question, [newer.text[start:end]], 1)
        found = next((each for each in read if self.reader.answers(each)), None)
        return found and replace(
            found, text=places[0], start=found.start + start, end=found.end + start
        )

    def _quotes(self, question: str, evidence: tuple[Event, ...]) -> list[_Quote]:
        """The sentences most similar to the question."""
        texts = [event.text for event in evidence]
        ranked = self.nearest.rank(
            question, texts, lambda place, sentence: _answers_nothing(evidence[place], sentence)
        )
        numbers = {
            _line(texts[found.text][found.start : found.end]): found.text + 1
            for found in reversed(self.nearest.worth_quoting(ranked))
        }
        return [_Quote(number, text) for text, number in reversed(numbers.items())][: self.most]


def _is_bundled(embedder: Encoder) -> TypeGuard[Embedder]:
    return isinstance(embedder, Embedder) and embedder.name == BUNDLED


def _around(texts: list[str], span: Found) -> str:
    start, end = sentences_around(texts[span.text], span.start, span.end)
    return texts[span.text][start:end]


def _line(text: str) -> str:
    return " ".join(text.split())


def _answers_nothing(event: Event, sentence: str) -> bool:
    """Whether a sentence is a question in a chat or a heading in a document."""
    if event.kind == "session":
        return classify_intent(sentence, asked=False) is not Intent.STATEMENT
    return sentence.startswith("#") and "\n" not in sentence


def make(context: EngineContext) -> tuple[Engine, str]:
    """The engine of the settings, and why it was chosen."""
    return PocketEngine(context.embedder), "asked for"
