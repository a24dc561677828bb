"""The texts that a bench reads: a person's own files, or the one that is always there.

Knows nothing of models or of what is measured.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path

from memagent.errors import InputError
from memagent_bench.data.corpus import source_data
from memagent_bench.report import sha256_of

__all__ = ["read_books"]


def read_books(path: Path | None) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(title, text) of every book, and their file with its hash.

    `path` is JSON Lines of {title, text}, compressed with xz or not, or plain text; None takes
    the language reference that every Python installation carries. Raises InputError where the
    file is none of these.
    """
    if path is None:
        from pydoc_data.topics import topics

        return [("Python's language reference", "\n".join(topics.values()))], source_data()
    try:
        raw = path.read_bytes()
        text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode("utf-8")
        books = [(path.name, text)]
        if ".jsonl" in path.suffixes:
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
            books = [(str(line["title"]), str(line["text"])) for line in lines]
    except (OSError, lzma.LZMAError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no text and no JSON Lines of title and text ({error}): choose --data"
        ) from error
    return books, {"file": path.name, "sha256": sha256_of(path)}
