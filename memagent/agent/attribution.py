"""Find the stored sentences that a generated answer rests on, whatever the model cited.

Small models seldom cite, so each sentence of the answer is compared with the sentences of the
passages by its words, numbers and names. This is lexical attribution: it shows where the words of
an answer stand, and cannot tell whether the answer draws the right conclusion from them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from memagent.agent.citations import MARKER
from memagent.memory.recall.lexical import is_content
from memagent.memory.segmentation.sentences import sentences
from memagent.memory.store.answers import CitationRow
from memagent.types import Event

__all__ = ["attribute", "specifics"]

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|\w+")
_NAME = re.compile(r"(?<![.!?:\n] )(?<!\A)(?<!\n)\b[^\W\d_][\w’'-]*")
_SEPARATOR = re.compile(r"(?<=\d)[,](?=\d{3}(?!\d))")
# Inflected forms of a word mostly share their first letters.
_STEM = 6
# A sentence needs this share of its weight in the stored text to count as found there.
_LEAST_COVERED = 0.5
# A second place is cited where it holds at least this share that the first one does not, or where
# it ranks almost as high.
_LEAST_ADDED = 0.3
_AS_GOOD = 0.9
_MOST_PLACES = 2
# Numbers and names say where an answer is from; words of the question say little about it.
_SPECIFIC = 4.0
_ASKED = 0.3
# How much a sentence's own share of the question counts, and its event's, to tell equals apart.
_TIE = 0.25
_EVENT_TIE = 0.15


def attribute(
    text: str,
    events: Sequence[Event],
    question: str,
    known: Iterable[str] = (),
    *,
    asked: bool = True,
) -> list[CitationRow]:
    """The places in `events` where the sentences of `text` stand, one or two a sentence.

    A sentence that no passage holds, and a number or name that stands in no passage, gives an
    unverified row with its words; in a conversation, where not every sentence is a statement
    (`asked` is false), only numbers and names do. `known` is text that may be repeated without a
    source, such as the conversation. A sentence with a marker like [2] is left to
    `citations.check`.
    """
    places = list(_places(events))
    found = _Passages(places, question)
    said = {term for each in (question, *known) for term in _terms(each)}
    stored = said | found.terms | {term for event in events for term in _terms(event.place)}
    rows: list[CitationRow] = []
    for start, end, _ in sentences(text):
        sentence = text[start:end]
        if MARKER.search(sentence):
            continue
        best = found.search(sentence)
        rows += [_row(place) for place in best]
        new = [term for term in _terms(sentence) if term not in said and is_content(term)]
        if asked and not best and new:
            rows.append(CitationRow(0, False, claim=sentence))
        else:
            loose = [word for word in specifics(sentence) if stored.isdisjoint(_terms(word))]
            rows += [CitationRow(0, False, claim=word) for word in loose]
    return list(dict.fromkeys(rows))


def specifics(sentence: str) -> list[str]:
    """The numbers and names of a sentence, as they are written; its first word is no name."""
    numbers = [match[0] for match in _TOKEN.finditer(sentence) if match[0][0].isdigit()]
    names = [match[0] for match in _NAME.finditer(sentence) if match[0][0].isupper()]
    return list(dict.fromkeys([*numbers, *(name for name in names if is_content(name.lower()))]))


@dataclass(frozen=True, slots=True)
class _Place:
    """A sentence of an event, as its place in the source, with its terms and those of the event."""

    number: int
    source_id: int
    start: int
    end: int
    terms: frozenset[str]
    around: frozenset[str]


class _Passages:
    """The sentences of the passages, with a weight for each term."""

    def __init__(self, places: Sequence[_Place], question: str) -> None:
        self.places = places
        self._asked = frozenset(term for term in _terms(question) if is_content(term))
        self._count = Counter(term for place in places for term in place.terms)
        self._asked_weights = {term: self._weight(term) for term in self._asked}
        self.terms = set(self._count)

    def search(self, sentence: str) -> list[_Place]:
        """The sentences that hold this one: the best, and one as good or one that adds to it."""
        wanted = {term for term in _terms(sentence) if is_content(term)}
        new = wanted - self._asked
        special = {term for word in specifics(sentence) for term in _terms(word)} & new
        # A paraphrase keeps the numbers and names. "Yes" and "No" say nothing that could be found,
        # but the question does.
        sought = special or wanted if new else set(self._asked)
        weights = {
            term: self._weight(term) * (_SPECIFIC if term in special else 1)
            for term in wanted | sought
        }
        total = _sum(weights, sought)
        ranks = [(self._rank(place, weights), place) for place in self.places]
        ranks.sort(key=lambda ranked: ranked[0], reverse=True)
        if not ranks or _sum(weights, ranks[0][1].terms & sought) < _LEAST_COVERED * total:
            return []
        highest, best = ranks[0]
        chosen = [best]
        for rank, place in ranks[1:]:
            added = _sum(weights, (place.terms & sought) - best.terms)
            if added >= _LEAST_ADDED * total or rank >= _AS_GOOD * highest:
                chosen.append(place)
            if len(chosen) == _MOST_PLACES:
                break
        return chosen

    def _rank(self, place: _Place, weights: dict[str, float]) -> float:
        return (
            _share(weights, place.terms)
            + _TIE * _share(self._asked_weights, place.terms)
            + _EVENT_TIE * _share(self._asked_weights, place.around)
        )

    def _weight(self, term: str) -> float:
        """Inverse frequency among the sentences; a term of the question counts less."""
        rarity = math.log(1 + len(self.places) / max(self._count[term], 1))
        return rarity * (_ASKED if term in self._asked else 1)


def _sum(weights: dict[str, float], terms: Iterable[str]) -> float:
    return sum(weights.get(term, 0.0) for term in terms)


def _share(weights: dict[str, float], terms: frozenset[str]) -> float:
    """The share of the weights whose terms are among `terms`."""
    return _sum(weights, terms & weights.keys()) / (sum(weights.values()) or 1)


def _places(events: Sequence[Event]) -> Iterator[_Place]:
    for number, event in enumerate(events, start=1):
        around = frozenset(_terms(f"{event.place} {event.text}"))
        for start, end, _ in sentences(event.text):
            terms = frozenset(_terms(event.text[start:end]))
            begin = event.start + start
            yield _Place(number, event.source_id, begin, event.start + end, terms, around)


def _row(place: _Place) -> CitationRow:
    return CitationRow(place.number, True, place.source_id, place.start, place.end)


def _terms(text: str) -> Iterator[str]:
    """Folded words cut to their first letters, and numbers without thousands separators.

    Digits joined by a comma may be a decimal or two cells of a table, so both readings are given.
    """
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    for match in _TOKEN.finditer(_SEPARATOR.sub("", plain)):
        if match[0][0].isdigit():
            yield match[0]
            if "," in match[0]:
                yield from match[0].split(",")
        else:
            yield match[0][:_STEM]
