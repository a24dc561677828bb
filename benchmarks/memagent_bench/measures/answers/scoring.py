"""The verdict on an answer: right, wrong or a refusal, and whether its citations hold the evidence.

Regular expressions and word matches, no judge. Knows nothing of stores and engines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memagent_bench.data.items import find_all
from memagent_bench.measures.answer_scores import exact, f1

__all__ = [
    "Cited",
    "Evidence",
    "Gold",
    "LongAnswer",
    "Question",
    "Reply",
    "Rules",
    "ShortAnswer",
    "score",
]

# Characters of an answer in which the right words must stand.
_HEAD, _LIST_HEAD, _POINTS_HEAD = 300, 600, 1500

_REFUSAL = re.compile(
    r"\W*(not in memory"
    r"|nothing (?:that is |is )?(?:stored|in memory)"
    r"|(?:there is )?no (?:answer|information|mention)\b"
    r"|i (?:do not|don.t|cannot|can.t) (?:know|find|tell|answer)"
    r"|(?:the )?(?:memory|documents?|notes|text|context|sources?) (?:does|do|did) ?n.?o?t\b"
    r"|unknown\b"
    r"|nicht im (?:speicher|ged))",
    re.IGNORECASE,
)
_MARKERS = re.compile(r"\s*\[\d{1,4}(?:\s*,\s*\d{1,4})*\]")
_PLAIN = str.maketrans(
    {"–": "-", "—": "-", "\u2011": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "\u00ad": ""}
)


@dataclass(frozen=True, slots=True)
class Cited:
    """A passage that an answer cites or that its prompt showed; `place` is how users see it."""

    source: str
    text: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of one method.

    `found` is False if the method itself says that there is no answer. `citations` is None for a
    method that does not cite; `shown` are the passages in its prompt. `prompt` and `completion` are
    tokens of all its calls, and `ended` says how the answer ended.
    """

    text: str
    found: bool = True
    citations: tuple[Cited, ...] | None = None
    shown: tuple[Cited, ...] = ()
    prompt: int = 0
    completion: int = 0
    ended: str = "stop"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A text that answers a question: one of `phrases` in a document.

    If `partly`, a part of the phrase is evidence, too: the phrase is a whole turn.
    """

    document: str
    phrases: tuple[str, ...]
    partly: bool = False

    def inside(self, passages: Sequence[Cited]) -> bool:
        """Whether one of the passages holds the evidence."""
        return any(
            passage.source.endswith(self.document)
            and any(self._holds(_flat(passage.text), _flat(phrase)) for phrase in self.phrases)
            for passage in passages
        )

    def _holds(self, text: str, phrase: str) -> bool:
        return phrase in text or (self.partly and bool(text) and text in phrase)


@dataclass(frozen=True, slots=True)
class ShortAnswer:
    """A few words: an answer is right if it holds all parts of one of `answers`, which commas
    separate, as whole words and near its beginning."""

    answers: tuple[str, ...]

    def right(self, reply: Reply) -> bool | None:
        """Whether the answer holds a right one."""
        head = _without_quotations(reply.text)[:_HEAD]
        return any(self._holds(head, answer) for answer in self.answers)

    def _holds(self, head: str, answer: str) -> bool:
        parts = [part for part in answer.split(",") if part.strip()]
        return bool(parts) and (
            bool(find_all(head, answer)) or all(find_all(head, part) for part in parts)
        )


@dataclass(frozen=True, slots=True)
class LongAnswer:
    """A summary: only its word F1 is measured."""

    answers: tuple[str, ...]

    def right(self, reply: Reply) -> bool | None:
        """None: words do not tell."""
        return None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a desk set, by the fields of its questions (see data/desk.py)."""

    kind: str
    row: Mapping[str, Any]
    answers: tuple[str, ...] = field(default=())

    def right(self, reply: Reply) -> bool | None:
        """Whether the answer has what is accepted and nothing that is rejected."""
        words = _without_quotations(reply.text)
        if any(_has(pattern, words[:_HEAD]) for pattern in self.row.get("reject", ())):
            return False
        if "points" in self.row:
            made = sum(_has(point, reply.text[:_POINTS_HEAD]) for point in self.row["points"])
            return bool(made >= self.row["need"])
        if "all" in self.row:
            return all(_has(pattern, reply.text[:_LIST_HEAD]) for pattern in self.row["all"])
        head = (words if self.row.get("in_words") else reply.text)[:_HEAD]
        if self.kind == "where" and reply.citations:
            # The place of the first citation counts as said.
            head += "\n" + reply.citations[0].place
        return any(_has(pattern, head) for pattern in self.row["accept"])


Gold = ShortAnswer | LongAnswer | Rules


@dataclass(frozen=True, slots=True)
class Question:
    """A question to one store; without `gold` it cannot be answered from it.

    `as_of` is a date: only what was known and valid then counts.
    """

    id: str
    kind: str
    text: str
    gold: Gold | None
    evidence: tuple[Evidence, ...] = ()
    as_of: str | None = None


def score(question: Question, reply: Reply) -> dict[str, Any]:
    """The scores of an answer, without those that do not apply.

    `verdict` is right, wrong, refused (though it can be answered), answered (not judged),
    right_refusal or false_answer; `exact` and `f1` are scores from 0 to 1; `cited` and `shown` say
    whether the citations and the prompt hold all evidence.
    """
    refused = not reply.found or bool(_REFUSAL.match(reply.text))
    if question.gold is None:
        return {"verdict": "right_refusal" if refused else "false_answer"}
    right = question.gold.right(reply)
    verdict = {True: "right", False: "wrong", None: "answered"}[right]
    found: dict[str, Any] = {"verdict": "refused" if refused else verdict}
    if question.gold.answers:
        said = "" if refused else _MARKERS.sub("", _without_quotations(reply.text))
        found["exact"] = exact(said, question.gold.answers)
        found["f1"] = round(f1(said, question.gold.answers), 4)
    if question.evidence:
        if reply.citations is not None:
            found["cited"] = not refused and _all_inside(question.evidence, reply.citations)
        found["shown"] = _all_inside(question.evidence, reply.shown)
    return found


def _all_inside(evidence: Sequence[Evidence], passages: Sequence[Cited]) -> bool:
    return all(each.inside(passages) for each in evidence)


def _has(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _flat(text: str) -> str:
    """The text in lower case with even white space, dashes and quotation marks."""
    return " ".join(re.split(r"[\s|]+", text.translate(_PLAIN))).strip().lower()


def _without_quotations(text: str) -> str:
    """The text without the lines that only quote what it is based on."""
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("“")
    ]
    return "\n".join(lines) or text
