"""Which engine answers: the one asked for, else the best that is there, and the reason for it.

Knows where servers are found; knows nothing of settings files and of what engines do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from memagent.engines.base import Engine
from memagent.engines.vllm import VllmEngine
from memagent.errors import EngineError, UsageError
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

    "auto" takes the server at `url`, else the one that `server.json` in `state_dir` names, else
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
    started, note = _started(state_dir)
    if started is not None and _serves(started, model):
        return _attached(wish, started.url, "started by memagent")
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


def _started(state_dir: Path) -> tuple[_Found | None, str]:
    """The server that memagent started, if it lives and answers, and else a note on it."""
    try:
        record = json.loads((state_dir / "server.json").read_text(encoding="utf-8"))
        url, pid = record["url"], record["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""
    if not isinstance(url, str) or not isinstance(pid, int) or not _lives(pid):
        return None, ""
    server = _answering(url)
    return server, "" if server else f", the one started at {url} does not answer"


def _lives(pid: int) -> bool:
    # 0 and below name process groups.
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _answering(url: str) -> _Found | None:
    """The server at `url` with its models, or None when nothing there speaks the protocol."""
    try:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", parts.path.rstrip("/").removesuffix("/v1") + "/v1/models")
            response = connection.getresponse()
            body = json.loads(response.read()) if response.status == 200 else {}
        finally:
            connection.close()
        models = tuple(str(entry["id"]) for entry in body["data"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None
    return _Found(url, models) if models else None
