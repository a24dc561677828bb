"""Check the machine: GPU, FAISS, embedder, engine, server, store and disk."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from memagent.agent.workspace import Workspace
from memagent.engines.openai.engine import VllmEngine
from memagent.engines.openai.metrics import read_metrics
from memagent.errors import EngineError, MemagentError
from memagent.types import Message, Request

__all__ = ["Finding", "diagnose"]


_WORD = "harbour"
_SCHEMA = {
    "type": "object",
    "properties": {"word": {"enum": [_WORD]}},
    "required": ["word"],
    "additionalProperties": False,
}
_TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. 'absent' means missing, but not required."""

    check: str
    status: Literal["ok", "absent", "broken"]
    text: str


def diagnose(workspace: Workspace) -> list[Finding]:
    """Run all checks in order; each says how to get what is missing."""
    return [_gpu(), _faiss(), _embedder(workspace), *_engine(workspace), *_store(workspace)]


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return Finding("gpu", "ok", f"{name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")
    built = torch.version.cuda
    why = (
        f"torch {torch.__version__} is a CPU build: install a CUDA build of it to use a GPU"
        if built is None
        else f"torch was built for CUDA {built}, but finds no GPU: check `nvidia-smi`"
    )
    return Finding("gpu", "absent", f"none: everything runs on the CPU ({why})")


def _faiss() -> Finding:
    if find_spec("faiss") is None:
        cure = 'pip install "memagent[cpu]", or "memagent[gpu]" on a machine with CUDA'
        return Finding("faiss", "broken", f"not installed: {cure}")
    import faiss

    gpus = faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0
    where = f"on {gpus} GPUs" if gpus else "on the CPU"
    return Finding("faiss", "ok", f"{faiss.__version__} {where}")


def _embedder(workspace: Workspace) -> Finding:
    try:
        embedder = workspace.embedder
        vector = embedder.encode(["one sentence"])
    except MemagentError as error:
        return Finding("embedder", "broken", str(error))
    return Finding("embedder", "ok", f"{workspace.settings.embedder}, {vector.shape[1]} dimensions")


def _engine(workspace: Workspace) -> Iterator[Finding]:
    # The choice is reported as a finding, so it need not be logged as well.
    logging.getLogger("memagent.agent.workspace").setLevel(logging.WARNING)
    try:
        engine = workspace.engine
    except MemagentError as error:
        yield Finding("engine", "broken", str(error))
        return
    can = engine.capabilities
    abilities = {
        "writes text": can.generates,
        "prompt log-probabilities": can.prompt_logprobs,
        "structured output": can.structured,
        "tools": can.tools,
        "attention by event": can.attention,
    }
    having = ", ".join(name for name, has in abilities.items() if has) or "quotes only"
    yield Finding("engine", "ok", f"{engine.name}: {engine.model} ({having})")
    if workspace.engine_choice is not None:
        status: Literal["ok", "absent"] = "absent" if engine.name == "pocket" else "ok"
        cure = ": start one, or name it with --url or MEMAGENT_URL" if status == "absent" else ""
        yield Finding("server", status, workspace.engine_choice + cure)
    if isinstance(engine, VllmEngine):
        yield from _server(engine, workspace.settings.api_key)


def _server(engine: VllmEngine, api_key: str | None) -> Iterator[Finding]:
    """Test what the server does, not what it claims to support."""
    yield Finding("context", "ok", f"{engine.context:,} tokens for prompt and answer")
    # Read before the other checks, because their requests would be counted.
    cache = _cache(engine.url, api_key)
    yield _check_result("logprobs", lambda: _logprobs(engine))
    yield _check_result("schema", lambda: _schema(engine))
    yield _check_result("tools", lambda: _tools(engine))
    yield cache


def _check_result(check: str, run_check: Callable[[], str]) -> Finding:
    """'ok' if `run_check` returns an empty string; otherwise it returns what is wrong."""
    try:
        problem = run_check()
    except EngineError as error:
        return Finding(check, "broken", str(error))
    return Finding(check, "absent" if problem else "ok", problem or "works")


def _logprobs(engine: VllmEngine) -> str:
    if not engine.capabilities.prompt_logprobs:
        return "none for prompts: use vLLM, which supports them"
    return "" if len(engine.logprobs([1, 2, 3])) == 3 else "the server returned too few"


def _schema(engine: VllmEngine) -> str:
    reply = _reply(engine, Request((), "", schema=_SCHEMA, max_tokens=64))
    if not engine.capabilities.structured:
        return "the server refuses JSON schemas: answers are only checked afterwards"
    try:
        kept = json.loads(reply) == {"word": _WORD}
    except ValueError:
        kept = False
    return "" if kept else "the server accepts JSON schemas, but its answers ignore them"


def _tools(engine: VllmEngine) -> str:
    _reply(engine, Request((), "", tools=(_TOOL,), max_tokens=1))
    flags = "--enable-auto-tool-choice and --tool-call-parser"
    return "" if engine.capabilities.tools else f"refused: vLLM accepts them with {flags}"


def _reply(engine: VllmEngine, request: Request) -> str:
    question = f"Say the word {_WORD}."
    complete_request = replace(request, messages=(Message("user", question),), question=question)
    return engine.complete(complete_request).text


def _cache(url: str, api_key: str | None) -> Finding:
    metrics = read_metrics(url, api_key)
    asked = metrics.get("vllm:prefix_cache_queries_total")
    if asked is None:
        return Finding("cache", "absent", "the server does not report prefix cache statistics")
    if asked == 0:
        return Finding("cache", "ok", "no request yet")
    hits = metrics.get("vllm:prefix_cache_hits_total", 0.0)
    return Finding("cache", "ok", f"{hits / asked:.0%} of {asked:,.0f} prompt tokens were cached")


def _store(workspace: Workspace) -> Iterator[Finding]:
    path = workspace.settings.store
    if path.exists():
        try:
            integrity = workspace.store.integrity()
        except MemagentError as error:
            yield Finding("store", "broken", str(error))
            return
        size = path.stat().st_size
        yield Finding(
            "store",
            "ok" if integrity == "ok" else "broken",
            f"{path}, {size / 2**20:.1f} MiB, integrity {integrity}",
        )
    else:
        yield Finding("store", "absent", f"{path}: created on first use")
    folder = next(p for p in (path.parent, *path.parent.parents, Path("/")) if p.exists())
    free = shutil.disk_usage(folder).free
    yield Finding("disk", "ok" if free > 2**30 else "broken", f"{free / 2**30:.1f} GiB free")
