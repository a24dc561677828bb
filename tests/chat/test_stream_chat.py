"""`memagent chat` over a model in its own process: /why, Ctrl-C, forgetting, taking back."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer

from memagent.agent.graph import Agent
from memagent.agent.session import Session
from memagent.cli.chat.commands import run_command
from memagent.cli.chat.conversation import Conversation
from memagent.cli.chat.history import ChatHistory
from memagent.cli.chat.interrupts import Interrupts
from memagent.cli.chat.plain import Plain
from memagent.cli.chat.screen import Screen
from memagent.engines.stream.engine import StreamEngine
from memagent.engines.stream.memory import StreamMemory
from memagent.memory.events import Filter
from memagent.memory.namespace import Namespace
from memagent.models.bundled import pocket_lm
from memagent.settings import Settings
from memagent.types import Piece
from tests.conftest import Run
from tests.terminals import spawn

QUESTION = "Where does the cook keep the pepper?"
PEPPER = "The cook keeps the pepper in a blue tin behind the stove."
BELL = "The bell of the lighthouse rings at noon."
# What prompt_toolkit writes when it is ready for keys, and when a line was sent.
READY, SENT = "\x1b[?2004h", "\x1b[?2004l"
STREAM = ("--engine", "stream", "--model", str(pocket_lm()))


@pytest.fixture
def kitchen(memory: Namespace) -> Namespace:
    """A memory of one document, that of the program too."""
    source, _ = memory.sources.begin_document("kitchen", PEPPER, None, "text/plain")
    memory.add_pieces(source, [Piece(PEPPER)], lambda spans, chars: None)
    return memory


@pytest.fixture
def chat(
    kitchen: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Conversation]:
    """A conversation over the bundled model, without a process."""
    monkeypatch.setattr("memagent.engines.stream.sizes._HOT_BYTES", 1 << 24)
    engine = StreamEngine.load(str(pocket_lm()), budget=400)
    session = Session(Agent(kitchen, engine, Settings(engine="stream", max_tokens=8)), "talk")
    with Interrupts() as interrupts:
        screen = Screen()
        reader = Plain(interrupts, screen.note, interactive=False)
        yield Conversation(session, reader, screen, interrupts, ChatHistory(tmp_path / "state"))
    engine.close()


def held(chat: Conversation) -> StreamMemory:
    engine = chat.session.agent.engine
    assert isinstance(engine, StreamEngine)
    (one,) = engine._memories.values()
    return one


def of_text(one: StreamMemory, text: str) -> list[int]:
    """Ids of the events in the stream that hold a text."""
    return [event.id for event in one.memory.get(list(one.places)) if text in event.text]


def attended(chat: Conversation) -> list[tuple[str, int]]:
    """Source and start of each event that the newest answer attended to."""
    return [(line["source"], line["start"]) for line in chat.newest_answer().explain["attention"]]


def test_what_is_forgotten_or_taken_back_is_gone_from_the_stream(chat: Conversation) -> None:
    chat.ask(BELL)
    one = held(chat)
    assert not of_text(one, BELL), "a turn is read when it is over"
    chat.ask(QUESTION)
    assert {("kitchen", 0), ("talk", 0)} <= set(attended(chat))
    assert one.stream.length == one.places[max(one.places)][1], "the answer left no trace"
    lost = {text: of_text(one, text)[0] for text in (BELL, PEPPER)}
    spans = [one.places[number] for number in lost.values()]

    run_command(chat, "/undo")  # a turn that was not read yet
    (number,) = {cited.number for cited in chat.session.ask("Pepper?").citations} - {2, 3}
    chat.reload()
    run_command(chat, f"/forget {number}")
    chat.ask("What rings at noon?")
    assert lost[PEPPER] not in one.places and not of_text(one, QUESTION)
    assert "kitchen" not in dict(attended(chat)) and ("talk", 0) in attended(chat)

    for command in ("/undo", "/undo", "/forget last"):  # the last one is the bell
        run_command(chat, command)
    chat.ask("Is anything left?")
    assert not one.places and attended(chat) == []
    for start, end in spans:
        assert not one.stream.tokens[0, start:end].any()
    assert one.memory.ids() != [], "what was said since"


def test_an_answer_over_a_pipe_and_why(run: Run, kitchen: Namespace, tmp_path: Path) -> None:
    lines = [BELL, QUESTION, "/why", "/forget last", "What rings at noon?", "/why"]
    done = run("chat", "-s", "s", *STREAM, "--max-tokens", "8", stdin="\n".join(lines) + "\n")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    turns = kitchen.spans.of(kitchen.sources.get("s").id, withdrawn=False)
    assert [turn.text for turn in turns if turn.role == "user"] == [BELL, lines[4]]
    first, last = (turn.text for turn in turns if turn.role == "assistant")
    assert done.stdout.startswith(first + "\n") and done.stdout.endswith(last + "\n")
    attended = [line for line in done.stderr.splitlines() if "of the attention  " in line]
    assert sum("kitchen [0-57]" in line for line in attended) == 2
    assert sum(f"[0-{len(BELL)}]" in line for line in attended) == 2
    tokens, spans = saved(tmp_path)
    text = AutoTokenizer.from_pretrained(pocket_lm()).decode(tokens)
    assert BELL in text and PEPPER in text and QUESTION not in text
    assert spans.keys() <= set(kitchen.events.allowed(Filter()))


def saved(folder: Path) -> tuple[torch.Tensor, dict[int, list[int]]]:
    """Tokens of the saved stream, and where its events stand."""
    (path,) = folder.glob("memory.db.index/*/*/state.safetensors")
    with safe_open(path, framework="pt") as file:
        places = json.loads(file.metadata()["about"])["notes"]["places"]
        return file.get_tensor("tokens")[0], {int(key): span for key, span in places.items()}


def test_ctrl_c_keeps_the_part_and_the_stream_stands_where_it_stood(
    env: dict[str, str], kitchen: Namespace, tmp_path: Path
) -> None:
    plain = {k: v for k, v in env.items() if k not in ("COLUMNS", "NO_COLOR")}
    # The likeliest words of so small a model run in a circle, and would be stopped for that.
    settings = {**plain, "TERM": "xterm-256color", "MEMAGENT_TEMPERATURE": "1"}
    arguments = ["chat", "-s", "talk", *STREAM, "--max-tokens", "200"]
    child = spawn(arguments, settings, tmp_path, timeout=90)
    try:
        child.expect_exact(READY)
        child.sendline(f"Tell me all about it. {QUESTION}")
        child.expect_exact(SENT)
        child.expect(r"[A-Za-z]{3}")  # the answer has begun
        child.send("\x03")
        child.expect_exact("(stopped; the part is kept)")
        child.expect_exact(READY)
        child.sendline(BELL)
        child.expect_exact(SENT)
        child.expect_exact("of the attention, ")
        child.expect_exact(READY)
        child.sendline("/why")
        child.expect_exact("of the attention  ")
        child.expect_exact(READY)
        child.sendline("/quit")
        child.expect_exact("continue with: memagent chat -s talk")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    assert child.exitstatus == 0
    turns = kitchen.spans.of(kitchen.sources.get("talk").id)
    assert [turn.role for turn in turns] == ["user", "assistant"] * 2
    number = kitchen.answers.of_question(turns[0].id)
    assert number is not None and kitchen.answers.get(number)["state"] == "partial"
    tokens, places = saved(tmp_path)
    spans = sorted(places.values())
    assert len(spans) >= 2 and spans[-1][1] == len(tokens), "nothing of the answers"
    for before, behind in itertools.pairwise(spans):
        assert before[1] == behind[0]
