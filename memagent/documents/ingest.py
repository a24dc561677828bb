"""Storing the text of documents; their events and vectors follow later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import unquote, urlsplit

from memagent.documents.discover import discover
from memagent.documents.open import Document, open_document, read_stdin
from memagent.errors import InputError, UsageError
from memagent.memory.namespace import Namespace

__all__ = ["Added", "ingest", "ingest_all"]


@dataclass(frozen=True, slots=True)
class Added:
    """The result of adding a document, with the numbers of spans and characters it has.

    A document that cannot be read has an `error`. Its status is "failed" if it was named, and
    "skipped" if it is in a folder or matches a pattern.
    """

    source: str
    status: Literal["added", "unchanged", "updated", "resumed", "skipped", "failed"]
    spans: int
    chars: int
    error: InputError | None = None


def ingest_all(
    memory: Namespace,
    paths: Iterable[str | PathLike[str] | BinaryIO],
    *,
    name: str | None,
    max_bytes: int,
    committed: Callable[[str, int, int], None],
) -> Iterator[Added]:
    """Store the documents in files, folders, glob patterns and binary streams, one at a time.

    `name` is for a single document; a stream needs one. `committed` gets the source and its numbers
    of spans and characters stored so far. Raises NotFoundError before the first document if a path
    does not exist, and UsageError if `name` does not fit.
    """
    named: set[Path] = set()
    documents: list[tuple[str | Path, Callable[[], Document]]] = []
    for path in paths:
        if not isinstance(path, str | PathLike):
            if name is None:
                raise UsageError("a text or a stream needs a name: add(text=…, name=…)")
            documents.append((name, partial(read_stdin, path, name=name, max_bytes=max_bytes)))
        else:
            named.add(Path(path))
    for file in discover([str(path) for path in paths if isinstance(path, str | PathLike)]):
        documents.append((file, partial(open_document, file, name=name, max_bytes=max_bytes)))
    if name is not None and len(documents) > 1:
        raise UsageError(f"a name is for one document, not for {len(documents)}: leave it out")
    for place, read in documents:
        try:
            document = read()
            source = _source_name(memory, document)
            added = ingest(memory, document, committed=partial(committed, source))
        except InputError as error:
            in_folder = isinstance(place, Path) and place not in named
            added = Added(str(place), "skipped" if in_folder else "failed", 0, 0, error)
        yield added


def ingest(
    memory: Namespace,
    document: Document,
    *,
    committed: Callable[[int, int], None] = lambda spans, chars: None,
) -> Added:
    """Store a document's text in commits of a few pieces each; events and vectors may follow.

    The same bytes under the same name are a no-op. If an earlier call was killed, this one
    continues after the last committed piece. Other bytes under the same name become a new
    version, and the old text stays for the citations that point to it. `committed` gets the
    numbers of spans and characters stored so far.
    """
    name = _source_name(memory, document)
    before = memory.sources.find(name, "document")
    source, complete = memory.sources.begin_document(
        name, document.sha256, document.uri, document.media_type
    )
    if complete:
        return Added(source.name, "unchanged", memory.spans.count(source.id), source.chars)
    resumed = memory.spans.count(source.id) > 0
    try:
        memory.add_pieces(source, document.pieces(), committed)
    except InputError:
        memory.sources.discard_empty(source)
        raise
    updated = before is not None and before.complete
    status: Literal["added", "updated", "resumed"] = (
        "resumed" if resumed else "updated" if updated else "added"
    )
    chars = memory.sources.by_id(source.id).chars
    return Added(source.name, status, memory.spans.count(source.id), chars)


def _source_name(memory: Namespace, document: Document) -> str:
    """The name to store a document under: a path is made absolute if another file has it."""
    if document.uri is None or document.named:
        return document.name
    path = unquote(urlsplit(document.uri).path)
    return memory.sources.document_name(document.name, document.uri, path)
