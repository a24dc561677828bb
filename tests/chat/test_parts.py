"""The parts of a chat that need no process: blocks, control characters, history, kept words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from memagent.agent.graph import Agent
from memagent.agent.session import Session
from memagent.cli.chat.blocks import Entries, Entry
from memagent.cli.chat.history import ChatHistory
from memagent.cli.chat.screen import visible
from memagent.engines.scripted import ScriptedEngine
from memagent.errors import InputError
from memagent.memory.namespace import Namespace
from memagent.types import Chunk, Request, ToolCall

Lines = list[str | InputError]


def _entries(lines: Lines) -> list[Entry | InputError]:
    source = iter(lines)

    def read(inside: bool) -> str | None:
        line = next(source, None)
        if isinstance(line, InputError):
            raise line
        return line

    def all_of(entries: Entries) -> Iterator[Entry | InputError]:
        while True:
            try:
                entry = entries.next()
            except InputError as error:
                yield error
                continue
            if entry is None:
                return
            yield entry

    return list(all_of(Entries(read)))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["one", "two"], [Entry("one"), Entry("two")]),
        (['"""', "a", "", "/b", ' """ ', "c"], [Entry("a\n\n/b", True), Entry("c")]),
        (['"""', "cut off"], [Entry("cut off", True)]),
        (["a paste\nof lines"], [Entry("a paste\nof lines")]),
        (['"""\npasted\n"""\nafter'], [Entry("pasted", True), Entry("after")]),
        (['"""', 'x\n"""', "after"], [Entry("x", True), Entry("after")]),
        (['say """ inside'], [Entry('say """ inside')]),
    ],
)
def test_lines_become_turns_and_three_quotes_make_one_of_many(
    lines: Lines, expected: list[Entry]
) -> None:
    assert _entries(lines) == expected


def test_a_line_that_cannot_be_read_spoils_its_block_and_nothing_behind_it() -> None:
    bad = InputError("line 2 is not UTF-8")
    assert _entries(['"""', bad, "rest", '"""', "next"]) == [bad, Entry("next")]


def test_a_terminal_is_shown_control_characters_and_does_not_obey_them() -> None:
    assert visible("a\x1b[31mb\tc\r\nd\x07\x9b\x7fé漢") == "a␛[31mb\tc\nd␇\ufffd␡é漢"


def test_what_is_forgotten_leaves_the_history_of_the_prompt(tmp_path: Path) -> None:
    history = ChatHistory(tmp_path / "state")
    for entry in ("my secret is 4711", "4711", "the weather", "a\nsecond line"):
        history.store_string(entry)
    history.forget("4711")
    history.forget("not there")
    history.forget("   ")
    assert list(history.load_history_strings()) == ["a\nsecond line", "the weather"]
    assert b"4711" not in history.path.read_bytes()
    assert history.path.stat().st_mode & 0o077 == 0


def test_a_history_that_cannot_be_written_does_not_end_the_chat(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    history = ChatHistory(tmp_path / "state")
    history.store_string("kept in this chat only")
    history.forget("kept")
    assert list(history.load_history_strings()) == []


class _TalksThenForgets(ScriptedEngine):
    """Says something before it calls its tool, as models do."""

    def stream(self, request: Request) -> Iterator[Chunk]:
        """A sentence, then the call."""
        yield Chunk("I will ")
        yield Chunk("forget it.")
        yield Chunk(tool_calls=(ToolCall("1", "forget", {"number": 1}),), finish="tool_calls")


def test_an_interrupt_behind_the_last_word_keeps_what_was_said(memory: Namespace) -> None:
    told = memory.sources.session("told")
    memory.spans.append_turn(told.id, "user", "The old address is Elm Street 7.")
    session = Session(Agent(memory, _TalksThenForgets()), "s")

    def interrupted(question: str) -> bool:
        raise KeyboardInterrupt

    answer = session.ask("forget my address", confirm=interrupted)
    assert (answer.text, answer.state) == ("I will forget it.", "partial")
    assert session.last_answer() == answer
    assert [span.text for span in memory.spans.of(session.source.id)] == [
        "forget my address",
        "I will forget it.",
    ]
    assert memory.spans.text(told.id) == "The old address is Elm Street 7."
