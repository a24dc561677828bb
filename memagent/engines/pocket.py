"""The default of a fresh machine: an extractive reader that answers by quoting.

It picks the sentences of the recalled events nearest to the question and says so when none is
near. It writes nothing of its own, and says so too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from memagent.core import Chunk, Request, Usage
from memagent.engines.base import Capabilities, Engine
from memagent.memory.embed import Embedder
from memagent.memory.items import Event
from memagent.memory.recall.lexical import content_words
from memagent.memory.segment import estimate_tokens, sentences

__all__ = ["ACKNOWLEDGED", "NOT_FOUND", "PocketEngine", "is_question"]

NOT_FOUND = "Not in memory: nothing that is stored answers this."
ACKNOWLEDGED = "Kept, word for word. Ask me about it at any time."

_ASKS = re.compile(
    r"\s*(who|whom|whose|what|when|where|which|why|how|is|are|was|were|do|does|did|can|could|"
    r"should|would|will|has|have|had|tell|show|find|list|explain|describe|define|name|give|"
    r"summari[sz]e|compare|remind)\b",
    re.IGNORECASE,
)


def is_question(text: str) -> bool:
    """Whether a turn asks for something, by its form."""
    return text.rstrip().endswith("?") or _ASKS.match(text) is not None


@dataclass(frozen=True, slots=True)
class _Candidate:
    number: int
    event: Event
    text: str
    score: float


class PocketEngine(Engine):
    """Quotes up to `most` sentences whose score reaches `least` and is near the best.

    The score of a sentence is the cosine of its embedding and the question's, plus
    `overlap` times the share of the question's content words that stand in it.
    """

    name = "pocket"
    model = "extractive reader over MiniLM embeddings"
    context = 1_000_000
    capabilities = Capabilities(generates=False)

    def __init__(
        self,
        embedder: Embedder,
        *,
        least: float = 0.7,
        near: float = 0.12,
        most: int = 3,
        overlap: float = 0.5,
    ) -> None:
        self.embedder = embedder
        self.least = least
        self.near = near
        self.most = most
        self.overlap = overlap

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Quote, acknowledge a statement, or say that nothing fits."""
        if not request.asked and not is_question(request.question):
            yield Chunk(ACKNOWLEDGED, finish="stop", usage=Usage())
            return
        best = self._best(request.question, request.evidence)
        if not best:
            yield Chunk(NOT_FOUND, finish="stop", usage=Usage(), found=False)
            return
        for position, candidate in enumerate(best):
            separator = "\n" if position else ""
            yield Chunk(f"{separator}“{' '.join(candidate.text.split())}” [{candidate.number}]")
        yield Chunk(finish="stop", usage=Usage(), found=True)

    def count(self, text: str) -> int:
        """Tokens, estimated: the reader has no window to fill."""
        return estimate_tokens(text)

    def _best(self, question: str, evidence: tuple[Event, ...]) -> list[_Candidate]:
        places = [
            (number, event, event.text[start:end])
            for number, event in enumerate(evidence, start=1)
            for start, end, _ in sentences(event.text)
            if not _says_nothing(event, event.text[start:end])
        ]
        if not places:
            return []
        vectors = self.embedder.encode([question, *(text for _, _, text in places)])
        cosines = vectors[1:] @ vectors[0]
        wanted = set(map(_stem, content_words(question)))
        scored = [
            _Candidate(number, event, text, float(cosine) + self.overlap * _share(wanted, text))
            for (number, event, text), cosine in zip(places, cosines, strict=True)
        ]
        scored.sort(key=lambda candidate: -candidate.score)
        chosen = [
            candidate
            for candidate in scored
            if candidate.score >= max(self.least, scored[0].score - self.near)
        ]
        unique = list({candidate.text: candidate for candidate in reversed(chosen)}.values())[::-1]
        return unique[: self.most]


def _says_nothing(event: Event, sentence: str) -> bool:
    """Earlier questions of a chat and headings of a document answer nothing."""
    if event.kind == "session":
        return is_question(sentence)
    return sentence.startswith("#") and "\n" not in sentence


def _share(wanted: set[str], text: str) -> float:
    have = set(map(_stem, content_words(text)))
    return len(wanted & have) / len(wanted) if wanted else 0.0


def _stem(word: str) -> str:
    return re.sub(r"(ing|ed|es|s|e)$", "", word) if len(word) > 4 else word
