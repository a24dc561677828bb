"""Exact match and F1 of answers, as SQuAD defines them (arXiv:1606.05250)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

__all__ = ["exact", "f1"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "“”‘’–—")


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def exact(said: str, answers: Sequence[str]) -> float:
    """1 if the answer equals one of `answers`, ignoring case, articles and punctuation; else 0."""
    return float(any(_words(said) == _words(answer) for answer in answers))


def f1(said: str, answers: Sequence[str]) -> float:
    """The best word F1 between the answer and one of `answers`, 0..1."""
    return max((_f1(_words(said), _words(answer)) for answer in answers), default=0.0)


def _f1(said: list[str], wanted: list[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))
