"""What a reasoning model thinks is shown and returned, and is nowhere else."""

import json
from pathlib import Path

import pytest

import memagent
from memagent.agent.graph import Agent
from memagent.agent.session import ASK_SESSION, Session
from memagent.engines.scripted import Line, ScriptedEngine
from memagent.errors import InputError
from memagent.memory.namespace import Namespace
from memagent.memory.store.working import Working
from memagent.settings import Settings
from memagent.types import Piece, Request
from memagent.writing.book import Book
from memagent.writing.update import update
from memagent.writing.writer import Writer
from tests.writing.scripts import OUTLINE, paragraph, reply

THOUGHT = "zephyrine"


def test_thinking_has_a_callback_and_a_field_of_its_own(memory: Namespace) -> None:
    engine = ScriptedEngine([Line("It is green.", thinking=f"A {THOUGHT} boat?")])
    session = Session(Agent(memory, engine, Settings(engine="scripted")), "talk")
    thought: list[str] = []
    said: list[str] = []
    answer = session.ask("Which colour?", on_text=said.append, on_thinking=thought.append)
    assert ("".join(said), "".join(thought)) == ("It is green.", f"A {THOUGHT} boat?")
    assert (answer.text, answer.thinking) == ("It is green.", f"A {THOUGHT} boat?")


def test_twenty_turns_keep_no_thought(memory: Namespace, tmp_path: Path) -> None:
    def think(request: Request) -> Line:
        turn = len(engine.requests)
        thinking = f"The {THOUGHT} thought {turn}."
        if turn % 5 == 0:
            return Line("", thinking=thinking)
        return Line(f"Answer {turn}.", thinking=thinking, finish="length" if turn == 7 else "stop")

    engine = ScriptedEngine(think)
    session = Session(Agent(memory, engine, Settings(engine="scripted")), "talk")
    for turn in range(20):
        answer = session.ask(f"Question {turn}?")
        assert THOUGHT in answer.thinking
        assert THOUGHT not in answer.text
        if answer.ended == "length":
            session.continue_answer()
    memory.catch_up()
    assert len(engine.requests) == 21
    for request in engine.requests:
        assert not any(THOUGHT in message.content for message in request.messages)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or THOUGHT.encode() not in path.read_bytes()


@pytest.mark.parametrize(("setting", "side"), [("auto", "off"), ("off", "off"), ("high", "high")])
def test_calls_for_the_agent_itself_do_not_think_unless_told(
    memory: Namespace, setting: str, side: str
) -> None:
    source, _ = memory.sources.begin_document("mill", "mill", None, "text/plain")
    memory.add_pieces(
        source, [Piece("The mill burned down in 1822. It is new.")], lambda spans, chars: None
    )
    marks = {"points": [{"heading": "Fire", "first": 1, "last": 1}]}
    engine = ScriptedEngine(
        [
            Line("nothing", thinking="Which year?"),
            Line(json.dumps(marks), thinking='{"points": []}'),
            "In 1822 [1].",
        ]
    )
    settings = Settings(engine="scripted", thinking=setting, hops=1, outline=True)
    session = Session(Agent(memory, engine, settings), ASK_SESSION, remembered=False)
    answer = session.ask("When did the mill burn down?")
    assert [request.thinking for request in engine.requests] == [side, side, setting]
    assert [point.heading for point in answer.outline] == ["Fire"]
    assert answer.explain["questions"] == []


def test_a_chunk_that_only_thinks_does_not_win_a_vote(memory: Namespace) -> None:
    source, _ = memory.sources.begin_document("notes", "notes", None, "text/plain")
    texts = [f"The key of cabin {n} hangs behind the red door of cabin {n}." for n in range(24)]
    memory.add_pieces(source, [Piece(text) for text in texts], lambda spans, chars: None)

    def think(request: Request) -> Line:
        if any("cabin 3 " in event.text for event in request.evidence):
            return Line("Behind the red door.", uncertainty=1.0)
        return Line("", thinking="So many doors", uncertainty=0.1)

    engine = ScriptedEngine(think)
    settings = Settings(engine="scripted", budget=120, votes=4, contiguity=0.0)
    session = Session(Agent(memory, engine, settings), ASK_SESSION, remembered=False)
    answer = session.ask("Where hangs the key of cabin 3?")
    assert answer.text == "Behind the red door."
    assert {request.thinking for request in engine.requests[:-1]} == {"off"}


def test_writing_reads_the_answer_and_not_the_thinking(memory: Namespace) -> None:
    engine = ScriptedEngine([Line(reply(1), thinking=reply(9))])
    writer = Writer(Book(memory, "map", OUTLINE), engine, Settings(engine="scripted"), 0)
    assert writer.step(None).written.paragraph == paragraph(1)
    assert engine.requests[0].thinking == "off"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Line("", thinking=reply(9), finish="length"), "all of it was thinking"),
        (Line(""), "it was empty"),
        (Line('{"drop": [{"line"', finish="length"), "it was cut at the token limit"),
    ],
)
def test_writing_is_told_how_an_answer_failed(memory: Namespace, bad: Line, reason: str) -> None:
    settings = Settings(engine="scripted")
    engine = ScriptedEngine([bad, bad, Line(reply(1))])
    step = Writer(Book(memory, "map", OUTLINE), engine, settings, 0).step(None)
    assert step.written.paragraph == paragraph(1)
    assert reason in engine.requests[1].messages[-1].content
    failing = Writer(Book(memory, "other", OUTLINE), ScriptedEngine([bad]), settings, 0)
    with pytest.raises(InputError, match=reason) as caught:
        failing.step(None)
    assert "--max-tokens" in str(caught.value)
    assert not failing.book.paragraphs()


def test_working_memory_is_not_updated_from_thinking(memory: Namespace) -> None:
    session = memory.sources.session("talk")
    memory.spans.append_turn(session.id, "user", "I like tea.")
    working = Working(memory.store, session.id)
    lines = '{"drop": [], "add": [{"text": "Likes %s.", "reason": "said"}]}'
    engine = ScriptedEngine([Line(lines % "tea", thinking=lines % "coffee")])
    update(memory, engine, Settings(engine="scripted"), working)
    assert working.lines() == ["Likes tea."]
    assert engine.requests[0].thinking == "off"


def test_a_stream_that_is_left_while_the_model_thinks_stops_it(tmp_path: Path) -> None:
    slow = memagent.ScriptedEngine([Line("At last.", thinking="hm " * 5000, delay=0.005)])
    with memagent.open(tmp_path / "m.db", engine=slow, embedder="fake") as memory:
        with memory.stream("When?") as stream:
            pass
        assert (stream.answer.ended, stream.answer.text) == ("interrupted", "")
