"""How an answer ended: in the answer, the store, later prompts and JSON."""

import json
from collections.abc import Callable, Iterator

import pytest

from memagent.agent.endings import check_answered, notice
from memagent.agent.graph import Agent, load_answer
from memagent.agent.reports import answer_object
from memagent.agent.session import Session
from memagent.engines.base import Capabilities, Engine
from memagent.engines.scripted import Line, Reply, ScriptedEngine
from memagent.errors import EngineError, NoAnswerError
from memagent.memory.namespace import Namespace
from memagent.settings import Settings
from memagent.types import Chunk, Request, ToolCall
from tests.batch.batches import conforms

STORY = "The boat left at"


def talk(memory: Namespace, *replies: Reply | Line) -> tuple[Session, ScriptedEngine]:
    engine = ScriptedEngine(replies)
    return Session(Agent(memory, engine, Settings(engine="scripted")), "talk"), engine


class Breaking(Engine):
    """Thinks, streams `text`, then does what `how` does."""

    name, model, context = "breaking", "breaking", 8192
    capabilities = Capabilities()

    def __init__(self, text: str, how: Callable[[], None]) -> None:
        self.text = text
        self.how = how

    def stream(self, request: Request) -> Iterator[Chunk]:
        yield Chunk(thinking="Let me see.")
        yield Chunk(self.text)
        self.how()

    def count(self, text: str) -> int:
        return len(text.split())


@pytest.mark.parametrize(
    ("reply", "ended", "words"),
    [
        (Line("Noon."), "stop", ""),
        (Line("Noon.", thinking="Hm."), "stop", ""),
        (Line(STORY, finish="length"), "length", "cut at 512 tokens: /continue"),
        (Line(""), "empty", "no answer"),
        (Line(" \n\n"), "empty", "no answer"),
        (Line("", finish="length"), "empty", "--max-tokens"),
        (Line("", thinking="Hm. Or"), "thinking", "--thinking off"),
        (Line("", thinking="Hm. Or", finish="length"), "thinking", "--max-tokens"),
        (Line("", finish="refused"), "refused", "filter"),
        (Line(STORY, finish="refused"), "refused", "filter"),
    ],
)
def test_the_end_is_told_and_stored(memory: Namespace, reply: Line, ended: str, words: str) -> None:
    session, engine = talk(memory, reply, "Next.")
    answer = session.ask("When did it leave?")
    said = str(reply.reply).strip()
    assert (answer.ended, answer.text, answer.thinking) == (ended, said, reply.thinking)
    assert answer.state == ("complete" if ended == "stop" else "partial")
    assert words in notice(answer, 512)
    assert bool(words) == bool(notice(answer, 512))
    stored = load_answer(memory, answer.id)
    assert (stored.ended, stored.text, stored.thinking) == (ended, said, "")
    assert conforms("answer", json.loads(json.dumps(answer_object(answer))))
    assert answer_object(stored)["thinking"] is None
    # An answer without words is an error to the callers that need one, and no turn.
    if said:
        check_answered(answer, 512)
    else:
        with pytest.raises(NoAnswerError) as caught:
            check_answered(answer, 512)
        assert caught.value.ended == ended
    roles = [span.role for span in memory.spans.of(session.source.id)]
    assert roles == ["user", *(["assistant"] if said else [])]
    session.ask("And then?")
    assert all(message.content.strip() for message in engine.requests[1].messages)


def test_a_turn_without_an_answer_can_be_asked_again(memory: Namespace) -> None:
    session, _ = talk(memory, Line(""), "Noon.")
    empty = session.ask("When did it leave?")
    last = session.last_answer()
    assert last is not None and last.id == empty.id
    turn, replies = session.last_exchange()
    assert replies == []
    assert session.answer(turn).text == "Noon."
    last = session.last_answer()
    assert last is not None and last.text == "Noon."
    assert memory.answers.endings(session.source.id) == {
        turn.id: "empty",
        session.last_exchange()[1][0].id: "stop",
    }
    assert session.undo() == "When did it leave?"
    assert session.last_answer() is None


def test_an_answer_that_ends_after_its_tools_is_empty(memory: Namespace) -> None:
    call = ToolCall("1", "remember", {"text": "The boat is green."})
    session, _ = talk(memory, (call,), Line("", thinking="Done."))
    answer = session.ask("Note that the boat is green.")
    assert (answer.text, answer.ended) == ("", "thinking")


def test_thinking_of_several_calls_is_kept_apart(memory: Namespace) -> None:
    call = ToolCall("1", "search_memory", {"query": "boat"})
    session, engine = talk(
        memory, Line((call,), thinking="First."), Line("Green.", thinking="Now.")
    )
    answer = session.ask("Which colour?")
    assert (answer.text, answer.thinking) == ("Green.", "First.\n\nNow.")
    assert not any("First." in message.content for message in engine.requests[1].messages)


@pytest.mark.parametrize("text", ["", STORY])
def test_interrupted_and_lost_answers_say_so(memory: Namespace, text: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    def lose() -> None:
        raise EngineError("the server went away")

    settings = Settings(engine="scripted")
    answer = Session(Agent(memory, Breaking(text, interrupt), settings), "one").ask("When?")
    assert (answer.ended, answer.state, answer.text) == ("interrupted", "partial", text)
    assert answer.thinking == "Let me see."
    lost = Session(Agent(memory, Breaking(text, lose), settings), "two")
    with pytest.raises(EngineError, match="went away"):
        lost.ask("When?")
    (row,) = memory.store.rows("SELECT id FROM answers WHERE session_id = ?", lost.source.id)
    stored = load_answer(memory, row["id"])
    assert (stored.ended, stored.state, stored.text) == ("lost", "partial", text)
