"""Every error a user can meet; the memory's own are defined below it and shown here too."""

from __future__ import annotations

from memagent.memory.errors import (
    InputError,
    MemagentError,
    NotFoundError,
    StoreError,
    UsageError,
)

__all__ = [
    "EngineError",
    "InputError",
    "MemagentError",
    "NotFoundError",
    "ServerDownError",
    "StoreError",
    "UsageError",
]


class EngineError(MemagentError):
    """The model's server is down, slow, or refuses the request."""

    exit_code = 4


class ServerDownError(EngineError):
    """The server cannot be reached or went away: no other request would fare better."""
