"""Run processes of the program and kill them at a chosen moment.

Knows nothing of what they write.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from memagent_bench.report import CheckError

__all__ = ["Ended", "environment", "kill", "run"]

_TIMEOUT = 300.0
_POLL = 0.001


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended; `lines` are the complete lines of its stdout, without newlines."""

    killed: bool
    lines: tuple[str, ...]
    errors: str
    seconds: float


def environment(folder: Path) -> dict[str, str]:
    """An environment in which the program keeps everything in `folder` and uses no server."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MEMAGENT_")}
    return {
        **own,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "MEMAGENT_STORE": str(folder / "memory.db"),
        "MEMAGENT_STATE": str(folder / "state"),
        "MEMAGENT_ENGINE": "pocket",
    }


def run(arguments: Sequence[str], env: Mapping[str, str], text: str = "") -> Ended:
    """Run the program to its end. Raises CheckError if it fails."""
    return kill(arguments, env, lambda said: False, 0.0, text)


def kill(
    arguments: Sequence[str],
    env: Mapping[str, str],
    reached: Callable[[int], bool],
    delay: float,
    text: str = "",
) -> Ended:
    """Run the program with `text` on stdin and kill it with SIGKILL.

    The kill comes `delay` seconds after `reached` is first true; it is polled with the number of
    lines that the program has printed. A program that ends before must have exit code 0.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        [Path(sys.executable).with_name("memagent"), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        cwd=env["HOME"],
    )
    said: list[bytes] = []
    errors: list[bytes] = []
    assert process.stdin and process.stdout and process.stderr
    threads = [
        threading.Thread(target=said.extend, args=[process.stdout]),
        threading.Thread(target=errors.extend, args=[process.stderr]),
        threading.Thread(target=_feed, args=[process, text.encode()]),
    ]
    for thread in threads:
        thread.start()
    try:
        while process.poll() is None and not reached(len(said)):
            if time.monotonic() - start > _TIMEOUT:
                raise CheckError(f"memagent {arguments[0]} did not end in {_TIMEOUT:.0f} s")
            time.sleep(_POLL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(delay)
    finally:
        process.kill()
        code = process.wait()
        for thread in threads:
            thread.join()
        process.stdout.close()
        process.stderr.close()
    report = b"".join(errors).decode("utf-8", "replace")
    if code not in (0, -9):
        raise CheckError(f"memagent {arguments[0]} ended with {code}: {report.strip()[-400:]}")
    # Only a complete line is an acknowledgement.
    lines = tuple(line.decode().rstrip("\n") for line in said if line.endswith(b"\n"))
    return Ended(code == -9, lines, report, time.monotonic() - start)


def _feed(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin
    try:
        process.stdin.write(text)
        process.stdin.close()
    except BrokenPipeError:
        return
