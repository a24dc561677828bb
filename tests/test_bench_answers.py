"""The bench of right answers, with a scripted model and a small desk set."""

import json
from pathlib import Path

import jsonschema
import pytest

import memagent_bench
from memagent.agent.workspace import Workspace
from memagent.engines.scripted import ScriptedEngine
from memagent.errors import EngineError, UsageError
from memagent.memory.index.fake_embedder import FakeEmbedder
from memagent.settings import Settings
from memagent.types import Request
from memagent_bench.measures.answers.measure import Plan, measure
from memagent_bench.measures.answers.scoring import (
    Cited,
    Evidence,
    Question,
    Reply,
    Rules,
    ShortAnswer,
    score,
)
from memagent_bench.scripts.answers import main
from tests.conftest import Run

SCHEMA = Path(memagent_bench.__file__).parent / "schemas" / "bench.json"

EVIDENCE = [{"document": "pier.txt", "phrase": "Ada Frost rebuilt the pier"}]
QUESTIONS = [
    {"id": "q1", "kind": "fact", "question": "Who rebuilt the pier?", "accept": ["Frost"]}
    | {"reject": ["Bell"], "evidence": EVIDENCE},
    {"id": "q2", "kind": "chat", "question": "What is the boat's name?", "accept": ["Heron"]}
    | {"evidence": [{"document": "harbour", "phrase": "called the Heron"}]},
    {"id": "q3", "kind": "none", "question": "Who owns the mill?", "unanswerable": True},
]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A desk set with a document, a chat and three questions."""
    folder = tmp_path / "desk"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "pier.txt").write_text(
        "The storm took the pier in 1911. Ada Frost rebuilt the pier with larch from the valley.\n"
    )
    turn = {"session": "harbour", "text": "My boat is called the Heron."}
    (folder / "chats.jsonl").write_text(json.dumps({**turn, "time": "2025-01-12T19:40:00+00:00"}))
    (folder / "questions.jsonl").write_text("".join(json.dumps(q) + "\n" for q in QUESTIONS))
    return folder


def reply(request: Request) -> str:
    """A model that knows nothing itself and reads what it is shown."""
    prompt = "\n".join(message.content for message in request.messages)
    if "pier" in request.question and "Ada Frost" in prompt:
        return 'Ada Frost: "Ada Frost rebuilt the pier" [1]'
    if "boat" in request.question and "Heron" in prompt:
        return "The Heron."
    return "Not in memory." if "<memory>" in prompt else "The mayor."


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the scripted model."""
    settings = Settings(store=tmp_path / "memory.db", segmenter="sentences")
    return Workspace(settings, engine=ScriptedEngine(reply), embedder=FakeEmbedder())


def test_the_arms_are_told_apart_by_what_they_show_the_model(
    workspace: Workspace, desk: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    report = measure(workspace, Plan([desk], keep=tmp_path / "kept", rows=rows))
    lines = {row["arm"]: row for row in report.rows if row.get("kind") == "all"}
    assert lines["product"]["right"] == 2
    assert lines["product"]["right_and_cited"] == 2
    assert (lines["product"]["right_refusal"], lines["product"]["false_answer"]) == (1, 0)
    assert (lines["none"]["right"], lines["none"]["wrong"]) == (0, 2)
    assert lines["none"]["shown"] == 0
    for rival in ("newest", "topk"):
        assert (lines[rival]["right"], lines[rival]["false_answer"]) == (2, 1)
        assert lines[rival]["shown"] == 2
        assert lines[rival]["cited"] is None
    gain = next(row for row in report.rows if row["measure"] == "gain" and row["over"] == "none")
    assert gain["gain"] == 1.0
    written = [json.loads(line) for line in rows.read_text().splitlines()]
    assert written[0]["run"]["model"] == "scripted"
    assert len(written) == 1 + 4 * len(QUESTIONS)
    short = [row for row in report.rows if row["measure"] == "summary"]
    assert [(row["arm"], row["right"], row["false_answers"]) for row in short] == [
        ("product", "2 of 2", "0 of 1"),
        ("none", "0 of 2", "1 of 1"),
        ("newest", "2 of 2", "1 of 1"),
        ("topk", "2 of 2", "1 of 1"),
    ]
    # Questions that were asked do not stay in the store that is kept.
    kept = next((tmp_path / "kept").iterdir()) / "memory.db"
    with Workspace(Settings(store=kept), embedder=FakeEmbedder()) as stored:
        assert {source.name for source in stored.memory().sources.all()} == {"pier.txt", "harbour"}


def test_a_run_that_broke_off_goes_on_where_it_was(
    workspace: Workspace, desk: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    plan = Plan([desk], arms=("product", "topk"), rows=rows)
    measure(workspace, plan)
    with pytest.raises(UsageError, match="--resume"):
        measure(workspace, plan)
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:4]) + lines[4][:20])
    engine = workspace.engine
    assert isinstance(engine, ScriptedEngine)
    engine.requests.clear()
    again = Plan([desk], arms=("product", "topk"), rows=rows, resume=True)
    report = measure(workspace, again)
    assert len(engine.requests) == 3
    assert report.metrics["product_desk_right"] == report.metrics["topk_desk_right"] == 2
    other = Workspace(
        Settings(store=tmp_path / "memory.db", budget=500),
        engine=ScriptedEngine(reply),
        embedder=FakeEmbedder(),
    )
    with pytest.raises(UsageError, match="settings"):
        measure(other, again)


