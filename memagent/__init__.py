"""memagent: an agent for local language models whose memory does not end at the context window.

    import memagent

    with memagent.open("notes.db") as memory:
        memory.add("report.pdf")
        answer = memory.ask("Who rebuilt the pier?")

The public names are those in `__all__`. Each is imported on first use, so that `import memagent`
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memagent.agent.answer_stream import AnswerStream
    from memagent.agent.session import Session
    from memagent.api import Memory, open
    from memagent.documents.ingest import Added
    from memagent.engines.base import Capabilities, Engine
    from memagent.engines.scripted import ScriptedEngine
    from memagent.errors import (
        EngineError,
        InputError,
        MemagentError,
        NotFoundError,
        ServerDownError,
        StoreError,
        UsageError,
    )
    from memagent.memory.events import Filter
    from memagent.memory.index.fake_embedder import FakeEmbedder
    from memagent.memory.recall.selection import Hit
    from memagent.settings import Settings
    from memagent.types import Answer, Chunk, Citation, Event, Message, Request, Source, Usage

__version__ = "0.1.0"

_HOME = {
    "Added": "memagent.documents.ingest",
    "Answer": "memagent.types",
    "AnswerStream": "memagent.agent.answer_stream",
    "Capabilities": "memagent.engines.base",
    "Chunk": "memagent.types",
    "Citation": "memagent.types",
    "Engine": "memagent.engines.base",
    "EngineError": "memagent.errors",
    "Event": "memagent.types",
    "FakeEmbedder": "memagent.memory.index.fake_embedder",
    "Filter": "memagent.memory.events",
    "Hit": "memagent.memory.recall.selection",
    "InputError": "memagent.errors",
    "MemagentError": "memagent.errors",
    "Memory": "memagent.api",
    "Message": "memagent.types",
    "NotFoundError": "memagent.errors",
    "Request": "memagent.types",
    "ScriptedEngine": "memagent.engines.scripted",
    "ServerDownError": "memagent.errors",
    "Session": "memagent.agent.session",
    "Settings": "memagent.settings",
    "Source": "memagent.types",
    "StoreError": "memagent.errors",
    "Usage": "memagent.types",
    "UsageError": "memagent.errors",
    "open": "memagent.api",
}

__all__ = [
    "Added",
    "Answer",
    "AnswerStream",
    "Capabilities",
    "Chunk",
    "Citation",
    "Engine",
    "EngineError",
    "Event",
    "FakeEmbedder",
    "Filter",
    "Hit",
    "InputError",
    "MemagentError",
    "Memory",
    "Message",
    "NotFoundError",
    "Request",
    "ScriptedEngine",
    "ServerDownError",
    "Session",
    "Settings",
    "Source",
    "StoreError",
    "Usage",
    "UsageError",
    "open",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'memagent' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
