"""Run the program on a pseudo-terminal, as a user would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pexpect

from tests.conftest import PROGRAM

__all__ = ["CTRL_C", "PROMPT", "ended", "say", "spawn"]

# What prompt_toolkit writes when it is ready for keys.
PROMPT = "\x1b[?2004h"
CTRL_C = "\x03"


def spawn(
    arguments: Sequence[str],
    env: Mapping[str, str],
    cwd: Path | None = None,
    *,
    program: str = str(PROGRAM),
    timeout: float = 120,
    size: tuple[int, int] = (40, 120),
) -> pexpect.spawn[str]:
    """Start a program on a terminal of `size` rows and columns; `timeout` in seconds."""
    child: pexpect.spawn[str] = pexpect.spawn(
        program,
        list(arguments),
        env=dict(env),  # type: ignore[arg-type]
        cwd=None if cwd is None else str(cwd),
        encoding="utf-8",
        timeout=timeout,
        dimensions=size,
    )
    return child


def say(child: pexpect.spawn[str], text: str, *answers: str, prompt: str = PROMPT) -> None:
    """Type a line at the prompt, and wait for each of the answers."""
    child.expect_exact(prompt)
    child.sendline(text)
    for answer in answers:
        child.expect_exact(answer)


def ended(child: pexpect.spawn[str]) -> int | None:
    """The exit code of a program that exits normally, not by a signal."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.signalstatus is None
    return child.exitstatus
