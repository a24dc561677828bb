"""Data sets on disk: files, tar archives or folders, recognized by their content."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from memagent.errors import InputError
from memagent_bench.data.choi import choi
from memagent_bench.data.fairytale import fairytale, stories
from memagent_bench.data.friends import friends
from memagent_bench.data.items import Document, History, Item
from memagent_bench.data.locomo import locomo
from memagent_bench.data.multihop import multihop
from memagent_bench.data.qmsum import qmsum, topics
from memagent_bench.data.shifts import shifts
from memagent_bench.data.squad import articles, squad

__all__ = ["Marked", "held_out", "read_histories", "read_marked", "read_texts"]


@dataclass(frozen=True, slots=True)
class Marked:
    """A set of documents with marked boundaries.

    `unit` says what its units are; `tolerance` is the distance in units up to which a boundary
    counts as found.
    """

    name: str
    unit: str
    tolerance: int
    documents: tuple[Document, ...]


def read_texts(path: Path, *suffixes: str) -> Iterator[tuple[str, str]]:
    """(name, text) of a file, or of the members of a tar archive or folder with these suffixes.

    Raises InputError if the file is missing or damaged.
    """
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.is_file() and file.name.endswith(suffixes):
                    yield file.relative_to(path).as_posix(), file.read_text(encoding="utf-8")
        elif ".tar" in path.suffixes:
            with tarfile.open(path) as archive:
                for member in archive:
                    stream = archive.extractfile(member)
                    if stream is not None and member.name.endswith(suffixes):
                        yield member.name, stream.read().decode()
        else:
            yield path.name, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, tarfile.TarError) as error:
        raise InputError(f"{path} cannot be read ({error}): give a question set") from error


def held_out(path: Path) -> list[Item]:
    """The evaluation items of a question set.

    These are the `val` split of FairytaleQA, every fifth dialogue of FriendsQA, or all of a SQuAD
    file. Raises InputError for any other file.
    """
    files = dict(read_texts(path, ".json", ".csv"))
    with _format_checked(path, "question set"):
        items = fairytale(files, "val")
        for name, text in sorted(files.items()):
            if name.endswith(".json"):
                items += _items(json.loads(text))
    if not items:
        raise InputError(
            f"{path} holds no questions: give a file in the format of SQuAD 1.1 or FriendsQA, "
            "or the archive of FairytaleQA"
        )
    return items


def read_histories(path: Path, part: str = "val") -> tuple[str, list[History]]:
    """Name and histories of a set: LoCoMo, SQuAD, HotpotQA or MuSiQue, or the split `part`
    (train or val) of QMSum or FairytaleQA.

    Raises InputError for any other file.
    """
    files = dict(read_texts(path, ".json", ".csv"))
    with _format_checked(path, "set of histories"):
        name, found = _histories(files, part)
    found = [history for history in found if history.asked]
    if not found:
        raise InputError(
            f"{path} holds no questions with evidence: give a file in the format of LoCoMo, SQuAD, "
            "HotpotQA or MuSiQue, or the archive of QMSum or FairytaleQA"
        )
    return name, found


def read_marked(path: Path) -> Marked:
    """The documents of QMSum, of Choi's set, or of a table of event shifts.

    Documents without a boundary are left out. Raises InputError for any other file.
    """
    files = dict(sorted(read_texts(path, ".json", ".ref", ".csv")))
    with _format_checked(path, "set of segments"):
        name, unit, tolerance, documents = _documents(files)
    marked = tuple(document for document in documents if document.gold)
    if not marked:
        raise InputError(
            f"{path} holds no documents with boundaries: give the archive of QMSum, of Choi's "
            "documents, or a table of event shifts by clause"
        )
    return Marked(name, unit, tolerance, marked)


@contextmanager
def _format_checked(path: Path, kind: str) -> Iterator[None]:
    """Turn the errors of a reader that meets another format into an InputError."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: {error!r} does not fit a {kind}") from error


def _items(value: dict[str, Any]) -> list[Item]:
    if "utterances:" in value["data"][0]["paragraphs"][0]:
        return friends(value, "held-out")
    return squad(value)


def _histories(files: Mapping[str, str], part: str) -> tuple[str, list[History]]:
    if any(name.endswith("-questions.csv") for name in files):
        return "fairytaleqa", list(stories(files, part))
    decoded = {name: json.loads(text) for name, text in sorted(files.items())}
    lists = {name: value for name, value in decoded.items() if isinstance(value, list)}
    hops = {name: rows for name, rows in lists.items() if "question" in rows[0]}
    if hops:
        return "multihop", [multihop(PurePosixPath(name).stem, rows) for name, rows in hops.items()]
    if lists:
        return "locomo", [history for value in lists.values() for history in locomo(value)]
    alone = len(decoded) == 1
    if alone and "data" in next(iter(decoded.values())):
        return "squad", list(articles(*decoded.values()))
    return "qmsum", [
        qmsum(PurePosixPath(name).stem, meeting)
        for name, meeting in decoded.items()
        if alone or part in PurePosixPath(name).parts
    ]


def _documents(files: Mapping[str, str]) -> tuple[str, str, int, list[Document]]:
    """Name, unit, tolerance and documents of a set with marked boundaries."""
    suffixes = {name: PurePosixPath(name).suffix for name in files}
    references = [choi(name, files[name]) for name in files if suffixes[name] == ".ref"]
    if references:
        return "choi", "sentence", 1, references
    tables = [shifts(name, files[name]) for name in files if suffixes[name] == ".csv"]
    if tables:
        return "shifts", "clause", 1, tables
    meetings = [topics(PurePosixPath(name).stem, json.loads(text)) for name, text in files.items()]
    return "qmsum", "turn", 3, meetings
