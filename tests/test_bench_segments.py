"""The segments benchmark: measures checked by hand, data readers, methods, a program run."""

import io
import json
import tarfile
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import memagent_bench
from memagent.errors import InputError
from memagent.memory.segmentation.scorer import Surprise
from memagent_bench.data.files import read_marked
from memagent_bench.data.items import Document, sizes_of
from memagent_bench.measures.segments import graph
from memagent_bench.measures.segments.baselines import fixed, shuffled, shuffled_by_length
from memagent_bench.measures.segments.judge import DRAWS, Judge
from memagent_bench.measures.segments.measure import measure
from memagent_bench.measures.segments.score import cohesion, pk, precision_recall_f1, window_diff
from memagent_bench.measures.segments.ways import (
    WAYS,
    dips,
    most_modular,
    refined,
    strongest,
    unit_surprise,
)
from memagent_bench.report import CheckError
from tests.conftest import Run

SCHEMA = Path(memagent_bench.__file__).parent / "schemas" / "bench.json"
GARDEN = [
    "The quinces behind the mill ripen late in the autumn .",
    "A gardener prunes the pear trees before the frost .",
    "Roses want dung , and their leaves want sun .",
    "The gardener sowed the beans along the garden wall .",
]
TRIAL = [
    "The judge asked the witness to repeat his testimony .",
    "The jury found the defendant guilty of fraud .",
    "His lawyer said that he would appeal the sentence .",
]
MATHS = [
    "A matrix whose rows are orthogonal has an inverse .",
    "The theorem holds for every polynomial of odd degree .",
    "Let the sequence converge to a limit in the field .",
]
SHIFTS = """\ufeffid,clause,new-agent,location,temporal
1,I began my career in the Bronx.,0,0,0
2,"And one day, I walk to the center.",0,1,1
3,And out comes the Dean.,1,0,0
4,So I race back to the newsroom.,0,1,1
5,And I find the editor.,1,0,0
"""


def archive(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:xz") as made:
        for name, text in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(text.encode())
            made.addfile(about, io.BytesIO(text.encode()))
    return path


def joined(*passages: list[str]) -> str:
    rule = "==========\n"
    return rule + rule.join("".join(f"{line}\n" for line in passage) for passage in passages) + rule


@pytest.fixture
def choi(tmp_path: Path) -> Path:
    """Six documents of three passages each, in Choi's format."""
    orders = [(GARDEN, TRIAL, MATHS), (TRIAL, MATHS, GARDEN), (MATHS, GARDEN, TRIAL)] * 2
    files = {f"data/choi/1/3-5/{n}.ref": joined(*order) for n, order in enumerate(orders)}
    return archive(tmp_path / "choi.tar.xz", {**files, "data/choi/README": "Articles."})


def test_f1_pairs_each_boundary_with_one_gold_one() -> None:
    assert precision_recall_f1((3, 5, 9), (3, 8)) == (1 / 3, 1 / 2, 2 / 5)
    assert precision_recall_f1((3, 5, 9), (3, 8), 1) == (2 / 3, 1, 4 / 5)
    assert precision_recall_f1((2, 3, 4), (3,), 1) == (1 / 3, 1, 1 / 2)
    assert precision_recall_f1((1, 2), (2, 3), 1) == (1, 1, 1)
    assert precision_recall_f1((), (3,)) == (0, 0, 0)


def test_pk_and_window_diff_count_pairs_half_an_event_apart() -> None:
    # Eight units, two gold events: pairs two units apart, six of them.
    assert pk((4,), (4,), 8) == window_diff((4,), (4,), 8) == 0
    assert pk((5,), (4,), 8) == window_diff((5,), (4,), 8) == 2 / 6
    assert pk((4, 5), (4,), 8) == 1 / 6
    assert window_diff((4, 5), (4,), 8) == 2 / 6
    assert pk((), (4,), 8) == 2 / 6


def test_cohesion_is_the_mean_over_pairs_of_units() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]])
    prefix = np.concatenate((np.zeros((1, 2)), vectors.cumsum(0)))
    inside, between = cohesion(prefix, (2,))
    assert inside == pytest.approx((1 + 0.8) / 2)
    assert between == pytest.approx((0 + 0.6 + 0 + 0.6) / 4)
    assert np.isnan(cohesion(prefix, ())[1])
    assert np.isnan(cohesion(prefix, (1, 2, 3))[0])


def test_baselines_keep_sizes_and_number() -> None:
    source = np.random.default_rng(1)
    drawn = {shuffled((1, 3, 7), 12, source) for _ in range(200)}
    assert {tuple(sorted(sizes_of(each, 12))) for each in drawn} == {(1, 2, 4, 5)}
    assert len(drawn) == 24
    document = Document("d", ("a" * 9, "b" * 99, "c" * 9, "d" * 9), (1,))
    drawn = {shuffled_by_length((1, 2), document, source) for _ in range(50)}
    # 10, 100 and 19 characters in some order, the units at 0, 10, 110 and 120.
    assert drawn == {(1,), (1, 2), (1, 3), (2,), (2, 3)}
    assert fixed(3, 12) == (3, 6, 9)
    assert sizes_of(fixed(3, 10), 10) == [2, 3, 3, 2]
    assert fixed(0, 10) == ()


def test_a_place_in_the_text_belongs_to_the_unit_that_begins_nearest() -> None:
    document = Document("d", ("one two", "three", "four five six"), (2,))
    assert document.starts == [0, 8, 14]
    assert document.text[document.starts[2] :] == "four five six"
    assert document.boundaries([0, 3, 9, 12, 25]) == (1, 2)


