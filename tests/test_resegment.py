"""`memagent memory resegment` from stored surprise, including killed runs."""

import itertools
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from memagent.memory.namespace import Namespace
from memagent.memory.segmentation.scorer import Score, score
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.scorers.local import ModelSurprise
from memagent_bench.measures.faults import killing
from tests.conftest import Run
from tests.test_cli import one_line
from tests.test_surprises import TEXT, add, places

OTHER = topics["import"]
TURN = "The parrot of the pilot was called Möwe and knew the tide tables. " * 12
SCORER = ModelSurprise()
LOADED = "memagent.streaming.loading"

Events = dict[str, list[tuple[int, int]]]


def read(folder: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(folder / "memory.db")) as db:
        return db.execute(sql).fetchall()


def events(folder: Path) -> Events:
    """Where the events of every source are, in the order of their ids."""
    rows = read(
        folder,
        """SELECT src.name, e.start, e.end FROM events e JOIN sources src ON src.id = e.source_id
           ORDER BY e.id""",
    )
    return {
        name: [row[1:] for row in group]
        for name, group in itertools.groupby(sorted(rows, key=lambda row: row[0]), lambda r: r[0])
    }


def rules(folder: Path) -> dict[str, str]:
    """What cut every source; it fails where that is more than one rule."""
    rows = read(
        folder,
        """SELECT DISTINCT src.name, s.segmenter FROM spans s
           JOIN sources src ON src.id = s.source_id""",
    )
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def in_step(folder: Path) -> bool:
    """Whether every event has a vector and the words of the text index are those of the text."""
    with closing(sqlite3.connect(folder / "memory.db")) as db:
        db.execute("INSERT INTO events_fts (events_fts, rank) VALUES ('integrity-check', 1)")
    return (
        read(folder, "SELECT count(*) FROM events")
        == read(folder, "SELECT count FROM vector_sets")
        == read(folder, "SELECT count(*) FROM vectors")
    )


