"""Classify turns by their form, for an engine that cannot write."""

from __future__ import annotations

import re
from enum import Enum, auto

__all__ = ["Turn", "classify_turn"]

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


class Turn(Enum):
    """A statement; a request to write; a question that a span answers; any other request."""

    STATEMENT = auto()
    WRITING = auto()
    SPAN = auto()
    OTHER = auto()


def classify_turn(text: str, *, asked: bool) -> Turn:
    """Classify a turn. If `asked`, it is a question whatever its form."""
    if _WRITES.match(text):
        return Turn.WRITING
    if _SPAN.match(text):
        return Turn.SPAN
    if _ASKS.match(text):
        return Turn.OTHER
    if asked or text.rstrip().endswith("?"):
        # "The gate code?" and "gate code" ask for a span, too.
        return Turn.SPAN
    return Turn.STATEMENT