def test_each_format_tells_units_and_boundaries(choi: Path, tmp_path: Path) -> None:
    marked = read_marked(choi)
    assert (marked.name, len(marked.documents), marked.tolerance) == ("choi", 6, 1)
    assert marked.documents[0].units == (*GARDEN, *TRIAL, *MATHS)
    assert marked.documents[0].gold == (4, 7)
    meeting = {
        "meeting_transcripts": [{"speaker": "Chair", "content": f"Item\n{n}."} for n in range(9)],
        "topic_list": [
            {"topic": "a", "relevant_text_span": [["0", "2"], ["7", "8"]]},
            {"topic": "b", "relevant_text_span": [["3", "6"]]},
        ],
    }
    (tmp_path / "m.json").write_text(json.dumps(meeting))
    marked = read_marked(tmp_path / "m.json")
    assert (marked.name, marked.unit) == ("qmsum", "turn")
    assert marked.documents[0].units[4] == "Chair: Item 4."
    assert marked.documents[0].gold == (3, 7)
    tables = {"ratings/s.csv": SHIFTS, "stories/s.csv": "id,clause\n1,I began.\n"}
    marked = read_marked(archive(tmp_path / "s.tar.xz", tables))
    assert (marked.name, len(marked.documents)) == ("shifts", 1)
    assert marked.documents[0].gold == (1, 3)


def test_ways_find_what_is_planted() -> None:
    keys = np.repeat(np.eye(3), [8, 4, 12], axis=0)
    assert most_modular(keys, 2, 2) == (8, 12)
    assert most_modular(keys, 99, 8) == (12,)
    assert strongest(dips(keys, 3), 2, 2) == (8, 12)
    assert refined(keys, (3, 13)) == (8, 12)
    assert strongest(np.array([9, 1, 8, 7, 0, 6, 9.0]), 9, 2) == (2, 5)
    document = Document("d", ("ab", "cd"), (1,))
    offsets = np.array([[0, 1], [1, 2], [2, 4], [4, 5]])  # "\nc" is one token
    nats = np.array([1, 3, 5, 9], dtype=np.float32)
    assert unit_surprise(document, Surprise(offsets, nats)).tolist() == [2, 7]


def test_a_gain_comes_with_its_interval_over_documents() -> None:
    judge = Judge(1, np.random.default_rng(2))
    vectors = np.repeat(np.eye(2), 6, axis=0)
    prefix = np.concatenate((np.zeros((1, 2)), vectors.cumsum(0)))
    for _ in range(3):
        judge.add(Document("d", ("u",) * 12, (6,)), prefix, (2, 6))
    rows = {row["measure"]: row for row in judge.rows()}
    f1 = rows["f1"]
    assert (f1["documents"], f1["units per event"], f1["measured"]) == (3, 4, 0.6667)
    # Sizes 2, 4 and 6: in four of six orders a boundary is at 6.
    assert f1["random"] == pytest.approx(4 / 9, abs=1 / DRAWS**0.5)
    assert (f1["fixed"], f1["over fixed"], f1["over fixed 95 %"]) == (0, 0.6667, [0.6667, 0.6667])
    assert rows["similarity inside over between"]["measured"] == 1 / (8 / 32)
    judge = Judge(1, np.random.default_rng(2))
    judge.add(Document("d", ("u",) * 12, (6,)), prefix, ())
    (ratio,) = (row for row in judge.rows() if row["measure"].startswith("similarity"))
    assert (ratio["measured"], ratio["over random 95 %"]) == (None, None)


def test_no_figure_where_refinement_is_not_the_graphs(
    monkeypatch: pytest.MonkeyPatch, choi: Path
) -> None:
    graph.check(50)
    monkeypatch.setattr(graph, "best_cut", lambda keys, original: original)
    with pytest.raises(CheckError, match="is cut at"):
        measure([choi], tell=lambda line: None)


def test_the_report_has_every_way_beside_its_baselines(
    run: Run, choi: Path, tmp_path: Path
) -> None:
    (tmp_path / "shifts.csv").write_text(SHIFTS)
    data = ("--data", choi, "--data", tmp_path / "shifts.csv")
    result = run("bench", "segments", *data, "--limit", "4", "--plot", tmp_path, "--json")
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    jsonschema.validate(value, json.loads(SCHEMA.read_text()))
    metrics = value["metrics"]
    assert metrics["people_f1_choi"] == metrics["most_modular_f1_choi"] == 1
    assert metrics["people_pk_choi"] == metrics["people_window_diff_choi"] == 0
    assert metrics["people_similarity_choi"] > 1 > metrics["people_f1_random_choi"]
    assert metrics["windows_checked"] == 1000
    assert metrics["graph_over_refinement@512"] > 1
    f1 = [row for row in value["rows"] if row["measure"] == "f1"]
    assert [row["way"] for row in f1] == ["people", *WAYS] * 2
    # Three of six are taken, the second of them is reported.
    assert {row["documents"] for row in f1} == {1}
    along = [row for row in value["rows"] if row["measure"] == "along a document"]
    assert [row["unit"] for row in along if row["begins, people"]] == [3, 7]
    assert (tmp_path / "segments-surprise.png").read_bytes().startswith(b"\x89PNG")


def test_what_holds_no_boundaries_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    texts = {"a.json": '{"meeting_transcripts": [], "topic_list": []}', "b.json": "[]"}
    texts |= {"c.csv": "id,clause\n1,I began.\n", "d.ref": "=====\nOne.\n=====\n", "e.txt": "no"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=r"segments|holds no documents"):
            read_marked(tmp_path / name)
    result = run("bench", "segments", "--data", tmp_path / "missing.json")
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
