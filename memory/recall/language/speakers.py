"""Who speaks in a turn, and whom a question names.

English only: in other languages these functions find nothing. Knows nothing of stores or scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["in_first_person", "named_speakers", "speaker"]

_SPEAKER = re.compile(r"\s*([^\W\d][\w.'-]*(?: [^\W\d_][\w.'-]*){0,3}): ")


def speaker(opening: str) -> str | None:
    """The name before the colon at the start of a turn, if it starts with one."""
    found = _SPEAKER.match(opening)
    return found[1] if found else None


def named_speakers(question: str, speakers: Iterable[str]) -> set[str]:
    """The speakers whom the question names."""
    return {
        name
        for name in speakers
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question, re.IGNORECASE)
    }


def in_first_person(question: str, names: Iterable[str]) -> str:
    """The question as one of `names` would put it, to resemble what they say of themselves."""
    for name in names:
        plain = re.escape(name)
        question = re.sub(rf"(?<!\w){plain}['’]s(?!\w)", "my", question, flags=re.IGNORECASE)
        question = re.sub(rf"(?<!\w){plain}(?!\w)", "I", question, flags=re.IGNORECASE)
    return question
