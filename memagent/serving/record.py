"""The record of the started or attached server: `server.json` in the state folder.

Knows files and processes; knows nothing of vLLM.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from memagent.errors import MemagentError

__all__ = ["Record", "began", "check_vacant", "forget", "read", "write"]

_FILE = "server.json"


@dataclass(frozen=True, slots=True)
class Record:
    """A server. `pid` is its process, the leader of its group; None if it was only attached."""

    url: str
    model: str = ""
    pid: int | None = None
    began: str | None = None
    """When the process started, since its number may be reused by another process."""
    log: str | None = None

    def lives(self) -> bool:
        """Whether the process is still running; an attached server is assumed to be."""
        return self.pid is None or (self.began is not None and began(self.pid) == self.began)


def read(state_dir: Path) -> Record | None:
    """The record; None if there is none or it is damaged."""
    try:
        values = json.loads((state_dir / _FILE).read_text(encoding="utf-8"))
        record = Record(**values)
    except (OSError, ValueError, TypeError):
        return None
    texts = (record.url, record.model, record.began or "", record.log or "")
    # 1 is the init process, and lower numbers denote process groups.
    sound = record.pid is None or (type(record.pid) is int and record.pid > 1)
    return record if sound and all(isinstance(text, str) for text in texts) else None


def write(state_dir: Path, record: Record) -> None:
    """Store the record, replacing any other. MemagentError if the folder cannot be written."""
    new = state_dir / f"{_FILE}.new"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(asdict(record)), encoding="utf-8")
        new.replace(state_dir / _FILE)
    except OSError as error:
        raise MemagentError(
            f"{state_dir} cannot be written ({error.strerror}): name another with MEMAGENT_STATE"
        ) from error


def forget(state_dir: Path, record: Record) -> None:
    """Remove the record if it is still this one."""
    if read(state_dir) == record:
        (state_dir / _FILE).unlink(missing_ok=True)


def check_vacant(state_dir: Path) -> None:
    """MemagentError while a server that was started here runs: its record must not be lost."""
    record = read(state_dir)
    if record is not None and record.pid is not None and record.lives():
        raise MemagentError(
            f"a server is already running at {record.url}: stop it with memagent serve --stop"
        )


def began(pid: int) -> str | None:
    """The start time of a running process, in a system-dependent form; None if there is none."""
    try:
        # The name, in brackets, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = fields.rpartition(")")[2].split()
        # Clock ticks since the machine started.
        return None if state in "ZX" else rest[18]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/bin:/usr/bin"},
    )
    state, _, when = shown.stdout.strip().partition(" ")
    return when.strip() if when and not state.startswith("Z") else None
