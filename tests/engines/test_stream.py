"""The stream engine over a real store and a real model: what an answer attends to, and errors."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from memagent.agent.event_reader import NamespaceEvents
from memagent.agent.graph import Agent
from memagent.agent.session import ASK_SESSION, Session
from memagent.engines.stream.engine import StreamEngine
from memagent.errors import EngineError
from memagent.memory.events import Filter
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.store.database import Store
from memagent.models.bundled import pocket_lm
from memagent.settings import Settings
from memagent.types import Answer, Chunk, Message, Piece, Request, Scope, Source
from tests.conftest import Run

QUESTION = "Where does the cook keep the pepper?"
PEPPER = "The cook keeps the pepper in a blue tin behind the stove."
PARROT = "The parrot of the pilot sings at night, and nobody has taught it any song."
MakeEngine = Callable[..., StreamEngine]


@pytest.fixture(scope="session")
def loaded() -> tuple[Any, Any]:
    """The bundled model and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(pocket_lm(), dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(pocket_lm())


@pytest.fixture
def engine(loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeEngine]:
    """Make engines over the bundled model: `engine(budget=100)`."""
    monkeypatch.setattr("memagent.engines.stream.sizes._HOT_BYTES", 1 << 24)
    made: list[StreamEngine] = []

    def make(**sizes: Any) -> StreamEngine:
        made.append(StreamEngine(*loaded, "pocket", **{"budget": 400, **sizes}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def remember(memory: Namespace, name: str, *texts: str) -> Source:
    source, _ = memory.sources.begin_document(name, texts[0], None, "text/plain")
    memory.add_pieces(source, [Piece(text) for text in texts], lambda spans, chars: None)
    return source


def ask(memory: Namespace, engine: StreamEngine, question: str = QUESTION, **how: Any) -> Answer:
    agent = Agent(memory, engine, Settings(engine="stream", max_tokens=8, budget=100))
    return Session(agent, ASK_SESSION, remembered=False).ask(question, **how)


def test_an_answer_says_how_much_it_attended_to_each_event(
    memory: Namespace, engine: MakeEngine
) -> None:
    sources = [remember(memory, "kitchen", PEPPER), remember(memory, "deck", PARROT, "Naïve — 🚢!")]
    heard: list[str] = []
    answer = ask(memory, engine(), on_text=heard.append)
    assert answer.text and answer.text == "".join(heard)
    attention = answer.explain["attention"]
    shares = [line["share"] for line in attention]
    assert shares == sorted(shares, reverse=True)
    assert all(share > 0 for share in shares) and sum(shares) <= 1
    assert {line["source"] for line in attention} == {"kitchen", "deck"}
    told = {source.id: memory.spans.text(source.id) for source in sources}
    cited = [citation for citation in answer.citations if citation.share is not None]
    assert cited
    for citation in cited:
        assert citation.verified and citation.share in shares
        assert citation.text in (PEPPER, PARROT, "Naïve — 🚢!")
        (text,) = [told[s.id] for s in sources if s.name == citation.source]
        assert citation.text == text[citation.start : citation.end]
    assert answer.usage.completion == 8 and answer.usage.prompt > 0


def told(memory: Namespace, name: str, text: str, time: str) -> None:
    session = memory.sources.session(name)
    memory.spans.append_turn(session.id, "user", text, time=time)


@pytest.mark.parametrize("restricted_by", ["source", "since"])
def test_what_a_filter_leaves_out_changes_nothing(
    restricted_by: str, embedder: Embedder, engine: MakeEngine, tmp_path: Path
) -> None:
    answers = []
    others = ("The pepper lies in a red box.", "Nobody ever asked the cook: " + PARROT)
    for number, other in enumerate(others):
        store = Store(tmp_path / f"{number}.db")
        memory = Namespace(store, "default", embedder, tmp_path / f"{number}")
        told(memory, "new", PEPPER, "2026-05-01T12:00:00+00:00")
        told(memory, "new", PARROT, "2026-05-01T12:01:00+00:00")
        told(memory, "old", other, "2020-05-01T12:00:00+00:00")
        where = Filter(since="2026-01-01T00:00:00+00:00")
        if restricted_by == "source":
            where = Filter(sources=(memory.sources.get("new").id,))
        made = engine(context=1024)  # all fits: nothing hangs on which events are chosen
        free = ask(memory, made)
        assert "old" in {line["source"] for line in free.explain["attention"]}
        answers.append(ask(memory, made, where=where))
        assert ask(memory, made).explain["attention"] == free.explain["attention"], "seen again"
        store.close()
    one, other = answers
    assert one.text == other.text
    for a, b in zip(one.explain["attention"], other.explain["attention"], strict=True):
        assert a["source"] == b["source"] == "new" and a["start"] == b["start"]
        assert a["share"] == pytest.approx(b["share"], abs=2e-4)


def test_what_recall_found_is_in_reach_under_the_smallest_budget(
    memory: Namespace, engine: MakeEngine
) -> None:
    weather = [f"On day {n} of the voyage the wind came from the north." for n in range(30)]
    remember(memory, "log", *weather[:10], PEPPER, *weather[10:])
    memory.catch_up()
    made = engine(budget=60)
    (wanted,) = memory.recall(QUESTION, budget=40).chosen
    assert wanted.event.text == PEPPER
    session = memory.sources.session("s")
    request = Request(
        messages=(Message("user", QUESTION),),
        question=QUESTION,
        evidence=(wanted.event,),
        max_tokens=4,
        scope=Scope(NamespaceEvents(memory), session.id, 0),
    )
    with closing(made.stream(request)) as chunks:  # type: ignore[type-var]
        next(iter(chunks))
        (held,) = made._memories.values()
        start, end = held.places[wanted.event.id]
        for far in held.stream.view.chosen.values():
            spans = far.token_ranges(made.config.page)
            seen = {token for a, b, _ in spans for token in range(a, b)}
            assert set(range(start, end)) <= seen
            assert len(seen) <= made.config.budget + made.config.segmentation.most
        assert held.spans([wanted.event, wanted.event], room=end - start) == [(start, end)]


def test_namespaces_have_streams_of_their_own(
    store: Store, embedder: Embedder, engine: MakeEngine, tmp_path: Path
) -> None:
    made = engine()
    for name, text in (("one", PEPPER), ("two", PARROT)):
        memory = Namespace(store, name, embedder, tmp_path / "index")
        remember(memory, f"of {name}", text)
        answer = ask(memory, made)
        assert {line["source"] for line in answer.explain["attention"]} == {f"of {name}"}
        cited = {citation.source for citation in answer.citations if citation.verified}
        assert cited == {f"of {name}"}
    first, second = made._memories.values()
    assert first.folder != second.folder
    assert not first.places.keys() & second.places.keys()
    prefix = first.places[min(first.places)][0]
    assert torch.equal(first.stream.tokens[:, :prefix], second.stream.tokens[:, :prefix])


def test_what_takes_long_to_read_is_reported(
    memory: Namespace,
    engine: MakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = [f"On day {n} of the voyage the wind came from the north." for n in range(70)]
    remember(memory, "log", *log)
    caplog.set_level("INFO", logger="memagent.engines.stream")
    progress = "memagent.engines.stream.progress"
    monkeypatch.setattr(f"{progress}._FIRST_SECONDS", 1e9)
    ask(memory, engine(context=512))
    assert not caplog.messages, "not before its time"
    monkeypatch.setattr(f"{progress}._FIRST_SECONDS", 0.0)
    monkeypatch.setattr(f"{progress}._EVERY_SECONDS", 0.0)
    shutil.rmtree(memory.caches)
    ask(memory, engine())
    (first, *_, last) = caplog.messages
    assert re.fullmatch(
        r"pocket is reading: [\d,]+ tokens so far(, 0 of 70 stored passages)?", first
    )
    assert last.endswith(" tokens so far, 64 of 70 stored passages")


def test_log_probabilities_are_those_of_the_stock_model(
    engine: MakeEngine, loaded: tuple[Any, Any]
) -> None:
    made = engine()
    stock = AutoModelForCausalLM.from_pretrained(pocket_lm(), dtype=torch.float32)
    text = f"{PEPPER} {PARROT} " * 11
    ids = loaded[1](text, add_special_tokens=False)["input_ids"]
    assert made.count(text) == len(ids) and made.config.window < len(ids) <= made.context
    with torch.no_grad():
        logits = stock(torch.tensor([ids])).logits[0]
    wanted = logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    found = made.logprobs(ids)
    assert found[0] == 0 and made.logprobs([]) == []
    torch.testing.assert_close(torch.tensor(found[1:]), wanted, atol=1e-3, rtol=0)
    assert len(made.logprobs(ids * 3)) == 3 * len(ids), "beyond the window too"


def test_an_answer_ends_where_the_model_speaks_for_the_user(
    engine: MakeEngine, loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = engine()

    def said(text: str) -> list[Chunk]:
        ids = loaded[1](text, add_special_tokens=False)["input_ids"]
        monkeypatch.setattr("memagent.streaming.generate.generate", lambda *a, **k: iter(ids))
        return list(made.stream(Request((Message("user", "?"),), "?", max_tokens=99)))

    for text, wanted in (
        ("In the tin.\nuser: and you?", "In the tin."),
        ("Ein Gruß — 🚢\n漢字\nuse", "Ein Gruß — 🚢\n漢字\nuse"),
        ("\nuser: hm", ""),
    ):
        *pieces, last = said(text)
        assert "".join(piece.text for piece in pieces) == wanted
        assert not any("\ufffd" in piece.text for piece in pieces)
        assert last.finish == "stop" and last.attention == ()


def one_line(stderr: str) -> str:
    (line,) = stderr.splitlines()
    assert line.startswith("memagent: ")
    return line


def test_what_cannot_be_run_is_said_in_one_line(
    run: Run, tmp_path: Path, loaded: tuple[Any, Any]
) -> None:
    empty, gpt2, broken = (tmp_path / name for name in ("empty", "gpt2", "broken"))
    empty.mkdir()
    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=2048, n_positions=128, n_embd=32, n_layer=1, n_head=2)
    ).save_pretrained(gpt2)
    loaded[1].save_pretrained(gpt2)
    for arguments, code, says in (
        ([], 2, "--model"),
        (["--model", empty], 4, "it has no config.json"),
        (["--model", gpt2], 4, "'gpt2' has no rotary positions"),
    ):
        done = run("ask", "Who?", "--engine", "stream", *arguments)
        assert done.returncode == code and done.stdout == "", done.stderr
        assert says in one_line(done.stderr)

    broken.mkdir()
    for path in pocket_lm().iterdir():
        content = path.read_bytes()
        half = content[: len(content) // 2]
        (broken / path.name).write_bytes(half if path.suffix == ".safetensors" else content)
    for place in (broken, tmp_path / "nowhere"):
        with pytest.raises(EngineError, match="cannot be loaded: ") as refused:
            StreamEngine.load(str(place), budget=100)
        assert "\n" not in str(refused.value) and not str(refused.value).endswith(": ")
