"""Which statements newer ones supersede, recognised by a closed set of English sentence frames.

A statement gives the value of a subject: "My address is Rose Lane 4", "The gate code changed
to 9200", "I live in Rome". A later one of the same speaker with the same subject words and another
short value of the same kind supersedes it where the subject is known to have one value at a time
(an address, a code, a favourite), or where the later one says that something changed ("now", "new",
"changed to"). Questions, hedges, the past tense and descriptions are not statements.

Knows nothing of stores, events and scores. In other languages it finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memagent.memory.recall.language.validity_values import Value, read_value

__all__ = ["Statement", "statements", "superseders"]

_FREE = frozenset(
    "address password passcode passphrase username nickname email colour color".split()
)
_FAVOURITE = frozenset("favourite favorite preferred".split())
_EXACT = frozenset("code pin number birthday age height weight size salary rent budget".split())
# One at a time, but much else is said about them: only "new" and "now" mark a replacement.
_REPLACED = frozenset("boss manager supervisor landlord doctor dentist car job employer".split())

_NOUN = r"(?!(?:is|was|that|who|which|if|i|you|he|she|it|we|they|and|or|but|not)\b)[\w'’-]+"
_THING = rf"(?P<thing>(?i:my|our|the)(?: {_NOUN}){{1,6}}?)"
_PERSON = rf"(?P<person>(?i:i|we|my(?: {_NOUN}){{1,3}}?)|[A-Z][\w-]+(?: [A-Z][\w-]+)?)"
_NOW = r"(?P<now>(?: (?:now|currently))?)"
_HAS = r"(?:['’](?:ve|s|d)| have| has| was| is| got| been| just| now| finally| recently| already)*"
_CHANGED = r"(?:changed|switched|updated|rescheduled|postponed|shifted|pushed|renamed|reset)"
_FROM = r"(?: back| forward| over)?(?: from [^,;]{1,40}?)? to"
_FRAMES = (
    ("is", re.compile(rf"{_THING}{_NOW} is(?P<then>(?: (?:now|currently))?) (?P<value>.+)")),
    ("change", re.compile(rf"{_THING}{_HAS} {_CHANGED}{_FROM} (?P<value>.+)")),
    (
        "change",
        re.compile(rf"(?i:i|we|they|you){_HAS} (?:{_CHANGED}|moved) {_THING}{_FROM} (?P<value>.+)"),
    ),
    ("move", re.compile(rf"(?:{_THING}|{_PERSON}){_HAS} (?:moved|relocated){_FROM} (?P<value>.+)")),
    (
        "live",
        re.compile(
            rf"{_PERSON}(?:['’](?:m|re|s)| am| is| are)?{_NOW} (?i:live|lives|living)"
            rf"(?P<then>(?: (?:now|currently))?) (?:in|at) (?P<value>.+)"
        ),
    ),
    (
        "work",
        re.compile(
            rf"{_PERSON}(?:['’](?:m|re|s)| am| is| are)?{_NOW} (?i:work|works|working)"
            rf"(?P<then>(?: (?:now|currently))?) (?:at|for) (?P<value>.+)"
        ),
    ),
    ("age", re.compile(rf"(?P<person>(?i:i))(?: am|['’]m){_NOW} (?P<value>\d{{1,3}} years old)")),
)
_VERBS = {
    "live": ("live", "moved", "relocated"),
    "work": ("work",),
    "age": ("years",),
}
_LINKS = frozenset("of for at in on to".split())
_OPENERS = re.compile(
    r"""(?:(?:oh|ok|okay|well|actually|no|yes|yeah|sorry|correction|update|by\ the\ way|btw|fyi|hi
    |hello|hey|note|please\ note|remember|also|and|but|so|anyway|just\ so\ you\ know|good\ news
    |as\ of\ today|from\ now\ on)(?:\ that)?[,:!]?\s+)*""",
    re.IGNORECASE | re.VERBOSE,
)
_SENTENCE = re.compile(
    r"(?:\n|[!?;](?=\s|$)|(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)(?<!\bNo)\.(?=\s|$))"
)
_CLAUSE = re.compile(r",? (?:and|but) (?=(?:my|our|the|I|we)\b)")
# Words that need not mean the same person twice.
_NO_NAME = frozenset(
    """he she it they this that these those there here who what someone somebody everyone everybody
    nobody today tomorrow now people people's""".split()
)
_LONG_AGO = re.compile(r"\b(?:ago|when|years?|once|originally|(?:19|20)\d\d)\b", re.IGNORECASE)
_HINT = re.compile(
    r"\b(?:is|changed|switched|updated|rescheduled|postponed|shifted|pushed|renamed|"
    r"reset|moved|relocated|lives?|living|works?|working|years old)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A text gives `value` for `subject` at [start, end), in a sentence of the form `frame`.

    `single` means that the subject has one value at a time, `free` that the value may be any short
    text, and `changed` that the sentence reports a change.
    """

    subject: str
    frame: str
    value: Value
    single: bool
    free: bool
    changed: bool
    start: int
    end: int

    @property
    def words(self) -> tuple[list[str], tuple[str, ...]]:
        """Words that every statement of the subject contains, and words of which it contains one.

        They are in lower case, inflected words without their ending.
        """
        words = [w for w in re.findall(r"\w+", self.subject) if w not in ("my", "our", "the")]
        return words, _VERBS.get(self.frame, ())

    def supersedes(self, older: Statement) -> bool:
        """Whether this later statement gives another value for the same subject."""
        if (self.subject, self.frame) != (older.subject, older.frame):
            return False
        sure = self.changed or (self.single and not self.value.recurs)
        return sure and self.value.differs(older.value, single=self.single, free=self.free)


def superseders(made: Sequence[Statement]) -> list[int | None]:
    """For each statement the position of the first one that supersedes it, or None.

    The statements are those of one speaker, oldest first.
    """
    return [
        next((at for at in range(place + 1, len(made)) if made[at].supersedes(old)), None)
        for place, old in enumerate(made)
    ]


def statements(text: str) -> Iterator[Statement]:
    """The statements of a text, without the name of its speaker."""
    if not _HINT.search(text):
        return
    start = 0
    for mark in [*_SENTENCE.finditer(text), None]:
        end = mark.start() if mark else len(text)
        if mark is None or mark[0] != "?":
            for a, b in _clauses(text, start, end):
                yield from _read(text, a, b)
        start = mark.end() if mark else end


def _clauses(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for mark in [*_CLAUSE.finditer(text, start, end), None]:
        stop = mark.start() if mark else end
        while start < stop and text[start].isspace():
            start += 1
        opened = _OPENERS.match(text, start, stop)
        yield (opened.end() if opened else start), stop
        start = mark.end() if mark else stop


def _read(text: str, start: int, end: int) -> Iterator[Statement]:
    for name, frame in _FRAMES:
        found = frame.fullmatch(text, start, end)
        if not found:
            continue
        groups = found.groupdict()
        value = read_value(groups["value"])
        who = groups.get("person")
        if value is None or (who and who.casefold() in _NO_NAME):
            continue
        subject, single, free, new = _subject(groups.get("thing") or str(who))
        says = name in ("change", "move") or value.now or new
        changed = bool(says or (groups.get("now") or groups.get("then") or "").strip())
        if name == "move" and _LONG_AGO.search(groups["value"]):
            continue
        if value.kind == "word" and not free:
            continue
        for of in _frames(name, value, single=single):
            yield Statement(subject, of, value, single or of == "age", free, changed, start, end)
        return


def _frames(name: str, value: Value, *, single: bool) -> tuple[str, ...]:
    """The frames that a match fills: "moved to Rome" fills two."""
    proper = value.kind in ("name", "number")
    if name == "move":
        return ("live", "place") if proper and not single else ("is",)
    if name in ("live", "work"):
        return (name,) if proper else ()
    if name == "is" and value.place:
        return ("place",) if proper else ()
    return ("age",) if name == "age" else ("is",)


def _subject(words: str) -> tuple[str, bool, bool, bool]:
    """The subject in the form that is compared, and whether it is single, free and new."""
    parts = words.casefold().replace("’", "'").split()
    new = "new" in parts[1:2] or "current" in parts[1:2]
    if new:
        parts.pop(1)
    head = next((at - 1 for at, w in enumerate(parts) if at > 1 and w in _LINKS), len(parts) - 1)
    modified = len(parts) > 2 or parts[0] != "the"
    favourite = not _FAVOURITE.isdisjoint(parts[:head]) and parts[head] not in ("one", "thing")
    free = (parts[head] in _FREE or favourite) and modified
    single = free or (parts[head] in _EXACT and modified)
    return " ".join(parts), single, free, new and (single or parts[head] in _REPLACED)
