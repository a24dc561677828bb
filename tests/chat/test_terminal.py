"""`memagent chat` on pseudo-terminals: prompt, Ctrl-C in every phase, confirmations, editing."""

import json
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from memagent.memory.namespace import Namespace
from memagent.memory.store.working import Working
from tests.conftest import PROGRAM
from tests.terminals import CTRL_C, PROMPT, ended, say, spawn

HINT = "(press Ctrl-C again or Ctrl-D to leave)"
Chat = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def chat(env: dict[str, str], tmp_path: Path) -> Iterator[Chat]:
    """Start the program on a terminal: `chat("-s", "name", TERM="dumb")`."""
    started: list[pexpect.spawn[str]] = []
    plain = {k: v for k, v in env.items() if k not in ("EDITOR", "VISUAL", "NO_COLOR", "COLUMNS")}

    def start(*arguments: str, program: str = str(PROGRAM), **extra: str) -> "pexpect.spawn[str]":
        own = program == str(PROGRAM)
        child = spawn(
            ["chat", *arguments] if own else arguments,
            {**plain, "TERM": "xterm-256color", **extra},
            tmp_path,
            program=program,
            timeout=90,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def _scripted(path: Path, *lines: dict[str, Any]) -> dict[str, str]:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"MEMAGENT_ENGINE": "scripted", "MEMAGENT_SCRIPT": str(path)}


def _turns(memory: Namespace, name: str) -> list[tuple[str | None, str]]:
    spans = memory.spans.of(memory.sources.get(name, "session").id, withdrawn=False)
    return [(span.role, span.text) for span in spans]


def test_ctrl_c_stops_an_answer_keeps_the_part_and_leaves_when_pressed_twice(
    chat: Chat, memory: Namespace, tmp_path: Path
) -> None:
    child = chat(
        "-s",
        "stops",
        **_scripted(
            tmp_path / "script",
            {"text": "alpha beta gamma delta epsilon", "match": "slow", "delay": 1.0},
            {"text": "never said", "match": "waits", "delay": 100.0},
            {"error": "the server is down", "match": "lost"},
            {"text": "there again", "match": "lost"},
            {"text": "an \x1b]0;title\x07 escape", "match": "odd"},
        ),
    )
    say(child, "waits", "waits")
    # Loading counts as well: the turn is on disk before anything else happens.
    time.sleep(1)
    child.send(CTRL_C)
    child.expect_exact("(stopped; the turn is kept)")
    say(child, "a slow one", "beta")
    child.send(CTRL_C)
    child.expect_exact("(stopped; the part is kept)")
    say(child, "waits again", "again")
    time.sleep(1)
    child.send(CTRL_C)
    child.expect_exact("(stopped; the turn is kept)")
    say(child, "a lost one", "the server is down; the turn is kept: /retry asks again")
    say(child, "/retry", "there again")
    say(child, "odd", "an ␛]0;title␇ escape")
    say(child, "/sess\t", "stops: 5 turns")

    # A line that was begun is cleared, and the hint comes on an empty one only.
    child.expect_exact(PROMPT)
    child.send("begun and not sent")
    child.expect_exact("sent")
    child.send(CTRL_C)
    child.sendline("/session")
    child.expect_exact("stops: 5 turns")
    assert HINT not in (child.before or "")
    child.expect_exact(PROMPT)
    child.send(CTRL_C)
    child.expect_exact(HINT)

    say(child, "slow again", "alpha")
    child.send(CTRL_C)
    # Two interrupts at the very same time are one to the kernel.
    time.sleep(0.2)
    child.send(CTRL_C)
    child.expect_exact("continue with: memagent chat -s stops")
    assert ended(child) == 130
    turns = _turns(memory, "stops")
    assert [text for role, text in turns if role == "user"] == [
        "waits", "a slow one", "waits again", "a lost one", "odd", "slow again",
    ]  # fmt: skip
    said = [text for role, text in turns if role == "assistant"]
    assert said[0].startswith("alpha beta") and not said[0].endswith("epsilon")
    assert said[1:3] == ["there again", "an \x1b]0;title\x07 escape"]
    assert said[3].startswith("alpha") and not said[3].endswith("epsilon")


