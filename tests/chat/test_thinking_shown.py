"""Thinking on a terminal: dim while it streams, hidden on request, never in a pipe."""

import json
from pathlib import Path

import pexpect
import pytest

from tests.conftest import PROGRAM
from tests.terminals import ended, say, spawn

DIM = "\x1b[2m"


@pytest.fixture
def environment(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "script.jsonl"
    line = {"text": "It is green.", "thinking": "What \x1b]0;title\x07 colour?"}
    path.write_text(json.dumps(line) + "\n")
    kept = {key: value for key, value in env.items() if key not in ("NO_COLOR", "COLUMNS")}
    return {
        **kept,
        "TERM": "xterm-256color",
        "MEMAGENT_ENGINE": "scripted",
        "MEMAGENT_SCRIPT": str(path),
    }


def test_a_chat_shows_thinking_until_it_is_hidden(
    environment: dict[str, str], tmp_path: Path
) -> None:
    child = spawn(["chat", "-s", "talk"], environment, tmp_path, timeout=90)
    say(
        child, "Which colour?", f"{DIM}(thinking) What", "␛]0;title␇", "colour?", "\r\nIt is green."
    )
    say(child, "/thinking", "(thinking is hidden; the model is asked for: auto)")
    say(child, "And now?", "It is green.")
    assert "(thinking)" not in (child.before or "")
    say(child, "/thinking show", "(thinking is shown;")
    say(child, "And now?", "(thinking) What", "It is green.")
    say(child, "/quit")
    assert ended(child) == 0


def test_ask_shows_thinking_on_a_terminal_only(environment: dict[str, str], tmp_path: Path) -> None:
    for flags, shown in (([], True), (["--no-thinking"], False)):
        child = spawn(["ask", "Which colour?", *flags], environment, tmp_path, timeout=90)
        child.expect(pexpect.EOF)
        assert ("(thinking) What" in (child.before or "")) == shown
        assert "It is green." in (child.before or "")
    # What goes to a file is the answer alone, though stderr is a terminal.
    command = f"'{PROGRAM}' ask 'Which colour?' >answer.txt"
    child = spawn(["-c", command], environment, tmp_path, program="/bin/sh", timeout=90)
    child.expect_exact("(thinking) What")
    child.expect(pexpect.EOF)
    assert (tmp_path / "answer.txt").read_text() == "It is green.\n"
