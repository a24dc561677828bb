"""LoCoMo: conversations of two people over months, with evidence by turn (arXiv:2402.17753).

Categories 1 to 4 are multi-hop, temporal, open-domain and single-hop questions; those of category 5
cannot be answered by design.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from memagent_bench.data.items import Asked, History, Turn

__all__ = ["locomo"]

_CATEGORIES = frozenset({1, 2, 3, 4})
_UNANSWERABLE = 5
_LABEL = re.compile(r"D:?(\d+):0*(\d+)")  # some labels are like D:11:26, some name two turns


def locomo(samples: list[dict[str, Any]]) -> Iterator[History]:
    """The conversations of a file. The caption of a shared picture counts as text of its turn.

    Raises KeyError, TypeError or ValueError for another format.
    """
    for sample in samples:
        turns: list[Turn] = []
        numbers: dict[tuple[int, int], int] = {}
        for session, (key, when, said) in enumerate(_sessions(sample["conversation"])):
            for place, turn in enumerate(said, start=1):
                label = _LABEL.fullmatch(turn.get("dia_id", ""))
                at = (int(label[1]), int(label[2])) if label else (key, place)
                numbers[at] = len(turns)
                turns.append(Turn(session, turn["speaker"], _text(turn), when))
        asked, unresolved = [], 0
        for row in sample["qa"]:
            if row["category"] not in _CATEGORIES:
                continue
            found = set()
            for label in row.get("evidence", []):
                places = [(int(a), int(b)) for a, b in _LABEL.findall(label)]
                known = {numbers[place] for place in places if place in numbers}
                unresolved += not known
                found |= known
            if found:
                gold = tuple(sorted(found))
                answers = (str(row["answer"]),) if "answer" in row else ()
                asked.append(Asked(row["question"], str(row["category"]), gold, answers))
        name = str(sample.get("sample_id", len(turns)))
        unanswerable = tuple(
            row["question"] for row in sample["qa"] if row["category"] == _UNANSWERABLE
        )
        yield History(name, tuple(turns), tuple(asked), unresolved, unanswerable)


def _sessions(
    conversation: dict[str, Any],
) -> list[tuple[int, str | None, list[dict[str, Any]]]]:
    """(number, time, turns) of each session, in order."""
    found = []
    for key, value in conversation.items():
        match = re.fullmatch(r"session_(\d+)", key)
        if match and isinstance(value, list):
            found.append((int(match[1]), _time(conversation.get(f"{key}_date_time")), value))
    return sorted(found, key=lambda row: row[0])


def _text(turn: dict[str, Any]) -> str:
    text, caption = str(turn["text"]), turn.get("blip_caption")
    return f"{text} [shared a picture: {caption}]" if caption else text


def _time(text: str | None) -> str | None:
    """`1:56 pm on 8 May, 2023` in ISO 8601."""
    if text is None:
        return None
    try:
        return datetime.strptime(text.strip(), "%I:%M %p on %d %B, %Y").isoformat()
    except ValueError:
        return None
