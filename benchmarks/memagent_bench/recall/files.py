"""Histories on disk, told apart by what the files hold."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from memagent.errors import InputError
from memagent_bench.qa.files import read_texts
from memagent_bench.recall.fairytale import stories
from memagent_bench.recall.items import History
from memagent_bench.recall.locomo import locomo
from memagent_bench.recall.multihop import multihop
from memagent_bench.recall.qmsum import qmsum
from memagent_bench.recall.squad import articles

__all__ = ["read_histories"]


def read_histories(path: Path, part: str = "val") -> tuple[str, list[History]]:
    """Name of the set and its histories: LoCoMo, SQuAD, HotpotQA and MuSiQue, a part (train or
    val) of QMSum or FairytaleQA.

    Raises InputError where the file is none of them.
    """
    files = dict(read_texts(path, ".json", ".csv"))
    try:
        name, found = _decoded(files, part)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: {error!r} does not fit a set of histories") from error
    found = [history for history in found if history.asked]
    if not found:
        raise InputError(
            f"{path} holds no questions with evidence: give a file in the format of LoCoMo, SQuAD, "
            "HotpotQA or MuSiQue, or the archive of QMSum or FairytaleQA"
        )
    return name, found


def _decoded(files: dict[str, str], part: str) -> tuple[str, list[History]]:
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
