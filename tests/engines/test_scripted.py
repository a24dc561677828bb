"""The scripted engine: order, matching, tools, errors, and what a script may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memagent.engines.scripted import Line, ScriptedEngine
from memagent.errors import EngineError, InputError
from memagent.types import Chunk, Event, Message, Request, ToolCall, Usage


def ask(question: str = "Where?", **fields: Any) -> Request:
    return Request((Message("user", question),), question, **fields)


def text_of(engine: ScriptedEngine, question: str = "Where?", **fields: Any) -> str:
    return "".join(chunk.text for chunk in engine.stream(ask(question, **fields)))


def event(text: str) -> Event:
    return Event(
        id=1,
        source_id=1,
        source="log",
        kind="document",
        start=0,
        end=len(text),
        text=text,
        page=None,
        section=None,
        role=None,
        time="",
    )


def test_answer_comes_word_by_word_and_keeps_every_space() -> None:
    chunks = list(ScriptedEngine([" In  the\ndrawer. "]).stream(ask()))
    assert [chunk.text for chunk in chunks] == [" In", "  the", "\ndrawer.", " ", ""]
    assert chunks[-1] == Chunk(finish="stop", usage=Usage(prompt=2 + 4, completion=4))


def test_replies_come_in_order_and_the_last_repeats() -> None:
    engine = ScriptedEngine(["one", "two"])
    assert [text_of(engine) for _ in range(3)] == ["one", "two", "two"]


def test_requests_are_kept() -> None:
    engine = ScriptedEngine(["one"])
    request = ask("Who?")
    list(engine.stream(request))
    assert engine.requests == [request]


def test_a_function_answers_from_the_request() -> None:
    engine = ScriptedEngine(lambda request: request.question.upper())
    assert text_of(engine, "where?") == "WHERE?"


def test_tool_calls_end_the_answer() -> None:
    call = ToolCall("call_1", "recall", {"query": "key"})
    (chunk,) = ScriptedEngine([(call,)]).stream(ask())
    assert (chunk.tool_calls, chunk.finish, chunk.text) == ((call,), "tool_calls", "")


def test_an_exception_is_raised() -> None:
    with pytest.raises(EngineError, match="down"):
        list(ScriptedEngine([EngineError("down")]).stream(ask()))


def test_matching_lines_come_first_and_a_tool_loop_goes_on() -> None:
    call = ToolCall("call_1", "recall", {})
    engine = ScriptedEngine([Line("other"), Line((call,), match="key"), Line("found", match="key")])
    assert next(iter(engine.stream(ask("the key?")))).tool_calls == (call,)
    assert text_of(engine, "the key?") == "found"
    assert text_of(engine, "the key?") == "found"
    assert text_of(engine, "the door?") == "other"


def test_without_a_reply_it_quotes_the_first_evidence() -> None:
    evidence = (event("The key is in the drawer."), event("Another."))
    assert text_of(ScriptedEngine(), evidence=evidence) == '"The key is in the drawer." [1]'
    assert text_of(ScriptedEngine()) == "Nothing in memory fits."
    assert text_of(ScriptedEngine([Line("x", match="door")])) == "Nothing in memory fits."


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("one", 2), ("a b c", 4), ("a b c d", 6)])
def test_count_is_four_tokens_for_three_words_rounded_up(text: str, tokens: int) -> None:
    assert ScriptedEngine().count(text) == tokens


def test_script_file_gives_texts_tools_and_errors(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text(
        '{"tool": "recall", "arguments": {"query": "key"}, "match": "key"}\n'
        "\n"
        '{"text": "In the drawer.", "match": "key", "delay": 0}\n'
        '{"error": "the server is down"}\n',
        encoding="utf-8",
    )
    engine = ScriptedEngine.from_file(script, context=100)
    assert engine.context == 100
    (chunk,) = engine.stream(ask("key"))
    assert chunk.tool_calls == (ToolCall("call_1", "recall", {"query": "key"}),)
    assert text_of(engine, "key") == "In the drawer."
    with pytest.raises(EngineError, match="the server is down"):
        list(engine.stream(ask()))


def test_uncertainty_comes_with_the_first_word_where_it_is_asked_for(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"text": "in it", "uncertainty": 1.5}\n', encoding="utf-8")
    engine = ScriptedEngine.from_file(script)
    asked = [chunk.uncertainty for chunk in engine.stream(ask(uncertainty=True))]
    assert asked == [1.5, None, None]
    assert all(chunk.uncertainty is None for chunk in engine.stream(ask()))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "not JSON"),
        ("[]", 'one of "text", "tool" or "error"'),
        ("{}", 'one of "text", "tool" or "error"'),
        ('{"text": "a", "error": "b"}', 'one of "text", "tool" or "error"'),
        ('{"text": 3}', '"text" is a string, not 3'),
        ('{"text": "a", "wait": 1}', "unknown field 'wait'"),
        ('{"text": "a", "delay": -1}', '"delay" is a number of seconds'),
        ('{"text": "a", "uncertainty": "no"}', '"uncertainty" is a number of nats'),
        ('{"text": "a", "uncertainty": NaN}', '"uncertainty" is a number of nats'),
        ('{"text": "a", "match": "("}', "no regular expression"),
        ('{"text": "a", "match": 3}', "no regular expression"),
        ('{"tool": "recall", "arguments": []}', '"arguments" is an object'),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: str, words: str) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text(f'{{"text": "good"}}\n{row}\n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        ScriptedEngine.from_file(script)
    assert str(caught.value).startswith(f"{script}:2: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_script_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        ScriptedEngine.from_file(tmp_path / "none.jsonl")
