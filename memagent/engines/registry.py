"""Which engine answers: the one asked for, else the best that is there, and the reason for it.

Knows where servers are found; knows nothing of settings files and of what engines do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from memagent.engines.base import Engine
from memagent.engines.openai.engine import VllmEngine
from memagent.errors import EngineError, UsageError
from memagent.serving import record
from memagent.serving.http import get
from memagent.settings import ENGINES

__all__ = ["LOCAL_SERVERS", "choose"]

# The ports on which vLLM, Ollama, llama.cpp and LM Studio listen unless told otherwise.
LOCAL_SERVERS = (
    "http://127.0.0.1:8000",
    "http://127.0.0.1:11434",
    "http://127.0.0.1:8080",
    "http://127.0.0.1:1234",
)
_PROBE_SECONDS = 0.3
# One that is known to be there may be busy.
_RECORDED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Found:
    """A server that answers, with the names of the models it lists."""

    url: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the settings say about a server's model."""

    model: str | None
    api_key: str | None
    context: int | None
    timeout: float

    def attach(self, url: str) -> VllmEngine:
        return VllmEngine(
            url,
            model=self.model,
            api_key=self.api_key,
            context=self.context,
            timeout=self.timeout,
        ).connect()


def choose(
    engine: str,
    *,
    pocket: Callable[[], Engine],
    stream: Callable[[], Engine],
    state_dir: Path,
    url: str | None = None,
    model: str | None = None,
    api_key: str | None = None,
    context: int | None = None,
    timeout: float = 120.0,
    script: Path | None = None,
) -> tuple[Engine, str]:
    """The engine for these settings, and one line that says which and why.

    "auto" takes the server at `url`, else the one that is recorded in `state_dir`, else
    one on a well-known local port, else `pocket`. Raises UsageError for an unknown engine, and
    EngineError when a server or a model that was asked for is not there: what was asked for by
    name is never replaced silently.
    """
    wish = _Wish(model, api_key, context, timeout)
    if engine == "scripted":
        return _scripted(script)
    if engine == "pocket":
        return pocket(), "engine: pocket (asked for)"
    if engine == "stream":
        return stream(), "engine: stream (asked for)"
    if engine not in ENGINES:
        raise UsageError(f"no engine {engine!r}: choose one of {', '.join(ENGINES)}")
    if url is not None:
        return _attached(wish, url, "the settings")
    recorded = record.read(state_dir)
    note = ""
    if recorded is not None and recorded.lives():
        origin = "attached" if recorded.pid is None else "started"
        server = _answering(recorded.url, _RECORDED_SECONDS, api_key)
        if server is not None and _serves(server, model):
            return _attached(wish, server.url, f"{origin} by memagent")
        if server is None:
            note = f", the one {origin} at {recorded.url} does not answer"
    return _local(wish, pocket if engine == "auto" else None, note)


def _scripted(script: Path | None) -> tuple[Engine, str]:
    from memagent.engines.scripted import ScriptedEngine

    if script is None:
        return ScriptedEngine(), "engine: scripted (no script: it quotes the first evidence)"
    return ScriptedEngine.from_file(script), f"engine: scripted ({script})"


def _attached(wish: _Wish, url: str, origin: str) -> tuple[Engine, str]:
    engine = wish.attach(url)
    return engine, f"engine: {engine.name} ({engine.model} at {engine.url}, {origin})"


def _local(wish: _Wish, pocket: Callable[[], Engine] | None, note: str) -> tuple[Engine, str]:
    """The first well-known local server with the model, else pocket, else EngineError."""
    with ThreadPoolExecutor(max_workers=len(LOCAL_SERVERS)) as pool:
        found = [server for server in pool.map(_answering, LOCAL_SERVERS) if server is not None]
    for server in found:
        if _serves(server, wish.model):
            return _attached(wish, server.url, "found on this machine")
    places = ", ".join(address.removeprefix("http://") for address in LOCAL_SERVERS)
    if found:
        offers = "; ".join(f"{server.url} has {', '.join(server.models)}" for server in found)
        raise EngineError(f"no server here serves {wish.model!r}: {offers}; choose with --model")
    nobody = f"no server in the settings{note}, none on {places}"
    if wish.model is not None:
        raise EngineError(
            f"{wish.model!r} needs a server, and there is {nobody}: start one, "
            "name it with --url or MEMAGENT_URL, or leave the model out"
        )
    if pocket is None:
        raise EngineError(f"there is {nobody}: start one, or name it with --url or MEMAGENT_URL")
    return pocket(), f"engine: pocket ({nobody})"


def _serves(server: _Found, model: str | None) -> bool:
    return model is None or model in server.models


def _answering(
    url: str, seconds: float = _PROBE_SECONDS, api_key: str | None = None
) -> _Found | None:
    """The server at `url` with its models, or None when nothing there speaks the protocol."""
    try:
        listed = json.loads(get(url, "/v1/models", timeout=seconds, api_key=api_key) or b"")
        models = tuple(str(entry["id"]) for entry in listed["data"])
    except (ValueError, KeyError, TypeError):
        return None
    return _Found(url, models) if models else None
