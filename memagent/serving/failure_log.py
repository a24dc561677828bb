"""Reading the log of a vLLM server: its last line, and the reason why it ended."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["failure_reason", "last_line"]

# The process, then the level, time and location of a log line.
_PREFIX = re.compile(r"^(?:\(\w+ pid=\d+\) ?)?(?:[A-Z]+ \d\d-\d\d [\d:]+ \[[^]]*\] ?)?")
_ERROR = re.compile(r"^(?:[\w.]*?(\w*(?:Error|Exception): .+)|Value error, (.+)|\S+: error: (.+))")
# These lines only refer to another line that gives the reason.
_HEARSAY = re.compile(r"for root cause|root cause above|validation errors? for")
_DETAILS = re.compile(r" \[type=\w+, input_value=.*")
_TAIL_BYTES = 1_000_000
_LONGEST = 300


def last_line(log: Path) -> str:
    """The message of the last line of a log; "" if it is empty."""
    return next(reversed(_lines(log, 4096)), "")


def failure_reason(log: Path) -> str:
    """The reason why the server ended, in one line with the path of the log."""
    lines = _lines(log, _TAIL_BYTES)
    errors = (found for line in reversed(lines) if (found := _ERROR.match(line)))
    reasons = (next(filter(None, found.groups())) for found in errors)
    why = next((reason for reason in reasons if not _HEARSAY.search(reason)), "")
    words = _DETAILS.sub("", why or (lines[-1] if lines else "it said nothing"))
    words = words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
    return f"{words} (log: {log})"


def _lines(log: Path, most: int) -> list[str]:
    """The non-blank lines in the last `most` bytes, without their prefixes."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    bare = (_PREFIX.sub("", line).strip() for line in text.splitlines())
    return [line for line in bare if line]
