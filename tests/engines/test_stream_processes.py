"""A namespace's stream across processes: resumed, shared, killed, and in a batch."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from memagent.agent.graph import load_answer
from memagent.agent.session import ASK_SESSION
from memagent.engines.stream.engine import StreamEngine
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.store.database import Store
from memagent.models.bundled import pocket_lm
from tests.conftest import PROGRAM, Run, warned
from tests.engines.test_stream_memory import (
    PARROT,
    PEPPER,
    QUESTION,
    TOKENS,
    ask,
    attended,
    held,
    remember,
    state,
)

STREAM = ("--engine", "stream", "--model", pocket_lm(), "--max-tokens", TOKENS)
DECK = "The deck is washed with salt water every morning before six."
MakeEngine = Callable[[], StreamEngine]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeEngine]:
    """Make engines of the same sizes as the program's."""
    monkeypatch.setattr("memagent.engines.stream.sizes._HOT_BYTES", 1 << 24)
    made: list[StreamEngine] = []

    def one() -> StreamEngine:
        made.append(StreamEngine.load(str(pocket_lm()), budget=2000))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def memory(
    store: Store, embedder: Embedder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Namespace]:
    """The memory that the program has too, where `run` runs it."""
    yield Namespace(store, "default", embedder, tmp_path / "memory.db.index")
    assert not warned(caplog, "setup") + warned(caplog, "call")


def test_a_second_process_goes_on_with_the_stream_of_the_first(
    run: Run, memory: Namespace, embedder: Embedder, engine: MakeEngine, tmp_path: Path
) -> None:
    remember(memory, "kitchen", PEPPER, PARROT)
    first, second = (
        run("ask", QUESTION, "--json", "--explain", *STREAM, OMP_NUM_THREADS="1") for _ in range(2)
    )
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert second.stderr.count("\n") == 1 and "was cut at" in second.stderr
    assert state(memory)[1].keys() == {"1", "2"}
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    assert one["text"] and one["text"] == two["text"]
    assert one["explain"]["attention"] == two["explain"]["attention"] != []
    assert PEPPER in {cited["text"] for cited in two["citations"] if cited["share"]}

    # The saved stream equals one built by reading everything again.
    again = Namespace(memory.store, "default", embedder, tmp_path / "elsewhere")
    fresh = engine()
    answer = ask(again, fresh)
    assert answer.text == one["text"]
    assert answer.explain["attention"] == one["explain"]["attention"]
    tokens, places = state(memory)
    assert torch.equal(tokens, held(fresh).stream.tokens)

    # New text is read behind what was read before.
    remember(memory, "deck", DECK)
    later = engine()
    assert "deck" in attended(ask(memory, later))
    ask(again, fresh)
    stream = held(later).stream
    assert stream.folder == held(later).folder and torch.equal(
        stream.tokens[:, : tokens.shape[1]], tokens
    )
    for event_id, span in places.items():
        assert held(later).places[int(event_id)] == tuple(span)
    assert held(later).places == held(fresh).places
    assert stream.logits is not None and held(fresh).stream.logits is not None
    torch.testing.assert_close(stream.logits, held(fresh).stream.logits, atol=1e-3, rtol=0)
    later.close()
    assert state(memory)[1].keys() == {"1", "2", "3"}


def test_two_at_once_and_a_kill_lose_nothing(
    run: Run, env: dict[str, str], memory: Namespace, engine: MakeEngine
) -> None:
    remember(memory, "kitchen", PEPPER, PARROT)
    first = engine()
    wanted = ask(memory, first)
    # The folder is in use: the other process keeps its stream in memory.
    other = run("ask", QUESTION, *STREAM, OMP_NUM_THREADS="1")
    assert other.returncode == 0 and other.stdout == wanted.text + "\n"
    assert not list(memory.caches.glob("*/state.safetensors"))
    first.close()
    tokens, _ = state(memory)

    remember(memory, "deck", DECK)
    before = {source.name: memory.spans.text(source.id) for source in memory.sources.all()}
    with subprocess.Popen(
        [PROGRAM, "ask", "What sings?", *map(str, STREAM[:-1]), "400"],
        env=env,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stdout.read(1)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert memory.store.integrity() == "ok"
    for name, text in before.items():
        assert memory.spans.text(memory.sources.get(name).id).startswith(text)
    asked = memory.sources.get(ASK_SESSION)
    assert memory.spans.of(asked.id)[-1].text == "What sings?"
    number = memory.answers.last(asked.id)
    assert number is None or load_answer(memory, number).question != "What sings?"
    second = engine()
    assert "deck" in attended(ask(memory, second))
    assert torch.equal(held(second).stream.tokens[:, : tokens.shape[1]], tokens)


def test_rows_of_a_batch_take_turns(run: Run, memory: Namespace) -> None:
    remember(memory, "kitchen", PEPPER)
    rows = [{"id": n, "op": "ask", "question": f"{QUESTION} {'?' * n}"} for n in range(3)]
    lines = "\n".join(map(json.dumps, rows))
    done = run("run", "-", "--concurrency", "2", *STREAM, stdin=lines)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(result["id"] for result in results) == [0, 1, 2]
    for result in results:
        assert result["status"] == "ok" and result["result"]["text"]
        assert PEPPER in {cited["text"] for cited in result["result"]["citations"]}
    assert state(memory)[1].keys() == {"1"}
