"""The recall benchmark: reading histories, computing coverage, and a run of the program."""

import json
import tarfile
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

import memagent_bench
from memagent.errors import InputError
from memagent.memory.index.embedder import Embedder
from memagent_bench.data.files import read_histories
from memagent_bench.data.items import Asked, Turn
from memagent_bench.measures.recall.ablation import OWN_WAY, Windows, ablated, segmenters
from memagent_bench.measures.recall.score import coverage, filled
from memagent_bench.measures.recall.stored import Stored
from tests.conftest import Run

SCHEMA = Path(memagent_bench.__file__).parent / "schemas" / "bench.json"
SAID = {
    1: [
        ("Ada", "I planted the quinces behind the mill."),
        ("Bo", "My brother Tam repairs clocks in Perrin."),
        ("Ada", "Good for him."),
    ],
    2: [
        ("Bo", "I sold my boat to a dentist."),
        ("Ada", "The cellar flooded again, so I bought a pump."),
    ],
    11: [("Bo", "We saw a heron at the weir.")],
}
ASKED = [
    ("Where did Ada plant the quinces?", ["D1:1"], 4),
    ("What does Tam do, and who bought the boat?", ["D1:2; D2:1"], 1),
    ("What did they see at the weir?", ["D:11:01"], 4),
    ("What is in the cellar?", ["D2:2", "D", "D9:9"], 4),
    ("Who is the mayor?", ["D1:3"], 5),
    ("When was the flood?", ["D"], 2),
]


@pytest.fixture
def conversation(tmp_path: Path) -> Path:
    """A file in LoCoMo's format, with the kinds of labels that its own has."""
    sessions: dict[str, object] = {"speaker_a": "Ada", "speaker_b": "Bo"}
    for session, said in reversed(SAID.items()):
        sessions[f"session_{session}_date_time"] = f"1:56 pm on {session} May, 2023"
        sessions[f"session_{session}"] = [
            {"speaker": speaker, "dia_id": f"D{session}:{place}", "text": text}
            for place, (speaker, text) in enumerate(said, start=1)
        ]
    pictured = sessions["session_11"]
    assert isinstance(pictured, list)
    pictured[0]["blip_caption"] = "a grey bird"
    qa = [{"question": q, "answer": "", "evidence": e, "category": c} for q, e, c in ASKED]
    path = tmp_path / "conversation.json"
    path.write_text(json.dumps([{"sample_id": "c-1", "conversation": sessions, "qa": qa}]))
    return path


def test_a_conversation_is_read_in_the_order_of_its_sessions(conversation: Path) -> None:
    name, (history,) = read_histories(conversation)
    assert name == "locomo"
    assert [turn.session for turn in history.turns] == [0, 0, 0, 1, 1, 2]
    assert history.turns[0] == Turn(0, "Ada", SAID[1][0][1], "2023-05-01T13:56:00")
    assert history.turns[5].text == "We saw a heron at the weir. [shared a picture: a grey bird]"
    assert [asked.gold for asked in history.asked] == [(0,), (1, 3), (5,), (4,)]
    assert [asked.category for asked in history.asked] == ["4", "1", "4", "4"]
    assert history.unresolved == 3  # D, D9:9 and the other D


def test_meetings_and_stories_are_read_from_archives(tmp_path: Path) -> None:
    said = [{"speaker": "Chair", "content": f"Item {n}."} for n in range(4)]
    meeting = {
        "meeting_transcripts": said,
        "topic_list": [],
        "general_query_list": [],
        "specific_query_list": [
            {"query": "What of items 1 and 2?", "relevant_text_span": [["1", "2"]]},
            {"query": "And of item 9?", "relevant_text_span": [["9", "9"]]},
        ],
    }
    tale = "data/section-stories/val/fox-story.csv", 'section,text\n1,"A fox, once."\n2,It ate.\n'
    questions = (
        "data/questions/val/fox-questions.csv",
        'question_id,local-or-sum,cor_section,question,answer1\n1,summary,"1,2",What of it?,fox\n',
    )
    sets = {
        "meetings.tar.xz": [
            (f"data/ALL/{part}/m.json", json.dumps(meeting)) for part in ("train", "val")
        ],
        "stories.tar.xz": [tale, questions],
    }
    read = {}
    for archive, files in sets.items():
        with tarfile.open(tmp_path / archive, "w:xz") as made:
            for place, text in files:
                (tmp_path / "one").write_text(text)
                made.add(tmp_path / "one", place)
        name, (read[name],) = read_histories(tmp_path / archive)
    assert read["qmsum"].turns[2].said == "Chair: Item 2."
    assert [asked.gold for asked in read["qmsum"].asked] == [(1, 2)]
    assert read["qmsum"].unresolved == 1
    assert [turn.said for turn in read["fairytaleqa"].turns] == ["A fox, once.", "It ate."]
    assert read["fairytaleqa"].asked == (Asked("What of it?", "summary", (0, 1)),)


