"""A model that repeats itself is stopped, and its text so far is kept."""

import pytest

from memagent.agent.graph import Agent
from memagent.agent.session import Session
from memagent.agent.strategies.repetition import runs_in_a_circle
from memagent.engines.scripted import ScriptedEngine
from memagent.memory.namespace import Namespace
from memagent.settings import Settings

ONE = "The harbour was silent that night."
TWO = "Nobody saw the lantern on the pier."
CHORUS = "Row, row, row your boat, gently down the stream."


@pytest.mark.parametrize(
    ("text", "circle"),
    [
        (f"{ONE} " * 3, True),
        (f"{ONE} {TWO} " * 3, True),
        (f"It began so. {ONE} {TWO}\n" * 3, True),
        (f"{ONE} " * 2, False),
        (f"{ONE} {TWO} {ONE} {TWO} {ONE} Then it rained.", False),
        (f"{CHORUS} First verse. {CHORUS} Second verse. {CHORUS}", False),
        ("Yes. " * 3, False),
        ("No one. " * 12, True),
        ("", False),
    ],
)
def test_a_loop_is_the_same_text_three_times_in_a_row(text: str, circle: bool) -> None:
    assert runs_in_a_circle(text) == circle


def test_the_answer_is_stopped_and_kept(
    memory: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ScriptedEngine([f"Well. {f'{ONE} {TWO} ' * 40}"])
    heard: list[str] = []
    talk = Session(Agent(memory, engine, Settings(engine="scripted")), "talk")
    answer = talk.ask("What happened?", on_text=heard.append)
    assert answer.text == "".join(heard)
    assert answer.text.count(ONE) == 3
    assert answer.state == "complete"
    assert answer.usage.completion > 0
    assert answer.explain["trace"] == [{"step": "repetition"}]
    assert caplog.messages == ["the answer was stopped: it repeated itself"]
    caplog.clear()


def test_repetition_by_the_user_stops_no_answer(memory: Namespace) -> None:
    engine = ScriptedEngine([f"You said: {ONE} {TWO}"])
    talk = Session(Agent(memory, engine, Settings(engine="scripted")), "talk")
    assert talk.ask(f"{ONE} " * 9).explain["trace"] == []
