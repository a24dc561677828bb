"""Documents with marked boundaries on disk, told apart by what the files hold."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from memagent.errors import InputError
from memagent_bench.qa.files import read_texts
from memagent_bench.segments.items import Document

__all__ = ["Marked", "read_marked"]

_RULE = "====="  # opens and closes the segments of Choi's documents
SHIFTS = 2  # dimensions of a situation that change at once where an event begins


@dataclass(frozen=True, slots=True)
class Marked:
    """A set: its name, what its units are, how near is near, and its documents in order.

    `tolerance` is the distance in units up to which a boundary counts as found.
    """

    name: str
    unit: str
    tolerance: int
    documents: tuple[Document, ...]


def read_marked(path: Path) -> Marked:
    """The topics of QMSum, Choi's joined passages, or a story whose shifts people have rated.

    Raises InputError where the file is none of them.
    """
    files = dict(sorted(read_texts(path, ".json", ".ref", ".csv")))
    try:
        found = _decoded(files)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: {error!r} does not fit a set of segments") from error
    if not found.documents:
        raise InputError(
            f"{path} holds no documents with boundaries: give the archive of QMSum, of Choi's "
            "documents, or a table of event shifts by clause"
        )
    return found


def _decoded(files: Mapping[str, str]) -> Marked:
    named = {name: PurePosixPath(name) for name in files}
    choi = [_choi(name, files[name]) for name, path in named.items() if path.suffix == ".ref"]
    if choi:
        return Marked("choi", "sentence", 1, _with_boundaries(choi))
    stories = [_shifts(name, files[name]) for name, path in named.items() if path.suffix == ".csv"]
    if stories:
        return Marked("shifts", "clause", 1, _with_boundaries(stories))
    meetings = [_meeting(path.stem, json.loads(files[name])) for name, path in named.items()]
    return Marked("qmsum", "turn", 3, _with_boundaries(meetings))


def _with_boundaries(documents: Iterable[Document]) -> tuple[Document, ...]:
    return tuple(document for document in documents if document.gold)


def _meeting(name: str, meeting: dict[str, Any]) -> Document:
    """A meeting of QMSum (arXiv:2104.05938): a topic begins where a span of turns of it does."""
    units = tuple(
        f"{row['speaker']}: {_line(row['content'])}" for row in meeting["meeting_transcripts"]
    )
    spans = (span for topic in meeting["topic_list"] for span in topic["relevant_text_span"])
    return Document(name, units, _inner((int(first) for first, _ in spans), len(units)))


def _choi(name: str, text: str) -> Document:
    """Parts of ten articles, one behind the other (Choi 2000, arXiv:cs/0003083)."""
    units: list[str] = []
    begins = []
    for line in text.splitlines():
        if line.startswith(_RULE):
            begins.append(len(units))
        elif line.strip():
            units.append(_line(line))
    return Document(name, tuple(units), _inner(begins, len(units)))


def _shifts(name: str, text: str) -> Document:
    """Clauses, and for each what of the situation changes with it: 0 or 1 by dimension.

    An event begins where SHIFTS dimensions change, as situation models have it (Zwaan, Langston
    and Graesser 1995). A table without dimensions has no boundaries.
    """
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    units = tuple(_line(row["clause"]) for row in rows)
    ratings = ([v for k, v in row.items() if k not in ("id", "clause")] for row in rows)
    begins = (n for n, values in enumerate(ratings) if sum(map(int, values)) >= SHIFTS)
    return Document(name, units, _inner(begins, len(units)))


def _line(text: str) -> str:
    return " ".join(text.split())


def _inner(begins: Iterable[int], count: int) -> tuple[int, ...]:
    return tuple(sorted(set(begins) & set(range(1, count))))