def test_paragraphs_are_read_from_question_sets(tmp_path: Path) -> None:
    paragraphs = [
        {"context": f"Paragraph {n}.", "qas": [{"question": f"What is {n}?", "answers": []}]}
        for n in range(3)
    ]
    hotpot = {
        "question": "Who?",
        "supporting_facts": [["B", 0]],
        "context": [["A", ["One.", " Two."]], ["B", ["Three."]]],
    }
    musique = {
        "question": "Where?",
        "paragraphs": [
            {"title": "C", "paragraph_text": "Four.", "is_supporting": True},
            {"title": "D", "paragraph_text": "Five.", "is_supporting": False},
        ],
    }
    sets = {
        "squad": {"data": [{"title": "T", "paragraphs": paragraphs}]},
        "multihop": [hotpot, musique],
    }
    read = {}
    for name, value in sets.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
        found, (read[found],) = read_histories(tmp_path / f"{name}.json")
    assert [turn.said for turn in read["squad"].turns] == [f"Paragraph {n}." for n in range(3)]
    assert [asked.gold for asked in read["squad"].asked] == [(0,), (1,), (2,)]
    said = [turn.said for turn in read["multihop"].turns]
    assert said == ["A\nOne. Two.", "B\nThree.", "C\nFour.", "D\nFive."]
    assert [asked.gold for asked in read["multihop"].asked] == [(1,), (2,)]


def test_coverage_is_the_share_of_the_evidence_that_the_budget_buys() -> None:
    turns = [Turn(0, "", "one two three " * 10) for _ in range(4)]  # 30 words: 45 tokens
    assert [turn.tokens for turn in turns] == [45] * 4
    assert filled([2, 0, 1], [turn.tokens for turn in turns], 100) == [2, 0]
    asked = Asked("?", "1", (0, 3))
    assert coverage(asked, {0: 1.0, 2: 1.0}) == 0.5
    assert coverage(asked, {0: 0.5}) == 0.25


def test_recalled_text_is_mapped_to_turns(
    conversation: Path, embedder: Embedder, tmp_path: Path
) -> None:
    _, (history,) = read_histories(conversation)
    stored = Stored(history, embedder, tmp_path)
    assert stored.recall("quinces behind the mill", 24) == {0: 1.0}
    assert stored.recall("quinces behind the mill", 1000) == dict.fromkeys(range(6), 1.0)
    stored.close()


def test_ways_to_cut_cover_the_text_in_order(embedder: Embedder) -> None:
    text = " ".join(f"Sentence {n} is about the {'ferry' if n < 9 else 'bees'}." for n in range(20))
    for name, segmenter in segmenters(embedder).items():
        events = segmenter.cut(text)
        assert len(events) > 1, name
        assert text[events[0][0] : events[-1][1]] == text
        assert all(a < b <= c < d for (a, b), (c, d) in pairwise(events))
    fixed = Windows(10).cut("one two three four five six seven eight nine ten eleven")
    assert fixed == [(0, 39), (40, 55)]
    assert Windows().cut("") == []


def test_the_design_is_taken_apart_on_the_same_questions(
    conversation: Path, embedder: Embedder
) -> None:
    _, histories = read_histories(conversation)
    rows = ablated("locomo", histories, embedder, lambda line: None)
    assert len(rows) == 8
    own = next(r for r in rows if (r["events"], r["for neighbours"]) == OWN_WAY)
    assert own["@2000"] == 1
    assert [own[f"{figure} @1000"] for figure in ("gain", "low", "high")] == [0, 0, 0]
    assert all(row["low @1000"] <= row["gain @1000"] <= row["high @1000"] for row in rows)


def test_the_report_has_its_figures_beside_the_baselines(run: Run, conversation: Path) -> None:
    result = run("bench", "recall", "--data", conversation, "--json", "--plot", conversation.parent)
    assert (conversation.parent / "recall-locomo.png").read_bytes().startswith(b"\x89PNG")
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    jsonschema.validate(value, json.loads(SCHEMA.read_text()))
    metrics = value["metrics"]
    assert metrics["coverage@7000"] == metrics["coverage@7000_locomo"] == 1
    assert metrics["coverage_cat1@2000"] == 1
    assert metrics["floor_coverage@2000"] > 0.7
    assert 0 < metrics["query_p50_ms"] <= metrics["query_p95_ms"]
    assert {row["way"] for row in value["rows"]} == {"words", "vectors", "ranks fused", "memagent"}
    every = [row for row in value["rows"] if row["category"] == "all"]
    assert {row["questions"] for row in every} == {4}


def test_what_holds_no_evidence_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    for text in ("nothing", "[]", '[{"conversation": {}}]', '{"data": []}'):
        path = tmp_path / "notes.json"
        path.write_text(text)
        with pytest.raises(InputError, match=r"histories|holds no questions"):
            read_histories(path)
    result = run("bench", "recall", "--data", tmp_path / "missing.json")
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
