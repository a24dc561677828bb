"""Classify what a turn asks for by its form, for an engine that cannot write."""

from __future__ import annotations

import re
from enum import Enum, auto

__all__ = ["Intent", "classify_intent"]

_WH = r"who|whom|whose|what|when|where|which|why|how|in which|in what|on which|at what|to whom"
_OTHER = (
    r"is|are|was|were|am|do|does|did|can|could|should|would|will|has|have|had|tell|show|find|list|"
    r"explain|describe|define|name|give|summari[sz]e|compare|remind"
)
_WRITING = (
    r"(?:please |can you |could you )*(?:write|compose|draft|translate|paraphrase|rewrite|"
    r"brainstorm|imagine|invent|calculate)"
)
_SPAN = re.compile(rf"\s*(?:and |so |but )?(?:{_WH})\b", re.IGNORECASE)
_ASKS = re.compile(rf"\s*(?:{_OTHER})\b", re.IGNORECASE)
_WRITES = re.compile(rf"\s*{_WRITING}\b", re.IGNORECASE)


class Intent(Enum):
    """A statement, a request to write, a question that a span answers, or any other request."""

    STATEMENT = auto()
    WRITING = auto()
    SPAN = auto()
    OTHER = auto()


def classify_intent(text: str, *, asked: bool) -> Intent:
    """Classify a turn. If `asked`, a text in any other form is a question too."""
    if _WRITES.match(text):
        return Intent.WRITING
    if _SPAN.match(text):
        return Intent.SPAN
    if _ASKS.match(text):
        return Intent.OTHER
    if asked or text.rstrip().endswith("?"):
        # "The gate code?" and "gate code" ask for a span, too.
        return Intent.SPAN
    return Intent.STATEMENT
