"""Makes the engine that the settings name, and searches for a server.

The table of engines is `memagent.settings.ENGINES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module

from memagent.engines.base import Engine, EngineContext
from memagent.engines.openai.models import chat_models, find_model, listed_models
from memagent.errors import EngineError
from memagent.models.library import Library
from memagent.serving import record
from memagent.serving.http import get
from memagent.settings import ENGINES, Settings

__all__ = ["LOCAL_SERVERS", "choose", "factory"]

# The default addresses of vLLM, Ollama, llama.cpp and LM Studio.
LOCAL_SERVERS = (
    "http://127.0.0.1:8000",
    "http://127.0.0.1:11434",
    "http://127.0.0.1:8080",
    "http://127.0.0.1:1234",
)
_PROBE_TIMEOUT = 0.3  # seconds
# A recorded server may be busy, so it gets more time to answer.
_RECORDED_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class _Server:
    """A server that answers, and the names of the models it lists."""

    url: str
    models: tuple[str, ...]


def factory(name: str) -> Callable[[EngineContext], tuple[Engine, str]]:
    """The function of the table that makes an engine."""
    module, _, function = ENGINES[name].partition(":")
    made: Callable[[EngineContext], tuple[Engine, str]] = getattr(import_module(module), function)
    return made


def choose(context: EngineContext) -> tuple[Engine, str]:
    """Make the engine of the settings; return it with one line that says which it is and why.

    Raises EngineError if a server or model that the settings name is missing: it is never
    replaced silently.
    """
    engine, reason = factory(context.settings.engine)(context)
    return engine, f"engine: {engine.name} ({reason})"


def served(context: EngineContext) -> tuple[Engine, str]:
    """The server at `url`, else the recorded one, else one on a well-known local port."""
    found = _find_server(context.settings)
    if isinstance(found, str):
        raise EngineError(f"there is {found}: start one, or name it with --url or MEMAGENT_URL")
    return found


def auto(context: EngineContext) -> tuple[Engine, str]:
    """The same servers as for "vllm", else a local model that is named, else the pocket engine."""
    found = _find_server(context.settings)
    if not isinstance(found, str):
        return found
    if context.settings.model is not None:
        engine, _ = factory("stream")(context)
        return engine, f"{engine.model} in this process: {found}"
    installed = [model.name for model in Library(context.settings.models).models()]
    hint = f"; {installed[0]} is installed: -m {installed[0]} writes answers" if installed else ""
    return factory("pocket")(context)[0], found + hint


def _find_server(settings: Settings) -> tuple[Engine, str] | str:
    """An engine for the first suitable server and where it was found, or why there is none.

    Raises EngineError if the settings name a server or a model that is missing. A model on this
    machine needs no server.
    """
    if settings.url is not None:
        return _connect(settings, settings.url, "the settings")
    recorded = record.read(settings.state_dir)
    note = ""
    if recorded is not None and recorded.lives():
        origin = "attached" if recorded.pid is None else "started"
        server = _probe(recorded.url, _RECORDED_TIMEOUT, settings.api_key)
        if server is not None and _serves(server, settings.model):
            return _connect(settings, server.url, f"{origin} by memagent")
        if server is None:
            note = f", the one {origin} at {recorded.url} does not answer"
    return _find_local_server(settings, note)


def _find_local_server(settings: Settings, note: str) -> tuple[Engine, str] | str:
    with ThreadPoolExecutor(max_workers=len(LOCAL_SERVERS)) as pool:
        found = [server for server in pool.map(_probe, LOCAL_SERVERS) if server is not None]
    for server in found:
        if _serves(server, settings.model):
            # Any program may listen there, so it does not get the key.
            keyless = settings.model_copy(update={"api_key": None})
            return _connect(keyless, server.url, "found on this machine")
    local = settings.model is not None and Library(settings.models).has(settings.model)
    if found and local:
        return f"no server serves {settings.model!r}"
    if found and settings.model is not None:
        offers = "; ".join(f"{server.url} has {', '.join(server.models)}" for server in found)
        raise EngineError(
            f"no server here serves {settings.model!r}: {offers}; choose with --model"
        )
    addresses = ", ".join(address.removeprefix("http://") for address in LOCAL_SERVERS)
    missing = f"no server in the settings{note}, none on {addresses}"
    if settings.model is not None and not local:
        raise EngineError(
            f"{settings.model!r} needs a server, and there is {missing}: start one, "
            "name it with --url or MEMAGENT_URL, install the model with `memagent model get`, or "
            "leave it out"
        )
    return missing


def _connect(settings: Settings, url: str, origin: str) -> tuple[Engine, str]:
    from memagent.engines.openai.engine import VllmEngine

    engine = VllmEngine(
        url,
        model=settings.model,
        api_key=settings.api_key,
        context=settings.context,
        timeout=settings.timeout,
        speeds=settings.state_dir / "speeds.json",
    ).connect()
    return engine, f"{engine.model} at {engine.url}, {origin}"


def _serves(server: _Server, model: str | None) -> bool:
    """Whether the server has the model, or any that can chat if none is named."""
    if model is None:
        return bool(chat_models(server.models))
    return find_model(model, server.models) is not None


def _probe(url: str, timeout: float = _PROBE_TIMEOUT, api_key: str | None = None) -> _Server | None:
    """The server at `url` with its models, or None if none answers there."""
    try:
        page = json.loads(get(url, "/v1/models", timeout=timeout, api_key=api_key) or b"")
    except (ValueError, RecursionError):
        return None
    models = tuple(listed_models(page))
    return _Server(url, models) if models else None
