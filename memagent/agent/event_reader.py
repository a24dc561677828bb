"""The events of a namespace, for engines with their own memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memagent.memory.events import Filter
from memagent.memory.namespace import Namespace
from memagent.types import Event

__all__ = ["NamespaceEvents"]


@dataclass(frozen=True, slots=True)
class NamespaceEvents:
    """An `EventReader` over a namespace."""

    memory: Namespace

    @property
    def namespace(self) -> str:
        """The name of the namespace."""
        return self.memory.namespace

    @property
    def caches(self) -> Path:
        """The folder for caches; it need not exist."""
        return self.memory.caches

    def ids(self) -> list[int]:
        """The ids of all events, ascending."""
        return self.memory.events.allowed(Filter())

    def get(self, ids: Sequence[int]) -> list[Event]:
        """The events with these ids that exist, in the given order."""
        return self.memory.events.get(ids)

    def of_session(self, session_id: int) -> list[Event]:
        """The events of a session in the order of its text."""
        return self.memory.events.of(session_id)
