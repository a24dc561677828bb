"""Going on with an answer that was cut: one answer, its words stored once."""

from dataclasses import replace

import pytest

from memagent.agent.graph import Agent
from memagent.agent.session import ASK_SESSION, Session
from memagent.agent.strategies.continuation import join
from memagent.engines.pocket.engine import PocketEngine
from memagent.engines.scripted import Line, Reply, ScriptedEngine
from memagent.errors import EngineError, NotFoundError, UsageError
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.settings import Settings
from memagent.types import Piece

FACT = "The spare key hangs behind the red door."


def talk(
    memory: Namespace, *replies: Reply | Line, context: int = 8192, **settings: object
) -> tuple[Session, ScriptedEngine]:
    engine = ScriptedEngine(replies, context=context)
    own = Settings(engine="scripted", **settings)  # type: ignore[arg-type]
    return Session(Agent(memory, engine, own), "talk"), engine


def remember(memory: Namespace, text: str) -> None:
    source, _ = memory.sources.begin_document("notes", text, None, "text/plain")
    memory.add_pieces(source, [Piece(text)], lambda spans, chars: None)
    memory.sources.finish_document(source)


@pytest.mark.parametrize(
    ("before", "after", "joined"),
    [
        ("The boat is", "green.", "The boat is green."),
        ("The boat is ", "green.", "The boat is green."),
        ("The boat is", " green.", "The boat is green."),
        ("The boat is", "is green.", "The boat is green."),
        ("It is Barth", "Bartholomew.", "It is Bartholomew."),
        ("I saw a", "and b", "I saw a and b"),
        ("The boat", ", green", "The boat, green"),
        ("The boat (", "green)", "The boat (green)"),
        ("- one\n- two", "- three", "- one\n- two\n- three"),
        ("港は静", "かだった。", "港は静かだった。"),
        ("The boat", "", "The boat"),
        ("", "The boat", "The boat"),
    ],
)
def test_the_seam(before: str, after: str, joined: str) -> None:
    assert before + join(before, after) == joined


def test_a_cut_answer_goes_on_as_the_same_answer(memory: Namespace) -> None:
    remember(memory, FACT)
    session, engine = talk(
        memory,
        Line('As you noted, "The spare key hangs', finish="length"),
        Line('behind the red door." [1] It is', finish="length"),
        Line("brass.", thinking="What metal?"),
        "Behind it.",
    )
    cut = session.ask("Where is the key?")
    assert (cut.ended, [c.verified for c in cut.citations]) == ("length", [True])
    heard: list[str] = []
    more = session.continue_answer(on_text=heard.append)
    assert (more.id, more.ended) == (cut.id, "length")
    assert "".join(heard) == 'behind the red door." [1] It is'
    assert more.text == f'As you noted, "{FACT}" [1] It is'
    assert [(c.verified, c.text) for c in more.citations] == [(True, FACT)]
    whole = session.continue_answer()
    text = f'As you noted, "{FACT}" [1] It is brass.'
    assert (whole.text, whole.ended, whole.state) == (text, "stop", "complete")
    assert whole.thinking == "What metal?"
    assert session.last_answer() == replace(whole, thinking="")
    assert whole.usage.completion > cut.usage.completion
    assert whole.explain["chosen"] == cut.explain["chosen"]

    # The prompt of the first request, then the answer so far as one message, then the instruction.
    first, second, third = engine.requests[:3]
    assert second.messages[: len(first.messages)] == first.messages
    assert [message.role for message in third.messages[-2:]] == ["assistant", "user"]
    assert third.messages[-2].content == more.text
    assert third.tools == ()
    with pytest.raises(NotFoundError, match="nothing to continue: the last answer is complete"):
        session.continue_answer()

    # Later prompts show one answer, without the instruction; the store holds the words once.
    session.ask("Where exactly?")
    later = engine.requests[3].messages
    assert later[-2].content == text
    assert not any("cut off" in message.content for message in later)
    assert memory.spans.text(session.source.id).count("brass") == 1
    assert session.undo() == "Where exactly?"
    session.undo()
    assert not memory.spans.of(session.source.id, withdrawn=False)


