"""Every error a user can meet: one line that says what to do, and an exit code."""

from __future__ import annotations

__all__ = [
    "EngineError",
    "InputError",
    "MemagentError",
    "NoAnswerError",
    "NotFoundError",
    "ServerDownError",
    "StoreError",
    "UsageError",
]


class MemagentError(Exception):
    """Base of every error shown to a user: the message is one line with the cure in it."""

    exit_code = 1


class InputError(MemagentError):
    """A file, a row or a value that cannot be used."""


class NoAnswerError(MemagentError):
    """The model ended without an answer; `ended` says how."""

    def __init__(self, message: str, ended: str) -> None:
        super().__init__(message)
        self.ended = ended


class UsageError(MemagentError):
    """A command line or a setting that makes no sense."""

    exit_code = 2


class NotFoundError(MemagentError):
    """A source, session or namespace that does not exist."""

    exit_code = 3


class StoreError(MemagentError):
    """The store cannot be opened, read or written."""

    exit_code = 5


class EngineError(MemagentError):
    """The model's server is down, slow, or refuses the request."""

    exit_code = 4


class ServerDownError(EngineError):
    """The server cannot be reached or went away: no other request would fare better."""
