"""memagent: an agent for local language models whose memory does not end at the context window.

The public surface is what `__all__` names; everything is imported on first use, so that
`import memagent` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memagent.agent.graph import Agent
    from memagent.agent.session import Session
    from memagent.engines.scripted import ScriptedEngine
    from memagent.memory.namespace import Namespace
    from memagent.settings import Settings
    from memagent.types import Answer, Citation

__version__ = "0.1.0"

_HOME = {
    "Agent": "memagent.agent.graph",
    "Answer": "memagent.types",
    "Citation": "memagent.types",
    "Namespace": "memagent.memory.namespace",
    "ScriptedEngine": "memagent.engines.scripted",
    "Session": "memagent.agent.session",
    "Settings": "memagent.settings",
}

__all__ = ["Agent", "Answer", "Citation", "Namespace", "ScriptedEngine", "Session", "Settings"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'memagent' has no attribute {name!r}")
