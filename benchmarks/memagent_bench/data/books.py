"""The texts that a benchmark reads: given files, or a text that is always available.

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
    """(title, text) of every book, and the name and hash of their file.

    `path` is JSON Lines of {title, text}, optionally compressed with xz, or plain text. None means
    the language reference that every Python installation contains. Raises InputError for any other
    file.
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
            f"{path} is neither text nor JSON Lines of title and text ({error}): choose --data"
        ) from error
    return books, {"file": path.name, "sha256": sha256_of(path)}
