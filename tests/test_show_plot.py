"""`memagent memory show --plot`: surprise as text, pictures and JSON."""

import json
import re
import shutil
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
from rich.cells import cell_len

from memagent_bench.measures.faults import killing
from tests.conftest import Run
from tests.test_cli import check_schema, one_line

TEXT = topics["with"] + topics["import"]
ROW = re.compile(r" *(\d+) ([█▏▎▍▌▋▊▉┃ ]*) +(\d+\.\d\d)(?: (.*))?")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that holds the notes."""
    folder = tmp_path_factory.mktemp("made")
    killing.run(["add", "-", "--name", "notes"], killing.environment(folder), TEXT)
    return folder


@pytest.fixture
def notes(run: Run, made: Path, tmp_path: Path) -> Run:
    """The program over a copy of that store."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return run


def numbers(run: Run, *arguments: str) -> dict[str, Any]:
    shown = run("memory", "show", "notes", "--plot", "--json", *arguments)
    assert shown.returncode == 0, shown.stderr
    value: dict[str, Any] = json.loads(shown.stdout)
    check_schema("plot", value)
    return value


def test_the_numbers_are_those_that_the_events_were_cut_by(notes: Run) -> None:
    value = numbers(notes)
    events = json.loads(notes("memory", "show", "notes", "--events", "--json").stdout)
    assert value["events"] == [{"start": e["start"], "end": e["end"]} for e in events]
    sentences = value["sentences"]
    assert [s["start"] for s in sentences if s["begins"]] == [e["start"] for e in events]
    assert all(0 < s["surprise"] < 20 for s in sentences)
    assert [s["threshold"] is None for s in sentences[:3]] == [True, True, False]
    surprising = [s["surprise"] > (s["threshold"] or 99) for s in sentences]
    begun = [s["begins"] for s, high in zip(sentences, surprising, strict=True) if high]
    assert 0 < sum(begun) <= len(begun)

    notes("memory", "resegment", "--gamma", "3", "--head", "4")
    other = numbers(notes)
    assert other["head"] == 4
    assert len(other["events"]) < len(events)
    assert other["sentences"][5]["threshold"] > sentences[5]["threshold"]


@pytest.mark.parametrize("columns", [40, 80, 133])
def test_bars_fit_the_terminal_and_are_as_long_as_the_surprise(notes: Run, columns: int) -> None:
    shown = notes("memory", "show", "notes", "--plot", COLUMNS=str(columns))
    assert (shown.returncode, shown.stderr) == (0, "")
    head, legend, *lines = shown.stdout.splitlines()
    value = numbers(notes)
    count = f"{len(value['sentences'])} sentences in {len(value['events'])} events"
    assert head == f"notes, characters 0-{len(TEXT)} of {len(TEXT)}: {count}"
    assert "┃ threshold" in legend
    assert "\x1b" not in shown.stdout
    assert max(map(cell_len, lines)) <= columns
    events = [line.removeprefix("▸ ") for line in lines if line.startswith("▸ ")]
    assert events == [f"{e['start']}-{e['end']}" for e in value["events"]]
    rows = [ROW.fullmatch(line) for line in lines if not line.startswith("▸ ")]
    assert len(rows) == len(value["sentences"])
    for row, sentence in zip(rows, value["sentences"], strict=True):
        assert row is not None
        place, bar, nats, words = row.groups()
        assert int(place) == sentence["start"]
        assert float(nats) == pytest.approx(sentence["surprise"], abs=0.006)
        assert ("┃" in bar) == (sentence["threshold"] is not None)
        begins = " ".join(TEXT[sentence["start"] : sentence["end"]].split())
        assert begins.startswith((words or "").strip())
    least, most = (
        end(rows, key=lambda row: float(row[3]))[2].count("█")  # type: ignore[index]
        for end in (min, max)
    )
    assert least < most


def test_it_is_paged_like_the_text(notes: Run) -> None:
    whole = notes("memory", "show", "notes", "--plot").stdout.splitlines()
    longest = max(numbers(notes)["sentences"][2:12], key=lambda s: s["end"] - s["start"])
    start = longest["start"] + 3
    page = ("--start", str(start), "--end", "2000")
    first, _, *lines = notes("memory", "show", "notes", "--plot", *page).stdout.splitlines()
    assert first.startswith(f"notes, characters {start}-2000 of {len(TEXT)}")
    places = [int(line.split()[0]) for line in lines if not line.startswith("▸")]
    assert len(places) < len(whole) / 2
    assert places[0] == start - 3
    assert places[-1] < 2000
    value = numbers(notes, *page)
    assert [s["start"] for s in value["sentences"]] == places
    assert (value["start"], value["end"]) == (start, 2000)


def test_pictures_are_written(notes: Run, tmp_path: Path) -> None:
    png = notes("memory", "show", "notes", "--plot-file", "new/notes.png")
    assert (png.returncode, png.stdout) == (0, "")
    assert "drew new/notes.png" in one_line(png.stderr)
    assert (tmp_path / "new" / "notes.png").read_bytes().startswith(b"\x89PNG")
    svg = notes("memory", "show", "notes", "--plot", "--plot-file", "notes.svg", "--end", "900")
    assert svg.returncode == 0
    assert svg.stdout.startswith("notes, characters 0-900")
    assert "<svg" in (tmp_path / "notes.svg").read_text()


def test_without_matplotlib_it_says_what_to_install(notes: Run, tmp_path: Path) -> None:
    (tmp_path / "without" / "matplotlib").mkdir(parents=True)
    (tmp_path / "without" / "matplotlib" / "__init__.py").write_text("raise ImportError")
    path = str(tmp_path / "without")
    result = notes("memory", "show", "notes", "--plot-file", "x.png", PYTHONPATH=path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "pip install memagent[plot]" in one_line(result.stderr)
    assert notes("memory", "show", "notes", "--plot", PYTHONPATH=path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["notes", "--plot", "--start", "99999"], 2, "no text between 99999"),
        (["notes", "--plot", "--events"], 2, "choose one of them"),
        (["notes", "--plot-file", "x.pdf"], 2, "a name that ends in .png or .svg"),
        (["notes", "--plot-file", "file/x.png"], 1, "choose another --plot-file"),
        (["never", "--plot"], 3, "never"),
        (["short", "--plot"], 1, "no surprise is stored for the characters 0-13 of short"),
        (["by size", "--plot", "--json"], 1, "`memagent memory resegment --score`"),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_one_line(
    notes: Run, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "file").write_text("")
    if arguments[0] == "short":
        notes("add", "-", "--name", "short", stdin="A short note.")
    if arguments[0] == "by size":
        notes("add", "-", "--name", "by size", "--segmenter", "sentences", stdin=TEXT)
    result = notes("memory", "show", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert says in one_line(result.stderr)


def test_any_name_and_any_letters_can_be_drawn(run: Run, tmp_path: Path) -> None:
    name = "価格 $a_$ & <b>"
    text = "".join(f"これは第{n}の文です。\x1b[31m港は一月に凍ります。\n\n" for n in range(30))
    assert run("add", "-", "--name", name, stdin=text).returncode == 0
    shown = run("memory", "show", name, "--plot", "--plot-file", "x.svg", COLUMNS="60")
    assert shown.returncode == 0, shown.stderr
    assert one_line(shown.stderr) == "memagent: drew x.svg"
    assert "\x1b" not in shown.stdout
    assert max(map(cell_len, shown.stdout.splitlines()[2:])) <= 60
    assert len(json.loads(run("memory", "show", name, "--plot", "--json").stdout)["events"]) > 1
