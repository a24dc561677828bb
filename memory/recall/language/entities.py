"""Names that a text mentions.

Recognises capitalised words of Latin script only. Knows nothing of stores or scores.
"""

from __future__ import annotations

import re

__all__ = ["names_in"]

_NAME = re.compile(r"[^\W\d_a-z][\w'’-]+(?: (?:(?:of|the|de|van|von|and) )?[^\W\d_a-z][\w'’-]+)*")


def names_in(text: str) -> list[str]:
    """Names in a text: runs of capitalised words, except single words that only start sentences."""
    found: dict[str, int] = {}
    for match in _NAME.finditer(text):
        opens = not text[: match.start()].strip() or text[: match.start()].rstrip()[-1] in ".!?:\n"
        found[match[0]] = max(found.get(match[0], 0), 0 if opens and " " not in match[0] else 1)
    return [name for name, sure in found.items() if sure]