def test_one_document_is_cut_by_another_rule_without_the_model(run: Run, tmp_path: Path) -> None:
    run("add", "-", "--name", "notes", stdin=TEXT)
    run("add", "-", "--name", "other", stdin=OTHER)
    before = events(tmp_path)
    told = run(
        "memory", "resegment", "notes", "--gamma", "-1", "--tau", "8", "--most", "64",
        PYTHONPROFILEIMPORTTIME="1",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    after = events(tmp_path)
    was, now = len(before["notes"]), len(after["notes"])
    assert f"memagent: resegmented notes: {was} events before, {now} now\n" in told.stderr
    assert "memagent.memory.segmentation.boundaries" in told.stderr
    assert LOADED not in told.stderr
    assert after["other"] == before["other"]
    assert now > was
    rule = SurprisingSentences(SCORER, gamma=-1, tau=8, most=64)
    assert rules(tmp_path) == {"notes": rule.id, "other": SurprisingSentences(SCORER).id}
    assert after["notes"] == sorted(after["notes"])
    assert in_step(tmp_path)
    found = json.loads(run("search", "context manager", "--source", "notes", "--json").stdout)
    assert {(hit["start"], hit["end"]) for hit in found["hits"]} <= set(after["notes"])

    one_line(run("memory", "rebuild").stderr)
    assert events(tmp_path) == before


def test_a_namespace_is_cut_and_others_are_not(run: Run, tmp_path: Path) -> None:
    for name in ("notes", "second"):
        run("add", "-", "--name", name, "-n", "mine", stdin=TEXT)
    run("add", "-", "--name", "other", stdin=OTHER)
    before = events(tmp_path)
    told = run("memory", "resegment", "--gamma", "2", "-n", "mine")
    after = events(tmp_path)
    was, now = (2 * len(found["notes"]) for found in (before, after))
    assert f"resegmented mine: {was} events before, {now} now" in one_line(told.stderr)
    assert now < was
    assert after["notes"] == after["second"]
    assert after["other"] == before["other"]
    again = run("memory", "resegment", "--gamma", "2", "-n", "mine")
    assert f"{now} events before, {now} now" in one_line(again.stderr)


def test_unscored_text_is_unchanged_until_scoring_is_requested(run: Run, tmp_path: Path) -> None:
    run("add", "-", "--name", "old", "--segmenter", "sentences", stdin=TEXT)
    run("add", "-", "--name", "new", stdin=OTHER)
    run("add", "-", "--name", "short", "--segmenter", "sentences", stdin="A short note.")
    before, size = events(tmp_path), SurprisingSentences(SCORER, gamma=2.0).id
    alone = run("memory", "resegment", "old", "--gamma", "2")
    assert alone.returncode == 1
    assert "no surprise is stored for 1 spans of old, " in one_line(alone.stderr)
    assert "add --score" in alone.stderr
    assert events(tmp_path) == before
    both = run("memory", "resegment", "--gamma", "2")
    assert both.returncode == 1
    done, left = both.stderr.splitlines()
    assert "resegmented default" in done
    assert "spans of old, which are unchanged" in left
    assert rules(tmp_path) == {"old": "sentences-64-128", "new": size, "short": size}
    scored = run("memory", "resegment", "--gamma", "2", "--score", PYTHONPROFILEIMPORTTIME="1")
    assert scored.returncode == 0, scored.stderr
    assert LOADED in scored.stderr
    assert set(rules(tmp_path).values()) == {size}
    assert in_step(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["never"], 3, "no source 'never'"),
        (["--tau", "1"], 2, "tau must be at least 2 sentences, not 1"),
        (["--least", "40", "--most", "20"], 2, "most must be at least the 40 tokens of least"),
        (["--gamma", "nan"], 2, "gamma must be a number"),
        (["-n", "../etc"], 2, "cannot name a namespace"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(run: Run, arguments: list[str], code: int, says: str) -> None:
    result = run("memory", "resegment", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert says in one_line(result.stderr)


def test_the_events_are_those_of_a_memory_made_by_that_rule(memory: Namespace) -> None:
    memory.segmenter = SurprisingSentences(SCORER)
    source_id = add(memory, TEXT, "A short one.", OTHER)
    session = memory.sources.session("talk")
    for _ in range(3):
        memory.spans.append_turn(session.id, "user", TURN)
    withdrawn = memory.spans.append_turn(session.id, "user", "Not this one, I meant another.")
    memory.withdraw([withdrawn])
    memory.catch_up()
    rule = SurprisingSentences(SCORER, gamma=1.5, head=4, least=16, paragraph=20)
    absent = SurprisingSentences.recorded(rule.id)
    assert absent is not None
    assert memory.resegment(absent) == {}
    found = [places(memory, source) for source in (source_id, session.id)]
    ids = [event.id for event in memory.events.of(source_id)]
    assert np.all(np.diff(ids) == 1)
    recalled = [event.text for event in memory.recall("the parrot", budget=500).events]
    memory.segmenter = rule
    memory.rebuild()
    assert [places(memory, source) for source in (source_id, session.id)] == found
    assert [event.text for event in memory.recall("the parrot", budget=500).events] == recalled
    assert "Not this one" not in "".join(recalled)


def test_a_turn_that_comes_meanwhile_is_cut_too(memory: Namespace) -> None:
    session = memory.sources.session("talk")
    memory.spans.append_turn(session.id, "user", TURN)
    memory.segmenter = SurprisingSentences(SCORER)
    memory.catch_up()
    texts = [TURN]

    class Interrupted(SurprisingSentences):
        def cut(self, text: str, score: Score = score) -> list[tuple[int, int]]:
            if len(texts) == 1:
                texts.append(f"And then: {TURN}")
                memory.spans.append_turn(session.id, "user", texts[1])
            return super().cut(text, score)

    rule = Interrupted(SCORER, gamma=1.5)
    assert memory.resegment(rule, memory.sources.get("talk")) == {}
    used = memory.store.rows("SELECT DISTINCT segmenter FROM spans")
    assert used == [{"segmenter": rule.id}]
    assert len(places(memory, session.id)) >= 2


def test_kills_leave_every_source_by_one_rule_and_lose_nothing(tmp_path: Path) -> None:
    env = killing.environment(tmp_path)
    folder = tmp_path / "texts"
    folder.mkdir()
    names = ("assert", "class", "import", "try", "while", "with")
    for name in names:
        (folder / f"{name}.txt").write_text(topics[name][:5000], encoding="utf-8")
    killing.run(["add", "texts"], env)
    text = read(tmp_path, "SELECT text FROM spans ORDER BY id")
    default = events(tmp_path)
    killed = 0
    by: dict[str, Events] = {rules(tmp_path).popitem()[1]: default}
    for number, delay in enumerate((0.0, 0.02, 0.3)):
        gamma = 1.5 + number
        rule = SurprisingSentences(SCORER, gamma=gamma).id

        def begun(said: int, rule: str = rule) -> bool:
            return rule in {row[0] for row in read(tmp_path, "SELECT segmenter FROM spans")}

        ended = killing.kill(["memory", "resegment", "--gamma", str(gamma)], env, begun, delay)
        killed += ended.killed
        assert read(tmp_path, "SELECT text FROM spans ORDER BY id") == text
        mixed, now = rules(tmp_path), events(tmp_path)
        assert rule in mixed.values()
        for name, used in mixed.items():
            # Of what was cut by a rule once, the same events must be found again.
            assert by.setdefault(used, {}).setdefault(name, now[name]) == now[name]
        killing.run(["search", "statement"], env)
        assert in_step(tmp_path)
        assert events(tmp_path) == now
    assert killed >= 2
    killing.run(["memory", "check"], env)
    killing.run(["memory", "resegment"], env)
    assert events(tmp_path) == default
    assert in_step(tmp_path)
