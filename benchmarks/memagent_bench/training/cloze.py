"""Questions generated from sentences by rule: remove an answer, add a question word.

After "Unsupervised Question Answering by Cloze Translation" (arXiv:1906.04980), with word order
rules instead of a translation model. They teach which kinds of words answer which question word;
real questions teach the rest. Knows nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from memagent.memory.segmentation.sentences import sentences
from memagent_bench.data.items import Item

__all__ = ["cloze_items"]

MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
COUNT = r"\d[\d,.]*\d|\d|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
NAME = r"[A-Z][\w'-]+(?:\s+(?:(?:of|the|de|von|van|and)\s+)?[A-Z][\w'-]+){0,4}"
# Kinds of answers and their question words; the group `noun` becomes part of the question.
KINDS: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = (
    ("date", re.compile(rf"(?:(?:{MONTH})\s+(?:\d{{1,2}},?\s+)?)?\b[12]\d{{3}}\b"), ("When",)),
    (
        "count",
        re.compile(rf"\b(?P<answer>{COUNT})\s+(?P<noun>[a-z]{{3,}}(?:s|en|ple))\b", re.IGNORECASE),
        ("How many",),
    ),
    ("amount", re.compile(r"[$£€]\s?\d[\d,.]*(?:\s[mb]illion)?|\d[\d.]*\s?%"), ("How much",)),
    ("name", re.compile(rf"\b{NAME}"), ("Who", "What", "Which")),
    (
        "noun",
        re.compile(
            r"\b(?:the|a|an)\s+(?:[a-z-]+\s+){0,2}[a-z-]{3,}"
            r"(?=[,.;:]|\s(?:of|in|that|which|for|and|to|by|with)\b)"
        ),
        ("What",),
    ),
    ("verb", re.compile(r"\b(?:because|since)\s+(?P<answer>[^,.;]{12,80})(?=[,.;])"), ("Why",)),
)  # fmt: skip
AUXILIARY = frozenset("was is were are had has have can could will would did does do may".split())
LOWER = frozenset("the a an he she it they in his this".split())
PLACE, TIME = frozenset({"in", "at", "near", "on", "from"}), frozenset({"in", "on", "since", "by"})


def cloze_items(texts: Sequence[str], count: int, seed: int) -> Iterator[Item]:
    """`count` questions about passages drawn from `texts`, each with an answer span."""
    random = Random(seed)
    made = 0
    while made < count:
        passage = random.choice(texts)
        places = [(start, end) for start, end, _ in sentences(passage) if end - start < 300]
        if not places:
            continue
        start, end = random.choice(places)
        found = _ask(passage[start:end], random)
        if found is None:
            continue
        question, (first, last) = found
        span = (start + first, start + last)
        made += 1
        yield Item("cloze", "", question, passage, (span,), (passage[span[0] : span[1]],))


def _ask(sentence: str, random: Random) -> tuple[str, tuple[int, int]] | None:
    """A question, and the position of its answer in the sentence."""
    options = []
    for kind, pattern, words in KINDS:
        for match in pattern.finditer(sentence):
            span = match.span("answer") if "answer" in pattern.groupindex else match.span()
            noun = match["noun"] if "noun" in pattern.groupindex else ""
            lone = kind == "name" and not match.start() and " " not in match[0]
            if not lone:  # the first word of a sentence is capitalized anyway
                options.append((kind, words, span, noun, match.span()))
    kinds = sorted({option[0] for option in options})
    if not kinds:
        return None
    kind = random.choice(kinds)
    _, words, span, noun, whole = random.choice([o for o in options if o[0] == kind])
    before, after = _clause(sentence, whole)
    wh = random.choice(words)
    last = before[-1].lower() if before else ""
    if kind == "name" and last in PLACE:
        wh = random.choice(("Where", "In what place"))
    if kind == "date" and random.random() < 0.4:
        wh = random.choice(("In what year", "What year", "In which year"))
    if (wh.startswith(("When", "Where", "In ")) and last in PLACE | TIME) or kind == "verb":
        before = before[:-1] if kind != "verb" else before
    if noun:
        wh = f"{wh} {noun}"
    if len(before) + len(after) < 5:
        return None
    asked = _order(wh, before, after, random)
    return " ".join(asked).rstrip(" ,;:.") + "?", span


def _clause(sentence: str, span: tuple[int, int]) -> tuple[list[str], list[str]]:
    """The words of the clause before and after the answer, at most a dozen each."""
    before = re.split(r"[;:()\"]|,\s(?=\w+ing|and|but|who|which)", sentence[: span[0]])[-1]
    after = re.split(r"[;:()\"]|,\s", sentence[span[1] :])[0]
    return before.split()[-12:], after.split()[:12]


def _order(wh: str, before: list[str], after: list[str], random: Random) -> list[str]:
    """The question word first, then an auxiliary verb, then the rest, with some words dropped."""
    kept = [word for word in after if random.random() > 0.08]
    if not before:
        return [wh, *after[:1], *kept[1:]]
    place = next((i for i, word in enumerate(before) if word.lower() in AUXILIARY), None)
    auxiliary = before[place] if place is not None else random.choice(("did", "was"))
    rest = [word for i, word in enumerate(before) if i != place and random.random() > 0.08]
    if rest and rest[0].lower() in LOWER:
        rest[0] = rest[0].lower()
    return [wh, auxiliary, *rest, *kept]
