"""Question sets on disk: JSON files, archives, unpacked folders, told apart by what they hold."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from memagent.errors import InputError
from memagent_bench.qa.fairytale import fairytale
from memagent_bench.qa.friends import friends
from memagent_bench.qa.items import Item
from memagent_bench.qa.squad import squad

__all__ = ["held_out", "read_texts"]


def read_texts(path: Path, *suffixes: str) -> Iterator[tuple[str, str]]:
    """(name, text) of a file, of the members of a tar archive or of a folder's files that end so.

    Raises InputError where there is no such file or it is damaged.
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
    """The items of a set that are for measuring.

    Those of FairytaleQA's `val` split, every fifth dialogue of FriendsQA, all of a SQuAD file.
    Raises InputError where the file is none of them.
    """
    files = dict(read_texts(path, ".json", ".csv"))
    try:
        items = fairytale(files, "val")
        for name, text in sorted(files.items()):
            if name.endswith(".json"):
                items += _decoded(json.loads(text))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: {error!r} does not fit a question set") from error
    if not items:
        raise InputError(
            f"{path} holds no questions: give a file in the format of SQuAD 1.1 or FriendsQA, "
            "or the archive of FairytaleQA"
        )
    return items


def _decoded(value: dict[str, list[dict[str, list[dict[str, object]]]]]) -> list[Item]:
    if "utterances:" in value["data"][0]["paragraphs"][0]:
        return friends(value, "held-out")
    return squad(value)
