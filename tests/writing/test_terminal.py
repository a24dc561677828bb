"""`memagent write` on a pseudo-terminal, and the running memory of a chat on one."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from memagent.memory.namespace import Namespace
from memagent.memory.store.working import Working
from memagent.writing.book import Book
from tests.terminals import CTRL_C, ended, say, spawn
from tests.writing.scripts import OUTLINE, paragraph, reply, write_script

_TEA = '{"drop": [], "add": [{"text": "Likes tea.", "reason": "told"}]}'
Write = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def write(env: dict[str, str], tmp_path: Path) -> Iterator[Write]:
    """Start the program on a terminal with a text of four steps: `write("write", "-s", "name")`."""
    started: list[pexpect.spawn[str]] = []
    lines = [
        {"match": "STEP-3 by boat", "text": reply(3), "delay": 60.0},
        {"match": "STEP-3 ", "text": reply(3)},
        {"match": "own way", "text": reply(4)},
        {"match": "^Hello", "text": "Good to know."},
        {"match": "user: Hello, I like tea", "text": _TEA},
        {"match": "user: Hello again", "error": "the server is busy"},
    ]
    script = write_script(tmp_path / "script", 4, *lines)
    plain = {k: v for k, v in env.items() if k not in ("EDITOR", "VISUAL", "COLUMNS")}

    def start(*arguments: str, **extra: str) -> "pexpect.spawn[str]":
        settings = {**plain, **script, "TERM": "xterm-256color", **extra}
        child = spawn(arguments, settings, tmp_path, size=(60, 160))
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def test_a_person_chooses_edits_and_takes_back(
    write: Write, memory: Namespace, tmp_path: Path
) -> None:
    child = write("write", "--text", OUTLINE, "-s", "tale", "--out", "tale.txt")
    child.expect_exact("text tale, engine scripted; /help lists the commands")
    child.expect_exact("On day 1 the keeper")
    child.expect_exact("3. STEP-2 by boat")
    say(child, "/help", "edit the newest paragraph")
    say(child, "7", "there is no plan 7: there are 3")
    say(child, "/fly", "no command /fly: /help lists them")
    say(child, "/memory add The keeper is Orla.", "2. The keeper is Orla.")
    say(child, "2", "On day 2 the keeper", "3. STEP-3 by boat")
    say(child, "/undo", "(paragraph 2 is undone)", "3. STEP-2 by boat")
    say(child, "e 1")
    child.expect_exact("STEP-2 by day")
    child.sendline(" and night")
    child.expect_exact("On day 2 the keeper")
    say(child, "/edit", "Escape and Enter")
    child.send(" He slept.\x1b\r")
    child.expect_exact("(the next paragraph continues from this one)")
    say(child, "/plan drop 1", "2. STEP-3 by boat")

    # A paragraph that is stopped leaves nothing, and its plans are there again.
    say(child, "2")
    time.sleep(1)
    child.send(CTRL_C)
    child.expect_exact("(stopped; the paragraph is discarded)")
    child.expect_exact("1. STEP-3 by night")
    say(child, "1", "On day 3 the keeper")
    say(child, "my own way", "On day 4 the keeper")
    say(child, "/text", "He slept.", "On day 4 the keeper")
    say(child, "/quit", "4 paragraphs are kept; continue with: memagent write -c -s tale")
    assert ended(child) == 0

    book = Book(memory, "tale")
    texts = [paragraph(1), paragraph(2) + " He slept.", paragraph(3), paragraph(4)]
    assert [span.text for span in book.paragraphs()] == texts
    assert (tmp_path / "tale.txt").read_text() == "\n\n".join(texts) + "\n"
    keys = memory.spans.keys(book.source.id)
    plans = [
        span.text
        for span in memory.spans.of(book.source.id, withdrawn=False)
        if keys[span.id].startswith("plan")
    ]
    assert plans == ["STEP-2 by day and night", "STEP-3 by night", "my own way"]
    assert "The keeper is Orla." in book.working.lines()


def test_ctrl_c_twice_and_ctrl_d_leave(write: Write, memory: Namespace) -> None:
    child = write("write", "--text", OUTLINE, "-s", "tale")
    say(child, "STEP-3 by boat")
    time.sleep(1)
    child.send(CTRL_C)
    time.sleep(0.2)
    child.send(CTRL_C)
    child.expect_exact("interrupted: 1 paragraphs are kept; continue with:")
    assert ended(child) == 130

    child = write("write", "-c", TERM="dumb")
    say(child, "/undo", "(paragraph 1 is undone)", "press Enter to write the first", prompt="> ")
    say(child, "", "On day 1 the keeper", prompt="> ")
    child.expect_exact("> ")
    child.sendeof()
    assert ended(child) == 0
    assert len(Book(memory, "tale").paragraphs()) == 1


def test_the_memory_of_a_chat_is_kept_while_the_user_reads(write: Write, memory: Namespace) -> None:
    child = write("chat", "-s", "talk", MEMAGENT_WORKING_EVERY="1")
    say(child, "Hello, I like tea.", "Good to know.")
    working = Working(memory.store, memory.sources.get("talk").id)
    deadline = time.monotonic() + 60
    while not working.version and time.monotonic() < deadline:
        time.sleep(0.1)
    say(child, "/memory show", "1. Likes tea.  (turns 1-2)")
    say(child, "/memory undo", "(the memory is empty")
    say(child, "/quit", "continue with: memagent chat -s talk")
    assert ended(child) == 0

    child = write("chat", "-s", "other", MEMAGENT_WORKING_EVERY="1")
    say(child, "Hello again.", "Good to know.")
    # What fails is said above the prompt, and the turn is kept.
    child.expect_exact("the working memory was not updated: the server is busy")
    child.sendline("/session")
    child.expect_exact("session other: 1 turns")
    child.sendline("/quit")
    assert ended(child) == 0
    spans = memory.spans.of(memory.sources.get("other").id)
    assert [span.text for span in spans] == ["Hello again.", "Good to know."]
