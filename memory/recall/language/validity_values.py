"""The value that a statement gives: its words, their kind, and when two values differ.

Knows nothing of the frames that statements have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Value", "ValueKind", "read_value"]

ValueKind = Literal["number", "name", "day", "clock", "word"]

_MOST_WORDS = 6
_MOST_DESCRIBING = 3  # words of a value in small letters
_NOW = r"now|currently|instead|these days|nowadays|from now on|as of|at the moment"
# Where a value ends: a punctuation mark, or a word that begins something else.
_END = re.compile(
    rf"""\s*(?:[,;!()"“”]|:(?=\s|$)|\s[-–—]\s|\s(?:{_NOW}|and|or|but|because|since|so|which|who|that|when
    |where|while|if|until|though|although|by\ the\ way|btw|starting|anymore|any\ more|in\ case
    |thanks|please|too|already|with|from|near|after|before|last|this|next)\b).*$""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_TELLS_NOW = re.compile(rf"[\s,]*(?:{_NOW})\b", re.IGNORECASE)
_LISTS = re.compile(r"\s*,?\s*(?:and|or)\b|,[^,]*\b(?:and|or)\b", re.IGNORECASE)
_LEAD = re.compile(r"(?:(?P<prep>on|at|in)\s+)?(?:(?:a|an|the|called|named)\s+)?", re.IGNORECASE)
_CLOCK = re.compile(
    r"\d{1,2}(?:[:.]\d\d\s?(?:[ap]\.?m\b\.?)?|\s?[ap]\.?m\b\.?|\s?o['’]clock)|noon|midnight",
    re.IGNORECASE,
)
_DAYS = frozenset(
    """monday tuesday wednesday thursday friday saturday sunday january february march april may
    june july august september october november december jan feb mar apr jun jul aug sep sept oct
    nov dec mon tue wed thu fri sat sun""".split()
)
_RELATIVE = frozenset("today tomorrow tonight yesterday next this last soon later".split())
# Lower-case first words of a description, which is not a value.
_DESCRIBES = frozenset(
    """so very really too quite pretty more most less here there that this these those when how what
    why where to not no never always still just all being getting gone because wrong right secret
    unknown private safe confidential different same ready fine good great bad new old weak strong
    missing easy hard simple important amazing awesome lovely nice perfect beautiful wonderful
    probably maybe perhaps about like also definitely by for of with my your his her their our its
    one some any each every both it i he she they we you who which whatever anything everything
    something nothing available valid invalid long short big small high low public hidden correct
    incorrect complicated""".split()
)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a statement.

    `words` are in lower case. `place` means that "in" or "at" came before them, `now` that "now" or
    the like came after.
    """

    words: tuple[str, ...]
    kind: ValueKind
    units: frozenset[str]
    place: bool = False
    now: bool = False

    @property
    def recurs(self) -> bool:
        """Whether it is a day of the week or a month, which recur."""
        return self.kind == "day" and not any(word[0].isdigit() for word in self.words)

    def differs(self, other: Value, *, single: bool, free: bool) -> bool:
        """Whether the two exclude each other: of one kind, and neither merely more detailed.

        A `single` value may be given as a number or as a name. Numbers must have the same units,
        except in `free` text, where a word such as a street is not a unit.
        """
        mine, others = set(self.words), set(other.words)
        if mine <= others or others <= mine:
            return False
        if free and {self.kind, other.kind} <= {"number", "name", "word"}:
            return True
        alike = self.kind == other.kind or (
            single and {self.kind, other.kind} == {"number", "name"}
        )
        return alike and (self.kind != "number" or self.units == other.units)


def read_value(source: str) -> Value | None:
    """The value at the start of `source`; None if it is not clearly a value."""
    end = _END.search(source)
    rest = source[end.start() :] if end else ""
    text = (source[: end.start()] if end else source).strip(" .!*_'’‘")
    lead = _LEAD.match(text)
    place = bool(lead and lead["prep"])
    text = text[lead.end() :] if lead else text
    words = tuple(word.casefold() for word in _WORD.findall(text))
    if not 0 < len(words) <= _MOST_WORDS or _LISTS.match(rest) or not _RELATIVE.isdisjoint(words):
        return None
    kind = _kind(text, words)
    if kind is None:
        return None
    units = frozenset(word for word in _WORD.findall(text) if word.isalpha() and word.islower())
    return Value(
        words,
        kind,
        units,
        place and kind in ("name", "number", "word"),
        bool(_TELLS_NOW.match(rest)),
    )


def _kind(text: str, words: tuple[str, ...]) -> ValueKind | None:
    if _CLOCK.fullmatch(text):
        return "clock"
    if any(word in _DAYS for word in words) and all(
        word in _DAYS or word[0].isdigit() or word in ("the", "of", "at") for word in words
    ):
        return "day"
    first = _WORD.search(text)
    assert first is not None
    if words[0] in _DESCRIBES or first[0] == "I":
        return None
    if "@" in text or any(map(str.isdigit, text)):
        return "number"
    if first[0][0].isupper():
        return "name"
    if len(words) > _MOST_DESCRIBING or words[0].endswith(("ing", "ed", "ly")):
        return None
    return "word"
