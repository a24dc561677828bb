"""Numbering working memory for a prompt, and applying a model's changes to it.

Knows nothing of engines, prompts and paragraphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memagent.memory.store.working import MOST_LINES, MOST_WORDS, Line, within

if TYPE_CHECKING:
    from memagent.writing.reply import Changes

__all__ = ["changed", "numbered"]


def numbered(lines: Sequence[Line]) -> tuple[tuple[int, str], ...]:
    """The lines that a prompt may contain, with their numbers; if there are too many, the oldest
    are left out."""
    every = list(enumerate((line.text for line in lines), start=1))
    return tuple(every[len(every) - within(lines) :])


def changed(
    lines: Sequence[Line], seen: Sequence[Line], changes: Changes, sources: tuple[int, ...]
) -> tuple[list[Line], list[str]]:
    """Apply `changes` to `lines`; returns the new lines and a reason for each change.

    `seen` are the lines that the model saw; lines that the user has edited since are kept. Added
    lines get `sources`. A line that exists already is not added, nor is one beyond the limit on
    lines and words, which the reasons then state.
    """
    gone = {seen[drop.line - 1].text for drop in changes.drop}
    reasons = [f"dropped {drop.line}: {drop.reason}".rstrip(": ") for drop in changes.drop]
    kept = [line for line in lines if line.text not in gone]
    for add in changes.add:
        line = Line(add.text, sources)
        if any(line.text == other.text for other in kept):
            continue
        if within([*kept, line]) <= len(kept):
            reasons.append(f"not added, as there are {MOST_LINES} lines or {MOST_WORDS} words")
            continue
        kept.append(line)
        reasons.append(f"added {len(kept)}: {add.reason}".rstrip(": "))
    return kept, reasons
