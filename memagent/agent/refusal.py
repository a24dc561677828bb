"""Whether an answer says that memory does not hold it.

Models refuse in their own words, whatever words a prompt asks for, so the usual ones are known.
"""

from __future__ import annotations

import re

__all__ = ["is_refusal"]

_HOLDERS = r"(passages?|memory|documents?|notes?|text|context|sources?|information|conversations?)"
_REFUSAL = re.compile(
    rf"""not\ in\ memory
    |nothing\ (that\ is\ |is\ )?(stored|in\ memory|known)
    |(i'?m\ sorry|sorry|unfortunately)\b.{{0,80}}\b(not|n't|no|unable)\b
    |i\ (do\ not|don't|cannot|can't|could\ not|couldn't|am\ unable\ to|'m\ unable\ to)
     \ (know|find|tell|answer|determine|provide|have)
    |(there\ is\ |there's\ )?no\ (answer|information|mention|details?|record)\b
    |.{{0,40}}\b{_HOLDERS}(\ provided|\ above|\ given)?\ (do|does|did)(\ not|n't)
     \ (say|mention|contain|hold|provide|specify|state|give|include|tell|answer|have|list|name)
    |.{{0,80}}\b(is|are|was|were)(\ not|n't)
     \ (specified|mentioned|stated|provided|given|listed|named)\b.{{0,40}}\b{_HOLDERS}
    |(it|this|that)\ (is|was)(\ not|n't)\ (specified|mentioned|stated|known|clear)
    |unknown\b|nicht\ im\ (speicher|gedächtnis)""",
    re.IGNORECASE | re.VERBOSE,
)


def is_refusal(text: str) -> bool:
    """Whether an answer begins by saying that it is not known."""
    return _REFUSAL.match(text.lstrip(" \n\"'“*[(").replace("’", "'")) is not None
