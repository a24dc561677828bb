"""Looking at the machine: GPU, FAISS, embedder, engine, store, disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from memagent.errors import MemagentError
from memagent.workspace import Workspace

__all__ = ["Finding", "diagnose"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. 'absent' is something that one can do without."""

    check: str
    status: Literal["ok", "absent", "broken"]
    text: str


def diagnose(workspace: Workspace) -> list[Finding]:
    """Every check in order; each one says what a missing thing would take."""
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
        else f"torch was built for CUDA {built}, but no GPU answers: check `nvidia-smi`"
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
    reasons: list[str] = []
    workspace.tell = reasons.append
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
    if reasons:
        status: Literal["ok", "absent"] = "absent" if engine.name == "pocket" else "ok"
        cure = ": start one, or name it with --url or MEMAGENT_URL" if status == "absent" else ""
        yield Finding("server", status, reasons[0] + cure)


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
        yield Finding("store", "absent", f"{path}: made at the first use")
    folder = next(p for p in (path.parent, *path.parent.parents, Path("/")) if p.exists())
    free = shutil.disk_usage(folder).free
    yield Finding("disk", "ok" if free > 2**30 else "broken", f"{free / 2**30:.1f} GiB free")