def test_a_stopped_or_lost_answer_goes_on_too(memory: Namespace) -> None:
    session, engine = talk(memory, "One two three.", "Nothing.")

    def stop(text: str) -> None:
        if "two" in text:
            raise KeyboardInterrupt

    assert session.ask("Count.", on_text=stop).ended == "interrupted"
    engine._lines[1:] = [Line("three four."), Line("Five.")]
    assert session.continue_answer().text == "One two three four."
    assert session.ask("More.").text == "Five."


@pytest.mark.parametrize(
    "reply", [Line(""), Line("", thinking="Hm."), Line("no", finish="refused")]
)
def test_there_must_be_something_to_continue(memory: Namespace, reply: Line) -> None:
    session, _ = talk(memory, reply)
    with pytest.raises(NotFoundError):
        session.continue_answer()
    session.ask("Count.")
    with pytest.raises(NotFoundError, match="nothing to continue"):
        session.continue_answer()


def test_a_model_with_nothing_to_add_completes_the_answer(memory: Namespace) -> None:
    cut = Line("One two.", finish="length")
    session, _ = talk(memory, cut, Line("", thinking="Hm.", finish="length"), Line(""))
    session.ask("Count.")
    # All tokens went into thinking: the answer is still cut, and the caller is told.
    assert session.continue_answer().ended == "thinking"
    last = session.last_answer()
    assert last is not None and last.ended == "length"
    assert session.continue_answer().ended == "stop"
    last = session.last_answer()
    assert last is not None and (last.text, last.state) == ("One two.", "complete")


def test_a_lost_continuation_keeps_what_was_written(memory: Namespace) -> None:
    session, _ = talk(memory, Line("One", finish="length"), EngineError("gone"), "two.")
    session.ask("Count.")
    with pytest.raises(EngineError, match="gone"):
        session.continue_answer()
    assert session.continue_answer().text == "One two."


def test_only_the_end_of_a_conversation_goes_on(memory: Namespace) -> None:
    session, engine = talk(memory, Line("One", finish="length"))
    session.ask("Count.")

    def interject(text: str) -> None:
        session.memory.spans.append_turn(session.source.id, "user", "Meanwhile.")

    engine._lines[:] = [Line("two.")]
    with pytest.raises(UsageError, match="went on meanwhile"):
        session.continue_answer(on_text=interject)


def test_a_long_answer_goes_on_in_a_small_window(memory: Namespace) -> None:
    words = " ".join(f"word{n}" for n in range(150))
    session, engine = talk(
        memory, "Fine.", Line(words, finish="length"), "end.", context=700, max_tokens=220
    )
    session.ask(" ".join(f"said{n}" for n in range(140)))
    session.ask("Count.")
    assert session.continue_answer().text == f"{words} end."
    sent = engine.requests[-1].messages
    assert engine.count_prompt(sent) <= 700 - 220
    assert sent[-2].content.endswith("word149")
    assert not any("said0" in message.content for message in sent)


def test_a_single_question_goes_on_alone(memory: Namespace) -> None:
    engine = ScriptedEngine(["Old.", Line("One", finish="length"), "two."])
    agent = Agent(memory, engine, Settings(engine="scripted"))
    asked = Session(agent, ASK_SESSION, remembered=False)
    asked.ask("An older question?")
    asked.ask("Count.")
    assert asked.continue_answer().text == "One two."
    assert not any("older" in message.content for message in engine.requests[-1].messages)


def test_an_engine_that_quotes_continues_nothing(memory: Namespace, embedder: Embedder) -> None:
    agent = Agent(memory, PocketEngine(embedder), Settings(engine="pocket"))
    with pytest.raises(UsageError, match="only quotes"):
        Session(agent, "talk").continue_answer()


def test_forgetting_reaches_a_quote_that_runs_over_the_seam(memory: Namespace) -> None:
    remember(memory, FACT)
    session, _ = talk(
        memory,
        Line('It says "The spare key hangs', finish="length"),
        'behind the red door." [1]',
    )
    session.ask("Where is the key?")
    assert session.continue_answer().citations[0].verified
    source = memory.sources.get("notes")
    memory.forget_range(source.id, 0, source.chars)
    said = memory.spans.text(session.source.id)
    assert "spare key" not in said and "red door" not in said
    assert "It says" in said
