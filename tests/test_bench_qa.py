"""Question sets: reading each format, rejecting malformed files, and scoring."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from memagent.errors import InputError
from memagent_bench.data.fairytale import fairytale
from memagent_bench.data.files import held_out
from memagent_bench.data.friends import friends
from memagent_bench.data.items import find_all
from memagent_bench.measures.answer_scores import exact, f1

SQUAD = {
    "data": [
        {
            "title": "Harbour",
            "paragraphs": [
                {
                    "context": "The harbour was built in 1884 by Ada Frost.",
                    "qas": [
                        {
                            "id": "1",
                            "question": "Who built the harbour?",
                            "answers": [{"text": "Ada Frost", "answer_start": 33}],
                        }
                    ],
                }
            ],
        }
    ]
}
QUESTIONS = (
    "question_id,local-or-sum,cor_section,question,answer1,answer2\n"
    '1,local,1,"Who slept, and where?",the  fox,under a tree.\n'
    '2,summary,"1,2",What did the fox find?,nothing at all,\n'
)
STORY = 'section,text\n1,"The fox\nslept under a tree."\n2,He woke hungry.\n'


def dialogue(number: int) -> dict[str, object]:
    return {
        "title": f"d{number}",
        "paragraphs": [
            {
                "utterances:": [
                    {"uid": 0, "speakers": ["Ross", "Joey"], "utterance": "We saw it ."},
                    {"uid": 1, "speakers": [], "utterance": "[ They leave . ]"},
                ],
                "qas": [
                    {
                        "id": "1",
                        "question": "Who saw it ?",
                        "answers": [
                            {"answer_text": "x", "utterance_id": 0, "is_speaker": True,
                             "inner_start": -1, "inner_end": -1},
                            {"answer_text": "They leave", "utterance_id": 1, "is_speaker": False,
                             "inner_start": 1, "inner_end": 2},
                        ],
                    }
                ],
            }
        ],
    }  # fmt: skip


def test_squad(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps(SQUAD))
    (item,) = held_out(path)
    assert [item.passage[a:b] for a, b in item.spans] == ["Ada Frost"]
    assert (item.source, item.group) == ("xquad", "Harbour")


def test_friends_spans_and_split(tmp_path: Path) -> None:
    value = {"data": [dialogue(i) for i in range(11)]}
    kept, taught = friends(value, "held-out"), friends(value, "train")
    assert [item.group for item in kept] == ["d4", "d9"]
    assert len(taught) == 9
    assert kept[0].passage == "Ross and Joey: We saw it .\nScene: [ They leave . ]"
    assert kept[0].answers == ("Ross and Joey", "They leave")
    path = tmp_path / "set.json"
    path.write_text(json.dumps(value))
    assert held_out(path) == kept


def test_fairytale_from_an_archive_and_a_folder(tmp_path: Path) -> None:
    files = {
        "data/questions/val/fox-questions.csv": QUESTIONS,
        "data/section-stories/val/fox-story.csv": STORY,
    }
    archive = tmp_path / "set.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    folder = tmp_path / "folder"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    first, second = held_out(archive)
    assert [first, second] == held_out(folder)
    assert [first.passage[a:b] for a, b in first.spans] == ["The fox", "under a tree"]
    assert second.passage == "The fox\nslept under a tree.\n\nHe woke hungry."
    assert (second.spans, second.answers) == ((), ("nothing at all",))
    assert fairytale(files, "train") == []


@pytest.mark.parametrize(
    "text", ["{}", "[]", "not json", '{"data": []}', '{"data": [{"paragraphs": [{}]}]}', ""]
)
def test_files_that_are_no_data_set_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "set.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        held_out(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        held_out(tmp_path / "none.json")
    broken = tmp_path / "set.tar.xz"
    broken.write_bytes(b"\x00" * 100)
    with pytest.raises(InputError, match="cannot be read"):
        held_out(broken)


def test_answers_are_found_as_whole_words() -> None:
    text = "An art of Art; the ART\n of war. Particular art"
    found = [text[a:b] for a, b in find_all(text, "art")]
    assert found == ["art", "Art", "ART", "art"]
    assert [text[a:b] for a, b in find_all(text, "art of war.")] == ["ART\n of war"]
    assert find_all(text, " ") == []


def test_scores() -> None:
    assert exact("The  Gate-code!", ["gatecode"]) == 1.0
    assert exact("gate", ["gate code"]) == 0.0
    assert f1("the red door", ["a red door", "door"]) == 1.0
    assert f1("red door handle", ["a blue door"]) == pytest.approx(2 / 5)
    assert f1("", ["x"]) == 0.0
    assert f1("x", []) == 0.0
