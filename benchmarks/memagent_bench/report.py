"""The report of a benchmark: its figures, data, device, versions, commit and date.

Knows nothing of any single benchmark.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from memagent.errors import InputError, MemagentError

__all__ = [
    "RESULTS",
    "CheckError",
    "Report",
    "fail_on_warnings",
    "hash_of",
    "percentile",
    "save",
    "sha256_of",
]

RESULTS = Path(__file__).parents[1] / "results"  # in a checkout

_PACKAGES = (
    "memagent",
    "torch",
    "triton",
    "transformers",
    "sentence-transformers",
    "langgraph",
    "numpy",
    "sqlite-utils",
)
_FAISS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs")


class CheckError(MemagentError):
    """A benchmark failed its own correctness check, so it reports no figures."""


class _Fail(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise CheckError(f"unexpected warning: {record.getMessage()}")


@contextmanager
def fail_on_warnings() -> Iterator[None]:
    """Raise CheckError when memagent logs a warning; works as a decorator, too."""
    handler = _Fail(logging.WARNING)
    logger = logging.getLogger("memagent")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one benchmark.

    `metrics` maps names to numbers; `rows` is the table that they come from; `data` has the name
    and SHA-256 of the input file; `notes` explain how to read the figures.
    """

    bench: str
    data: Mapping[str, str]
    metrics: Mapping[str, float]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = field(default_factory=tuple)

    def as_object(self) -> dict[str, Any]:
        """The JSON object that schemas/bench.json describes."""
        return {
            "bench": self.bench,
            "data": dict(self.data),
            "device": _device(),
            "versions": _versions(),
            "commit": _commit(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "metrics": dict(self.metrics),
            "rows": [dict(row) for row in self.rows],
            "notes": list(self.notes),
        }


def save(value: Mapping[str, Any], folder: Path) -> Path:
    """Write the object of a report to NAME.json in `folder`; return the file."""
    path = folder / f"{value['bench']}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose --out") from error
    return path


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is at least as large as `share` (0..1) of the values."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hash_of(paths: Sequence[Path]) -> str:
    """SHA-256 of a single file, or of the hashes of all files of several paths or a folder."""
    if len(paths) == 1 and paths[0].is_file():
        return sha256_of(paths[0])
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(sha256_of(file).encode())
    return digest.hexdigest()


def _device() -> str:
    name = platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.is_file():
        lines = cpus.read_text(encoding="utf-8", errors="replace").splitlines()
        models = (line.partition(":")[2].strip() for line in lines if "model name" in line)
        name = next(models, name)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"
    # A benchmark that used the GPU has imported torch and initialized the device.
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return machine
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    return f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB; {machine}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in (*_PACKAGES, *_FAISS):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of the running checkout, with the suffix -dirty if files were changed."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
