"""A namespace's stream and its folder: damaged, deleted, of other weights, forgotten, stopped."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from memagent.agent.graph import Agent
from memagent.agent.session import ASK_SESSION, Session
from memagent.engines.stream.engine import StreamEngine
from memagent.engines.stream.memory import StreamMemory
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.store.database import Store
from memagent.models.bundled import pocket_lm
from memagent.settings import Settings
from memagent.streaming.stream import Stream
from memagent.types import Answer, Piece
from tests.conftest import Run
from tests.streaming.models import make

QUESTION = "Where does the cook keep the pepper?"
PEPPER = "The cook keeps the pepper in a blue tin behind the stove."
PARROT = "The parrot of the pilot sings at night, and nobody has taught it any song."
TOKENS = 8
MakeEngine = Callable[..., StreamEngine]


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any]:
    """The bundled model and its tokenizer."""
    loaded = StreamEngine.load(str(pocket_lm()), budget=2000)
    return loaded.llm, loaded.tokenizer


@pytest.fixture
def engine(parts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeEngine]:
    """Make engines over the bundled model; each has locks of its own, as in another process."""
    monkeypatch.setattr("memagent.engines.stream.sizes._HOT_BYTES", 1 << 24)
    made: list[StreamEngine] = []

    def one(*others: Any) -> StreamEngine:
        made.append(StreamEngine(*(others or parts), "pocket_lm", budget=2000))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def memory(store: Store, embedder: Embedder, tmp_path: Path) -> Namespace:
    """The memory that the program has too, where `run` runs it."""
    return Namespace(store, "default", embedder, tmp_path / "memory.db.index")


def remember(memory: Namespace, name: str, *texts: str) -> None:
    source, _ = memory.sources.begin_document(name, texts[0], None, "text/plain")
    memory.add_pieces(source, [Piece(text) for text in texts], lambda spans, chars: None)


def ask(memory: Namespace, engine: StreamEngine, question: str = QUESTION) -> Answer:
    agent = Agent(memory, engine, Settings(engine="stream", max_tokens=TOKENS))
    return Session(agent, ASK_SESSION, remembered=False).ask(question)


def held(engine: StreamEngine) -> StreamMemory:
    (one,) = engine._memories.values()
    return one


def attended(answer: Answer) -> dict[str, float]:
    """Shares by source."""
    return {line["source"]: line["share"] for line in answer.explain["attention"]}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def state(memory: Namespace) -> tuple[torch.Tensor, dict[str, Any]]:
    """Tokens and places of the one saved stream."""
    (path,) = memory.caches.glob("*/state.safetensors")
    with safe_open(path, framework="pt") as file:
        return file.get_tensor("tokens"), json.loads(file.metadata()["about"])["notes"]["places"]


def test_a_damaged_cache_is_rebuilt(
    memory: Namespace, engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    remember(memory, "kitchen", PEPPER, PARROT * 4)
    made = engine()
    wanted = ask(memory, made)
    made.close()
    (path,) = memory.caches.glob("*/state.safetensors")
    whole = path.read_bytes()
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        some = {name: file.get_tensor(name).clone() for name in ("tokens", "surprise")}

    def parts_missing() -> None:
        save_file(some, path, metadata=about)

    def of_nothing() -> None:
        save_file(some, path, metadata={"about": "{}"})

    def page_is_no_page() -> None:
        (path.parent / "pages" / "x.safetensors").write_bytes(
            next((path.parent / "pages").iterdir()).read_bytes()
        )

    for damage in (
        lambda: path.write_bytes(whole[:-1000]),
        lambda: path.write_bytes(b"no tensors at all"),
        parts_missing,
        of_nothing,
        page_is_no_page,
    ):
        damage()
        made = engine()
        answer = ask(memory, made)
        assert (answer.text, answer.explain["attention"]) == (
            wanted.text,
            wanted.explain["attention"],
        )
        made.close()
        (warning,) = caplog.messages
        assert "'default' is damaged, all text is read again: " in warning and "\n" not in warning
        caplog.clear()
        assert path.read_bytes() == whole
    # A lost page file is no damage: its text is there.
    for page in (path.parent / "pages").iterdir():
        page.write_bytes(page.read_bytes()[:-1])
    made = engine()
    assert attended(ask(memory, made)).keys() == attended(wanted).keys()
    assert caplog.messages == []


def test_folders_of_other_weights_are_left_alone(
    memory: Namespace, engine: MakeEngine, parts: tuple[Any, Any]
) -> None:
    remember(memory, "kitchen", PEPPER)
    made = engine()
    ask(memory, made)
    made.close()
    before = files(memory.caches)
    other = engine(make(vocab_size=2048, max_position_embeddings=1024), parts[1])
    assert attended(ask(memory, other)).keys() == {"kitchen"}
    other.close()
    after = files(memory.caches)
    assert before.items() < after.items()
    assert len(list(memory.caches.iterdir())) == 2


def test_what_is_forgotten_leaves_stream_and_files(
    run: Run, memory: Namespace, engine: MakeEngine, tmp_path: Path
) -> None:
    remember(memory, "kitchen", PEPPER)
    remember(memory, "deck", PARROT * 4)
    saved = engine()
    ask(memory, saved)
    saved.close()
    made = engine()
    ask(memory, made)
    one = held(made)
    start, end = one.places[1]
    lost = keys_of(one.stream, start, end)
    assert any(lost in content for content in files(memory.caches).values())
    done = run("memory", "forget", "kitchen", "--yes")
    assert done.returncode == 0 and not memory.caches.exists(), done.stderr
    assert not any(lost in content for content in files(tmp_path).values())

    # The stream that was open all the while forgets it at its next turn.
    assert attended(ask(memory, made)).keys() == {"deck"}
    assert 1 not in one.places and not one.stream.tokens[0, start:end].any()
    assert not any(keys_of(one.stream, start, end))
    made.close()
    tokens, places = state(memory)
    assert "1" not in places and not tokens[0, start:end].any()
    assert not any(lost in content for content in files(tmp_path).values())
    again = engine()
    assert attended(ask(memory, again)).keys() == {"deck"}


def keys_of(stream: Stream, start: int, end: int) -> bytes:
    """Keys of some tokens of the first head of the first layer."""
    cache = stream.layers.caches[0]
    token = torch.arange(start, end)
    page = cache.resolve((token // cache.page)[None, None])[0, 0]
    found = cache.k[page, 0, token % cache.page]
    return found[: cache.page - start % cache.page][:4].contiguous().numpy().tobytes()


def test_a_folder_that_was_deleted_has_one_owner_again(
    memory: Namespace, engine: MakeEngine
) -> None:
    remember(memory, "kitchen", PEPPER)
    remember(memory, "deck", PARROT * 4)
    first = engine()
    wanted = ask(memory, first)
    shutil.rmtree(memory.caches)
    second = engine()
    assert ask(memory, second).text == wanted.text
    # It belongs to the second now, and the first goes on in memory.
    assert ask(memory, first).text == wanted.text
    assert held(first).stream.folder is None and held(second).stream.folder is not None
    first.close()
    assert not list(memory.caches.glob("*/state.safetensors"))
    second.close()
    tokens, _ = state(memory)

    third = engine()
    assert ask(memory, third).text == wanted.text
    shutil.rmtree(memory.caches)
    fourth = engine()
    ask(memory, fourth)
    fourth.close()
    assert ask(memory, third).text == wanted.text, "what it finds there is not its own"
    third.close()
    assert torch.equal(state(memory)[0], tokens)
    last = engine()
    assert ask(memory, last).text == wanted.text


def test_reading_and_answering_can_stop_anywhere(
    memory: Namespace, engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(memory, "kitchen", *[f"On day {n} there was soup with {n} beans." for n in range(30)])
    whole = engine()
    wanted = ask(memory, whole)
    length, places = held(whole).stream.length, dict(held(whole).places)
    whole.close()
    shutil.rmtree(memory.caches)

    steps = -(-(length - places[1][0]) // whole.config.chunk)
    plain, count = Stream._step, 0
    stop: int | None = None

    def interrupted(stream: Stream, tokens: torch.Tensor) -> None:
        nonlocal count
        plain(stream, tokens)
        count += 1
        if count == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(Stream, "_step", interrupted)
    made = engine()
    assert steps > 2
    # While the instructions, the events, the question are read, and behind some words.
    for last, words in ((1, 0), (4, 0), (steps + 1, 0), (7, 5)):
        stop, count = last, 0
        stopped = ask(memory, made)
        assert (stopped.state, bool(stopped.text)) == ("partial", words > 0)
    stop = None
    answer = ask(memory, made)
    assert held(made).stream.length == length and held(made).places == places
    assert (answer.text, answer.explain["attention"]) == (
        wanted.text,
        wanted.explain["attention"],
    )
