"""The operations of a scripted batch; repeating a row under the same key has no further effect.

Knows nothing of input files, result files and concurrency.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from memagent.agent.graph import Agent, load_answer
from memagent.agent.reports import answer_object, search_object
from memagent.agent.session import ASK_SESSION, Session
from memagent.agent.workspace import Workspace
from memagent.batch.rows import Row
from memagent.errors import NotFoundError, UsageError
from memagent.memory.events import Filter, moment
from memagent.memory.namespace import Namespace
from memagent.memory.store.batches import Batches
from memagent.memory.store.forget import BLOCK
from memagent.types import Answer, Source, Span

__all__ = ["Operations"]

logger = logging.getLogger(__name__)


class Operations:
    """The operations of one batch over one workspace; safe to use from several threads.

    `stopped` is polled while an answer streams; a stopped answer counts as partial.
    """

    def __init__(self, workspace: Workspace, batch: Batches, stopped: Callable[[], bool]) -> None:
        self.workspace = workspace
        self.batch = batch
        self.stopped = stopped
        self._agents: dict[str, Agent] = {}
        self._used: set[str] = set()
        self._lock = threading.Lock()

    def run(self, row: Row) -> dict[str, Any]:
        """The result of a row; raises MemagentError if it fails, KeyboardInterrupt if stopped."""
        memory = self.workspace.memory(row.fields.get("namespace"))
        self._used.add(memory.namespace)
        does = {
            "add": self._add,
            "ask": self._ask,
            "chat": self._chat,
            "write": self._write,
            "search": self._search,
            "forget": self._forget,
        }
        return does[str(row.op)](memory, row)

    def catch_up(self) -> None:
        """Segment and embed the text that the batch stored."""
        for name in sorted(self._used):
            self.workspace.memory(name).catch_up()

    def _add(self, memory: Namespace, row: Row) -> dict[str, Any]:
        from memagent.documents.ingest import ingest
        from memagent.documents.open import open_document, read_stdin

        limit = self.workspace.settings.max_mb * 1024 * 1024
        fields = row.fields
        if "text" in fields:
            stream = BytesIO(fields["text"].encode())
            document = read_stdin(stream, name=fields["name"], max_bytes=limit)
        else:
            document = open_document(
                Path(fields["path"]).expanduser(), name=fields.get("name"), max_bytes=limit
            )
        added = ingest(memory, document)
        return {
            "source": added.source,
            "status": added.status,
            "spans": added.spans,
            "chars": added.chars,
        }

    def _search(self, memory: Namespace, row: Row) -> dict[str, Any]:
        settings = self.workspace.settings
        found = memory.recall(
            row.fields["query"],
            budget=settings.budget,
            contiguity=settings.contiguity,
            where=_filter(row),
        )
        return search_object(found, row.fields.get("limit", 10))

    def _ask(self, memory: Namespace, row: Row) -> dict[str, Any]:
        where = memory.resolve(_filter(row))
        session = Session(self._agent(memory), ASK_SESSION, remembered=False)
        return self._answer(session, row, row.fields["question"], where=where)

    def _chat(self, memory: Namespace, row: Row) -> dict[str, Any]:
        session = Session(self._agent(memory), row.fields["session"])
        result = self._answer(session, row, row.fields["text"])
        agent = session.agent
        if agent.settings.working_every:
            from memagent.writing.update import keep_up

            keep_up(
                memory,
                agent.engine,
                agent.settings,
                session.source.id,
                time=moment(row.fields.get("time")),
                on_text=self._listen,
            )
        return result

    def _write(self, memory: Namespace, row: Row) -> dict[str, Any]:
        from memagent.writing.book import Book
        from memagent.writing.writer import STEPS, Writer

        book = Book(memory, row.fields["session"], row.fields.get("outline"))
        workspace = self.workspace
        writer = Writer(book, workspace.engine, workspace.settings, row.fields.get("seed", 0))
        begun = self.batch.begun(row.key)
        if begun is None:
            begun = str(len(book.paragraphs()))
            self.batch.begin(row.key, "write", begun)
        last = row.fields.get("steps", int(begun) + STEPS)
        for _ in range(len(book.paragraphs()), last):
            for note in writer.step(writer.choose(), self._listen).written.notes:
                logger.info(note)
            self._listen("")
        text = book.text()
        written = len(book.paragraphs())
        return {"session": book.source.name, "paragraphs": written, "text": text}

    def _answer(self, session: Session, row: Row, text: str, **how: Any) -> dict[str, Any]:
        turn = session.say(
            text, key=f"{self.batch.id}:{row.key}", time=moment(row.fields.get("time"))
        )
        answer = _stored_answer(session.memory, turn)
        if answer is None:
            answer = session.answer(turn, on_text=self._listen, **how)
        if answer.state == "partial":
            raise KeyboardInterrupt
        return answer_object(answer)

    def _listen(self, text: str) -> None:
        # Acts like Ctrl-C in this thread; the signal itself reaches only the main thread.
        if self.stopped():
            raise KeyboardInterrupt

    def _forget(self, memory: Namespace, row: Row) -> dict[str, Any]:
        name = row.fields["source"]
        begun = self.batch.begun(row.key)
        try:
            source = memory.sources.get(name)
        except NotFoundError:
            if begun is None:
                raise
            forgotten = int(begun)
        else:
            start, end = _range(source, row)
            if begun is None:
                text = memory.spans.text(source.id, start, end)
                begun = str(len(text) - text.count(BLOCK))
                self.batch.begin(row.key, "forget", begun)
            if "start" in row.fields:
                memory.forget_range(source.id, start, end)
            else:
                memory.forget_source(source)
            forgotten = int(begun)
        memory.purge()
        return {"source": name, "forgotten": forgotten}

    def _agent(self, memory: Namespace) -> Agent:
        with self._lock:
            if memory.namespace not in self._agents:
                self._agents[memory.namespace] = self.workspace.agent(memory.namespace)
            return self._agents[memory.namespace]


def _filter(row: Row) -> Filter:
    names = (row.fields["source"],) if "source" in row.fields else ()
    since, until, as_of = (row.fields.get(name) for name in ("since", "until", "as_of"))
    return Filter(since, until, names, as_of)


def _range(source: Source, row: Row) -> tuple[int, int]:
    start, end = row.fields.get("start", 0), min(row.fields.get("end", source.chars), source.chars)
    if start >= end and "start" in row.fields:
        raise UsageError(
            f"no text between {start} and {end}: {source.name} has {source.chars} characters"
        )
    return start, end


def _stored_answer(memory: Namespace, turn: Span) -> Answer | None:
    """The complete answer of an earlier run to this turn, if any; a partial one is withdrawn."""
    answer_id = memory.answers.of_question(turn.id)
    if answer_id is None:
        return None
    answer = load_answer(memory, answer_id)
    if answer.state == "complete":
        return answer
    memory.withdraw([memory.spans.get(memory.answers.get(answer_id)["answer_span"])])
    return None
