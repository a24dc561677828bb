"""The front door: one open memory with documents, sessions, search and answers.

    with memagent.open("notes.db") as memory:
        memory.add("report.pdf")
        print(memory.ask("Who rebuilt the pier?").text)

The command line uses it like any other program.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from memagent.errors import NotFoundError, StoreError, UsageError

if TYPE_CHECKING:
    from memagent.agent.answer_stream import AnswerStream
    from memagent.agent.session import Session
    from memagent.agent.workspace import Workspace
    from memagent.documents.ingest import Added
    from memagent.engines.base import Engine
    from memagent.memory.events import Filter
    from memagent.memory.index.encoder import Encoder
    from memagent.memory.namespace import Namespace
    from memagent.memory.recall.selection import Hit, Recalled
    from memagent.types import Answer, Citation, Event, Source

__all__ = ["Memory", "open"]

logger = logging.getLogger(__name__)


def open(
    store: str | PathLike[str] | None = None,
    *,
    engine: str | Engine | None = None,
    embedder: str | Encoder | None = None,
    **settings: Any,
) -> Memory:
    """Open a memory. The store is created if it does not exist.

    store: path of the SQLite file. engine, embedder: a name or an object. settings: any other
    setting by its name (`memagent config list` shows them), such as `namespace`, `url`, `model` or
    `budget`. A keyword overrides the MEMAGENT_* variables, which override memagent.toml in this
    folder or above, the user's file and the default, in this order. Raises UsageError for an
    unknown or invalid setting, and StoreError if the store cannot be opened.
    """
    from memagent.agent.workspace import Workspace
    from memagent.settings import load

    given = {**settings, "store": store}
    given["engine"] = engine if isinstance(engine, str) else None
    given["embedder"] = embedder if isinstance(embedder, str) else None
    if settings.get("url") and engine is None:
        # A server given as a keyword overrides the engine of the files and variables.
        given["engine"] = "auto"
    values, _ = load(given)
    workspace = Workspace(
        values,
        engine=None if isinstance(engine, str) else engine,
        embedder=None if isinstance(embedder, str) else embedder,
    )
    return Memory(workspace)


class Memory:
    """An open memory: one namespace of one store, and an engine that answers from it.

    Made by `memagent.open`. Once it is closed, every method raises StoreError. All errors are
    MemagentErrors. Safe to use from several threads.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._closed = False

    @property
    def workspace(self) -> Workspace:
        """The parts that this memory is made of. StoreError if it is closed."""
        if self._closed:
            raise StoreError("this memory is closed: open it again with memagent.open")
        return self._workspace

    @property
    def namespace(self) -> Namespace:
        """The namespace with its tables and its recall."""
        return self.workspace.memory()

    def add(
        self,
        path: str | PathLike[str] | BinaryIO | None = None,
        *,
        text: str | None = None,
        name: str | None = None,
    ) -> list[Added]:
        """Add a file, a folder, a glob pattern or a binary stream, or a `text`.

        A text or a stream needs a `name`. Returns what became of each document. Adding the same
        content again changes nothing; other content under the same name becomes its new version. A
        file in a folder that cannot be read is skipped with a warning. Raises InputError if a named
        file cannot be read, and NotFoundError if nothing is there.
        """
        if (path is None) == (text is None):
            raise UsageError("add takes either a path or a text")
        done: list[Added] = []
        for added in self.add_all([BytesIO((text or "").encode()) if path is None else path], name):
            if added.error is None:
                done.append(added)
            elif added.status == "failed":
                raise added.error
            else:
                logger.warning("%s", added.error)
        return done

    def add_all(
        self,
        paths: Iterable[str | PathLike[str] | BinaryIO],
        name: str | None = None,
        *,
        on_commit: Callable[[str, int, int], None] = lambda source, spans, chars: None,
        on_embed: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[Added]:
        """Add files, folders, glob patterns or a binary stream; yields each document once stored.

        Like `add`, but a document that cannot be read does not end it: it is yielded with its
        `error`. After the last document, the new text is segmented and embedded; if the iteration
        ends early, the next search does that. `on_commit` gets a document's name and how many of
        its spans and characters are stored, `on_embed` how many events of how many are embedded.
        """
        from memagent.documents.ingest import ingest_all

        namespace = self.namespace
        limit = self.workspace.settings.max_mb * 1024 * 1024
        yield from ingest_all(namespace, paths, name=name, max_bytes=limit, committed=on_commit)
        namespace.catch_up(on_embed)

    def ask(
        self,
        question: str,
        *,
        where: Filter | None = None,
        session: str | None = None,
        on_text: Callable[[str], None] = lambda text: None,
        on_thinking: Callable[[str], None] = lambda text: None,
    ) -> Answer:
        """Answer a question, with the exact text behind the answer.

        `where` limits what may be recalled. Without a `session` the question belongs to no
        conversation and is never recalled. `on_text` gets the answer as it is written, and
        `on_thinking` what a reasoning model thinks before it.
        """
        asked = self._session(session)
        return asked.ask(question, where=where, on_text=on_text, on_thinking=on_thinking)

    def stream(
        self, question: str, *, where: Filter | None = None, session: str | None = None
    ) -> AnswerStream:
        """Answer a question piece by piece; afterwards the stream has the stored `answer`."""
        return self._session(session).stream(question, where=where)

    def search(
        self,
        query: str,
        *,
        where: Filter | None = None,
        limit: int = 10,
        budget: int | None = None,
    ) -> list[Hit]:
        """Find the stored text that a query recalls, best first, without an answer."""
        return list(self.recall(query, where=where, budget=budget).best[:limit])

    def recall(
        self, query: str, *, where: Filter | None = None, budget: int | None = None
    ) -> Recalled:
        """What a question would bring into a prompt of `budget` tokens, and what it leaves out."""
        from memagent.settings import DEFAULT_BUDGET

        settings = self.workspace.settings
        return self.namespace.recall(
            query,
            budget=(settings.budget or DEFAULT_BUDGET) if budget is None else budget,
            contiguity=settings.contiguity,
            where=where,
        )

    def session(self, name: str | None = None) -> Session:
        """Open a conversation by its name, new or old; without a name, begin a new one."""
        from memagent.agent.session import Session, new_name

        return Session(self.workspace.agent(), name or new_name())

    def newest_session(self) -> str:
        """The name of the conversation used last; NotFoundError if there is none."""
        from memagent.agent.session import newest

        return newest(self.namespace)

    def documents(self) -> list[Source]:
        """The documents of the namespace."""
        return self.namespace.sources.all("document")

    def sessions(self) -> list[Source]:
        """The sessions of the namespace that have turns, newest first."""
        spoken = [each for each in self.namespace.sources.all("session") if each.chars]
        return sorted(spoken, key=lambda session: session.updated, reverse=True)

    def forget(
        self,
        what: str | Citation | Hit | Event,
        *,
        start: int | None = None,
        end: int | None = None,
    ) -> int:
        """Overwrite text for good: a document or session by its name, or one passage.

        `start` and `end` limit a document or session to these characters, end exclusive. Everything
        derived from the text goes with it. Returns the number of characters. Raises NotFoundError
        if the text is not stored.
        """
        namespace = self.namespace
        if isinstance(what, str):
            source = namespace.sources.get(what)
            if start is None and end is None:
                forgotten = namespace.forget_source(source)
            else:
                stop = source.chars if end is None else end
                forgotten = namespace.forget_range(source.id, start or 0, stop)
        else:
            forgotten = namespace.forget_range(*self._passage(what))
        namespace.purge()
        return forgotten

    def close(self) -> None:
        """Save the index, close the store and the engine; safe to call twice."""
        self._closed = True
        self._workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _session(self, name: str | None) -> Session:
        """The conversation of that name, or the session of single questions."""
        from memagent.agent.session import ASK_SESSION, Session

        return Session(self.workspace.agent(), name or ASK_SESSION, remembered=name is not None)

    def _passage(self, what: Citation | Hit | Event) -> tuple[int, int, int]:
        """The source, start and end of a passage."""
        from memagent.memory.recall.selection import Hit
        from memagent.types import Citation

        passage = what.event if isinstance(what, Hit) else what
        if not isinstance(passage, Citation):
            return passage.source_id, passage.start, passage.end
        if passage.source is None or passage.start is None or passage.end is None:
            raise NotFoundError("an unverified citation has no stored text to forget")
        source = self.namespace.sources.get(passage.source)
        if self.namespace.spans.text(source.id, passage.start, passage.end) != passage.text:
            raise NotFoundError(f"{passage.source} no longer holds the cited text")
        return source.id, passage.start, passage.end