def test_runs_with_several_settings_make_one_report(
    workspace: Workspace, desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "plain.jsonl", tmp_path / "small.jsonl"]
    measure(workspace, Plan([desk], arms=("product",), rows=files[0]))
    settings = workspace.settings.model_copy(update={"budget": 60})
    small = Workspace(settings, engine=workspace.engine, embedder=workspace.embedder)
    measure(small, Plan([desk], arms=("product", "none"), rows=files[1]))
    main(files)
    report = json.loads(capsys.readouterr().out)
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert [
        (row["model"], row["arm"]) for row in report["rows"] if row["measure"] == "summary"
    ] == [
        ("scripted (plain)", "product"),
        ("scripted (small)", "product"),
        ("scripted (small)", "none"),
    ]
    assert '"budget": 60' in report["notes"][1]


def test_an_answer_that_fails_is_counted_and_a_dead_server_ends_the_run(
    desk: Path, tmp_path: Path
) -> None:
    def fails(request: Request) -> str | Exception:
        return EngineError("out of memory") if "pier" in request.question else reply(request)

    settings = Settings(store=tmp_path / "memory.db", segmenter="sentences")
    workspace = Workspace(settings, engine=ScriptedEngine(fails), embedder=FakeEmbedder())
    report = measure(workspace, Plan([desk], arms=("topk",)))
    assert (report.metrics["topk_desk_failed"], report.metrics["topk_desk_right"]) == (1, 1)
    dead = ScriptedEngine(lambda request: EngineError("it is gone"))
    with pytest.raises(EngineError, match="gone"):
        measure(Workspace(settings, engine=dead, embedder=FakeEmbedder()), Plan([desk]))


RULES = {
    "accept": ["19\\.75"],
    "reject": ["12\\.50"],
    "in_words": True,
}


@pytest.mark.parametrize(
    ("rules", "text", "right"),
    [
        (RULES, "It costs 19.75.", True),
        (RULES, "It costs 19.75, not 12.50.", False),
        (RULES, "It costs 19.75.\n“Bronze 12.50” [1]", True),
        (RULES, "See the table:\n“Silver 19.75” [1]", False),
        ({"accept": ["oak"]}, "x" * 300 + " oak", False),
        ({"all": ["oak", "elm"]}, "Elm and oak", True),
        ({"all": ["oak", "elm"]}, "Elm", False),
        ({"points": ["oak", "elm", "ash"], "need": 2}, "Ash, elm", True),
    ],
)
def test_the_rules_of_a_desk_set(rules: dict[str, object], text: str, right: bool) -> None:
    question = Question("q", "fact", "What?", Rules("fact", rules))
    verdict = score(question, Reply(text))["verdict"]
    assert verdict == ("right" if right else "wrong")


@pytest.mark.parametrize(
    ("answer", "text", "verdict"),
    [
        ("7 May 2023", "On 7 May 2023. [2]", "right"),
        ("painting, pottery", "She likes pottery and painting.", "right"),
        ("art", "The party was on Friday.", "wrong"),
        ("art", "Not in memory.", "refused"),
        ("art", "The passages do not say. Art?", "right"),
    ],
)
def test_short_answers_are_right_by_their_words(answer: str, text: str, verdict: str) -> None:
    question = Question("q", "1", "What?", ShortAnswer((answer,)))
    assert score(question, Reply(text))["verdict"] == verdict


def test_evidence_counts_in_its_own_document_only() -> None:
    evidence = (Evidence("prices.csv", ("Silver 19.75",)),)
    question = Question("q", "fact", "How much?", ShortAnswer(("19.75",)), evidence)
    for source, text, cited in (
        ("docs/prices.csv", "Bronze | 12.50\nSilver | 19.75", True),
        ("letter.txt", "Silver 19.75", False),
        ("docs/prices.csv", "19.75", False),
    ):
        found = score(question, Reply("19.75", citations=(Cited(source, text),)))
        assert found["cited"] is cited
    turn = (Evidence("talk-1", ("Ada: I sold my boat. It was old.",), partly=True),)
    question = Question("q", "1", "What?", ShortAnswer(("boat",)), turn)
    reply = Reply("The boat", citations=(Cited("talk-1", "I sold my boat."),))
    assert score(question, reply)["cited"] is True


def test_the_program_reports_in_the_form_of_every_bench(run: Run, desk: Path) -> None:
    done = run(
        "bench", "answers", "--engine", "pocket", "--arms", "product", "--data", desk,
        "--set", "segmenter=sentences", "--set", "embedder=fake", "--limit", "2", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report["metrics"]["product_desk_questions"] == 2
    for wrong in (("--set", "budget"), ("--set", "colour=red"), ("--arms", "best")):
        refused = run("bench", "answers", "--engine", "scripted", "--data", desk, *wrong)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "Traceback" not in refused.stderr
