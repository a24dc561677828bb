"""Names in a question that no stored text holds, so that no stored text can answer it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from memagent.agent.attribution import specifics
from memagent.memory.namespace import Namespace
from memagent.memory.recall.lexical import content_words
from memagent.types import Event

__all__ = ["unknown_names"]

_WORD = re.compile(r"\w+")
_LEAST_LETTERS = 3
# Spellings at least this similar are taken for the same name (difflib's ratio).
_SAME = 0.75
# Some languages capitalize all nouns; this share of a question must be English function words.
_ENGLISH = 0.25


def unknown_names(memory: Namespace, question: str, events: Sequence[Event]) -> list[str]:
    """The names and identifiers of an English question that stand nowhere in the namespace.

    A name spelt almost like a word of the recalled events is not unknown.
    """
    words = _WORD.findall(question)
    if len(words) - len(content_words(question)) < _ENGLISH * len(words):
        return []
    names = [re.sub(r"[’']s?\Z", "", name) for name in specifics(question)]
    names = [name for name in names if not name[0].isdigit() and len(name) >= _LEAST_LETTERS]
    near = {word.casefold() for event in events for word in _WORD.findall(event.text)}
    return [
        name
        for name in names
        if not get_close_matches(name.casefold(), near, n=1, cutoff=_SAME)
        and not memory.retriever.lexical.holding([name])
        and not any(name.casefold() in event.place.casefold() for event in events)
    ]
