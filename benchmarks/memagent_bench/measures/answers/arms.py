"""The methods that answer: the product, the engine alone, newest text, plain top-k retrieval.

All use the same engine, settings and budget of passages; the rivals have a plain prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memagent.agent.model_fit import recall_budget
from memagent.agent.session import ASK_SESSION
from memagent.agent.strategies.repetition import runs_in_a_circle
from memagent.api import Memory
from memagent.memory.events import Filter
from memagent.types import Answer, Chunk, Citation, Message, Request, Span, Usage
from memagent_bench.measures.answers.scoring import Cited, Question, Reply

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ARMS", "Asker"]

# Words of a passage of a document; a turn of a conversation is one passage.
_WORDS = 100

_PROMPT = """Answer the question from the passages.

{passages}

Question: {question}"""


@dataclass(frozen=True, slots=True)
class _Passage:
    source: str
    text: str
    label: str
    kind: str
    time: str

    @property
    def shown(self) -> str:
        return f"{self.label}\n{self.text}"


class Asker:
    """Answers the questions of one store with each method."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.engine = memory.workspace.engine
        self.settings = memory.workspace.settings
        self._passages: list[_Passage] | None = None
        self._vectors: np.ndarray | None = None

    @property
    def budget(self) -> int:
        """Most tokens of passages in a prompt, as for the product."""
        return recall_budget(self.settings, self.engine)

    def product(self, question: Question) -> Reply:
        """The product, as a user has it."""
        where = Filter(as_of=question.as_of) if question.as_of else None
        answer = self.memory.ask(question.text, where=where)
        chosen = answer.explain["chosen"]
        spans = self.memory.namespace.spans
        return Reply(
            answer.text,
            found=answer.found,
            citations=tuple(map(_cited, answer.citations)),
            shown=tuple(
                Cited(line["source"], spans.text(line["source_id"], line["start"], line["end"]))
                for line in chosen
            ),
            # Some servers report no usage.
            prompt=answer.usage.prompt or answer.explain["prompt_tokens"],
            completion=answer.usage.completion or self.engine.count(answer.text),
            ended=self._ended(answer.text, answer.usage, _reported(answer)),
        )

    def none(self, question: Question) -> Reply:
        """The question alone."""
        return self._complete(question, question.text, ())

    def newest(self, question: Question) -> Reply:
        """The newest text that fits the budget, in its order."""
        kept: list[_Passage] = []
        left = self.budget
        for passage in reversed(self._allowed(question)):
            left -= self.engine.count(passage.shown)
            if left < 0:
                break
            kept.insert(0, passage)
        return self._from_passages(question, kept)

    def topk(self, question: Question) -> Reply:
        """The passages nearest to the question by their vectors, best first, within the budget."""
        import numpy as np

        embedder = self.memory.workspace.embedder
        passages = self._allowed(question)
        if self._vectors is None:
            self._vectors = embedder.encode([passage.text for passage in self._all()])
        numbers = {id(passage): number for number, passage in enumerate(self._all())}
        rows = self._vectors[[numbers[id(passage)] for passage in passages]]
        order = np.argsort(-(rows @ embedder.encode([question.text])[0]), kind="stable")
        kept = []
        left = self.budget
        for number in order:
            size = self.engine.count(passages[number].shown)
            if size > left:
                break
            left -= size
            kept.append(passages[number])
        return self._from_passages(question, kept)

    def _from_passages(self, question: Question, passages: Iterable[_Passage]) -> Reply:
        shown = tuple(passages)
        text = "\n\n".join(passage.shown for passage in shown)
        prompt = _PROMPT.format(passages=text, question=question.text)
        return self._complete(question, prompt, shown)

    def _complete(self, question: Question, prompt: str, shown: Iterable[_Passage]) -> Reply:
        request = Request(
            messages=(Message("user", prompt),),
            question=question.text,
            max_tokens=self.settings.max_tokens,
            temperature=self.settings.temperature,
        )
        chunk = self.engine.complete(request)
        used = chunk.usage or Usage()
        return Reply(
            chunk.text,
            shown=tuple(Cited(passage.source, passage.text) for passage in shown),
            prompt=used.prompt or self.engine.count_prompt(request.messages),
            completion=used.completion or self.engine.count(chunk.text),
            ended=self._ended(chunk.text, used, _finish(chunk)),
        )

    def _ended(self, text: str, used: Usage, reported: str) -> str:
        """How an answer ended; the same rules for all methods."""
        if reported != "stop":
            return reported
        if not text.strip():
            return "empty"
        if runs_in_a_circle(text):
            return "repetition"
        return "length" if used.completion >= self.settings.max_tokens else "stop"

    def _allowed(self, question: Question) -> list[_Passage]:
        """The passages that existed at the time of the question."""
        if question.as_of is None:
            return self._all()
        until = Filter(as_of=question.as_of).as_of or ""
        return [passage for passage in self._all() if passage.time <= until]

    def _all(self) -> list[_Passage]:
        if self._passages is None:
            namespace = self.memory.namespace
            self._passages = [
                passage
                for source in namespace.sources.all()
                if source.name != ASK_SESSION
                for span in namespace.spans.of(source.id)
                for passage in _passages(source.name, source.kind, span)
            ]
            self._passages.sort(key=lambda passage: passage.time)
        return self._passages


ARMS: dict[str, Callable[[Asker, Question], Reply]] = {
    "product": Asker.product,
    "none": Asker.none,
    "newest": Asker.newest,
    "topk": Asker.topk,
}


def _passages(source: str, kind: str, span: Span) -> Iterator[_Passage]:
    if kind == "session":
        yield _Passage(source, span.text, f"{source}, {span.time[:10]}", kind, span.time)
        return
    for match in re.finditer(rf"(?:\S+\s*){{1,{_WORDS}}}", span.text):
        yield _Passage(source, match[0].strip(), source, kind, span.time)


def _cited(citation: Citation) -> Cited:
    page = f", page {citation.page}" if citation.page else ""
    source = citation.source or ""
    return Cited(source, citation.text, f"{source}{page}, {citation.section or ''}")


def _reported(answer: Answer) -> str:
    circles = any(step["step"] == "repetition" for step in answer.explain["trace"])
    return "repetition" if circles else answer.ended


def _finish(chunk: Chunk) -> str:
    return chunk.finish if chunk.finish in ("length", "refused") else "stop"
