"""Storing a document's text; its events and vectors follow later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from memagent.documents.open import Document
from memagent.errors import InputError
from memagent.memory.namespace import Namespace

__all__ = ["Added", "ingest"]


@dataclass(frozen=True, slots=True)
class Added:
    """The result of adding a document."""

    source: str
    status: Literal["added", "unchanged", "updated", "resumed"]
    spans: int
    chars: int


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
    name = document.name
    if document.uri is not None and not document.named:
        path = unquote(urlsplit(document.uri).path)
        name = memory.sources.document_name(name, document.uri, path)
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
