"""What a question and an event say of who speaks and of when, read off their words.

English only: elsewhere these clues are silent. Knows nothing of stores or scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["in_first_person", "named", "names_in", "speaker", "tells_time"]

_SPEAKER = re.compile(r"\s*([^\W\d][\w.'-]*(?: [^\W\d_][\w.'-]*){0,3}): ")
_TIME = frozenset(
    """yesterday today tomorrow tonight last next ago week weekend month year day days monday
    tuesday wednesday thursday friday saturday sunday january february march april may june july
    august september october november december morning since recently soon""".split()
) | frozenset(map(str, range(1000, 3000)))
_NAME = re.compile(r"[^\W\d_a-z][\w'’-]+(?: (?:(?:of|the|de|van|von|and) )?[^\W\d_a-z][\w'’-]+)*")
_WORDS = re.compile(r"[a-z]+|\d+")


def speaker(opening: str) -> str | None:
    """The name before the colon with which a turn opens, if it opens so."""
    found = _SPEAKER.match(opening)
    return found[1] if found else None


def names_in(text: str) -> list[str]:
    """Names that a text brings up: runs of capitalised words; one that only opens sentences is
    none."""
    found: dict[str, int] = {}
    for match in _NAME.finditer(text):
        opens = not text[: match.start()].strip() or text[: match.start()].rstrip()[-1] in ".!?:\n"
        found[match[0]] = max(found.get(match[0], 0), 0 if opens and " " not in match[0] else 1)
    return [name for name, sure in found.items() if sure]


def named(question: str, speakers: Iterable[str]) -> set[str]:
    """Those of the speakers whom the question names."""
    return {
        name
        for name in speakers
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question, re.IGNORECASE)
    }


def in_first_person(question: str, names: Iterable[str]) -> str:
    """The question as one of those named would put it: what they say of themselves is alike."""
    for name in names:
        plain = re.escape(name)
        question = re.sub(rf"(?<!\w){plain}['’]s(?!\w)", "my", question, flags=re.IGNORECASE)
        question = re.sub(rf"(?<!\w){plain}(?!\w)", "I", question, flags=re.IGNORECASE)
    return question


def tells_time(text: str) -> bool:
    """Whether a text has a word of time in it, or a year in digits."""
    return not _TIME.isdisjoint(_WORDS.findall(text.lower()))