def test_blocks_editing_forgetting_and_ctrl_d(
    chat: Chat, memory: Namespace, env: dict[str, str], tmp_path: Path
) -> None:
    editor = tmp_path / "an editor"
    editor.write_text('#!/bin/sh\necho "added outside" >> "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    child = chat(EDITOR=f"'{editor}'", NO_COLOR="1")
    child.expect_exact("engine pocket; /help lists the commands")
    for line in ('"""', "The spare key hangs", "/behind the clock.", '"""'):
        say(child, line)
    child.expect_exact("Kept, word for word.")
    for line in ('"""', "given up"):
        say(child, line)
    child.expect_exact(PROMPT)
    child.send(CTRL_C)
    child.expect_exact("(the block was dropped)")
    say(child, "/memory add first", "1. first")
    say(child, "/memory edit", "2. added outside")
    say(child, "/forget last", "/behind the clock.", "Forget this for good? [y/N]")
    child.sendline("")
    child.expect_exact("(nothing was forgotten)")
    child.expect_exact(PROMPT)
    child.sendeof()
    child.expect_exact("continue with: memagent chat -s")
    assert ended(child) == 0

    child = chat("-n", "other")
    child.expect_exact(PROMPT)
    child.sendeof()
    assert ended(child) == 0
    assert "continue with" not in (child.before or ""), "nothing was said in it"

    child = chat("-s", "later")
    say(child, "Where does the spare key hang?", "“The spare key hangs", "[1]", "characters 0-")
    say(child, "/memory edit", "Escape and Enter")
    child.send("typed here\x1b\r")
    child.expect_exact("1. typed here")
    say(child, "/forget 1", "Forget this for good? [y/N]")
    child.sendline("y")
    child.expect_exact("(forgot ")
    say(child, "/quit", "continue with: memagent chat -s later")
    assert ended(child) == 0
    assert Working(memory.store, memory.sources.get("later").id).lines() == ["typed here"]
    history = (Path(env["MEMAGENT_STATE"]) / "chat_history").read_text()
    assert "Where does the spare key" in history and "hangs" not in history


def test_a_dumb_terminal_gets_plain_text_and_a_model_must_ask_before_it_forgets(
    chat: Chat, memory: Namespace, tmp_path: Path
) -> None:
    told = memory.sources.session("told")
    memory.spans.append_turn(told.id, "user", "The old address is Elm Street 7.")
    forget = {"tool": "forget", "arguments": {"number": 1}}
    script = _scripted(
        tmp_path / "script",
        {**forget, "match": "first"},
        {"text": "not done", "match": "first"},
        {**forget, "match": "second"},
        {"text": "it is gone", "match": "second"},
    )
    child = chat("-s", "plain", TERM="dumb", **script)
    seen = []
    child.logfile_read = type("Log", (), {"write": seen.append, "flush": lambda self: None})()
    say(child, "first", "Elm Street 7.", "Forget it? [y/N] ", prompt="> ")
    child.sendline("n")
    child.expect_exact("not done")
    say(child, "second", "Elm Street 7.", "Forget it? [y/N] ", prompt="> ")
    child.sendline("y")
    child.expect_exact("it is gone")
    child.expect_exact("> ")
    child.send(CTRL_C)
    child.expect_exact(HINT)
    child.send(CTRL_C)
    assert ended(child) == 130
    assert "\x1b" not in "".join(seen)
    assert "Traceback" not in "".join(seen)
    assert memory.spans.text(told.id) == "█" * 32


def test_answers_can_be_redirected_while_a_person_types(
    chat: Chat, memory: Namespace, tmp_path: Path
) -> None:
    script = _scripted(tmp_path / "script", {"text": "only this"})
    child = chat(
        "-c", f"'{PROGRAM}' chat -s r > answers.txt; echo code $?", program="/bin/sh", **script
    )
    child.expect_exact("session r, engine scripted")
    say(child, "anything")
    say(child, "/session", "session r: 1 turns")
    child.expect_exact(PROMPT)
    child.sendeof()
    child.expect_exact("code 0")
    assert (tmp_path / "answers.txt").read_text() == "only this\n"
