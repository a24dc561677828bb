"""Names for new sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memagent.memory.namespace import Namespace

__all__ = ["unused_name"]


def unused_name(memory: Namespace, name: str) -> str:
    """`name`, with a number appended if a session of that name exists."""
    candidate, number = name, 2
    while memory.sources.find(candidate, "session") is not None:
        candidate, number = f"{name} {number}", number + 1
    return candidate
