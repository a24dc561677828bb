"""Kill writing processes and check what was lost, leaked or left over.

Two processes at a time write to one store, one adding documents and one holding a conversation.
Each is killed by SIGKILL while it works, and everything that it acknowledged must be stored.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from memagent.agent.session import ASK_SESSION, Session
from memagent.agent.workspace import Workspace
from memagent.documents.ingest import ingest
from memagent.documents.open import read_stdin
from memagent.engines.pocket.engine import ACKNOWLEDGED
from memagent.memory.index.embedder import Embedder
from memagent.memory.store.database import Store
from memagent.memory.store.sources import Sources
from memagent.memory.store.spans import Spans
from memagent.settings import Settings
from memagent_bench.data.corpus import Corpus, source_data
from memagent_bench.measures.faults.killing import Ended, environment, kill, run
from memagent_bench.measures.faults.surviving import (
    Damage,
    compare_rebuilt,
    count_leaks,
    count_marks,
)
from memagent_bench.report import CheckError, Report

__all__ = ["NAMESPACES", "measure"]

# The word of a namespace occurs in all of its texts and nowhere else.
NAMESPACES = {"ada": "qhadamirolk", "ben": "qhbenzutarp"}
_SEED = 7
_SECTIONS = 192  # of a document; 32 sections are a commit
_TURNS = 16
_SESSION = "talk"
_SECRET = "secret.md"
_KILLS_BETWEEN = 50  # kills between two comparisons, during which nothing writes


@dataclass
class _World:
    """The folder of the store, what was written to it, and what was found so far."""

    folder: Path
    kills: int
    corpus: Corpus
    random: random.Random = field(default_factory=lambda: random.Random(_SEED))
    lock: threading.Lock = field(default_factory=threading.Lock)
    done: int = 0
    numbers: int = 0
    documents: list[tuple[Path, str]] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)
    damage: Damage = field(default_factory=Damage)

    def __post_init__(self) -> None:
        self.env = environment(self.folder)
        self.store = self.folder / "memory.db"
        self.index = self.folder / "memory.db.index"
        self.embedder = Embedder()

    def number(self) -> int:
        with self.lock:
            self.numbers += 1
            return self.numbers

    def sentence(self, mark: str) -> str:
        """A unique sentence that contains the namespace's word."""
        with self.lock:
            text = self.corpus.pieces(1)[0].text
            at = self.random.randrange(len(text) // 2)
        words = " ".join(text[at : at + 80].split()[1:-1])
        return f"Note {self.number()} {mark} {words.lower()}."

    def killed(self, phase: str, ended: Ended) -> None:
        with self.lock:
            self.damage.rebuilt_indexes += ended.errors.count("rebuilt from the store")
            if ended.killed:
                self.done += 1
                self.phases[phase] += 1


def measure(kills: int = 100, *, tell: Callable[[str], None] = lambda line: None) -> Report:
    """Run the benchmark in a temporary folder. Raises CheckError if a process fails on its own."""
    with tempfile.TemporaryDirectory(prefix="memagent-faults-") as folder:
        world = _World(Path(folder), kills, Corpus(_SEED, 8))
        rows = []
        for goal in (*range(_KILLS_BETWEEN, kills, _KILLS_BETWEEN), kills):
            forgotten = _plant(world)
            with ThreadPoolExecutor(2) as pool:
                lanes = [pool.submit(lane, world, goal) for lane in (_adding, _talking)]
            for lane in lanes:
                lane.result()
            row = _compare(world, forgotten)
            rows.append(row)
            tell(", ".join(f"{name} {value}" for name, value in row.items() if name != "phases"))
    found = world.damage
    metrics = {
        "kills": world.done,
        "lost": len(found.losses),
        "leaks": found.leaks,
        "bytes_after_forget": found.marks_left,
        "integrity_failures": found.integrity_failures,
        "search_differences": found.search_differences,
        "rebuilt_indexes": found.rebuilt_indexes,
    }
    return Report("faults", source_data(), metrics, rows, _NOTES)


_NOTES = (
    "two processes write at a time, `add --jsonl` and `chat` over a pipe, engine pocket; each is "
    "killed by SIGKILL and restarted on the same store",
    "lost: spans or turns that were acknowledged but are not stored verbatim",
    "search_differences: queries whose lexical or dense ranking differs from that of a copy "
    "whose events, words, vectors and index were rebuilt",
    "bytes_after_forget: occurrences of a forgotten word in the bytes of store, log and index",
    "phases: the state of the work in the store right after a kill",
)


def _adding(world: _World, goal: int) -> None:
    """Add documents until enough processes were killed; a killed one is resumed."""
    path, namespace = _document(world)
    embedding, stored = 4.0, False
    while world.done < goal:
        reached, delay = _moment_of_adding(world, embedding, stored)
        arguments = ["add", path.name, "--jsonl", "-n", namespace]
        ended = kill(arguments, world.env, reached, delay)
        phase = _check_document(world, namespace, path, ended.lines)
        world.killed(f"add: {phase}", ended)
        stored = phase not in ("start", "text")
        if not ended.killed:
            embedding, stored = 0.7 * ended.seconds, False
            path, namespace = _document(world)


def _moment_of_adding(
    world: _World, embedding: float, stored: bool
) -> tuple[Callable[[int], bool], float]:
    """A moment to kill `add`: a condition on the number of printed lines, and a delay in seconds.

    It falls while the text is committed, while it is embedded, or while the index is saved.
    """
    draw = world.random.random()
    if draw < 0.6 and not stored:
        commits = world.random.randrange(_SECTIONS // 32)
        return lambda said: said >= commits, world.random.uniform(0, 0.02 if commits else 0.5)
    if draw < 0.8:
        return lambda said: said > 0, world.random.uniform(0, 1.2 * embedding)
    return lambda said: any(world.index.glob("*.tmp")), world.random.uniform(0, 0.004)


def _document(world: _World) -> tuple[Path, str]:
    namespace, mark = world.random.choice(sorted(NAMESPACES.items()))
    path = world.folder / f"document-{world.number()}.md"
    sections = (f"# Section {number}\n\n{world.sentence(mark)}\n\n" for number in range(_SECTIONS))
    path.write_text("".join(sections), encoding="utf-8")
    world.documents.append((path, namespace))
    return path, namespace


def _check_document(world: _World, namespace: str, path: Path, lines: Sequence[str]) -> str:
    """Record acknowledged text that is missing; return how far the work had got."""
    wanted = path.read_text(encoding="utf-8")
    said = [json.loads(line) for line in lines]
    store = Store(world.store)
    source = Sources(store, namespace).find(path.name, "document")
    text = Spans(store).text(source.id) if source else ""
    spans = Spans(store).count(source.id) if source else 0
    acknowledged = max((line["spans"] for line in said), default=0)
    chars = max((line["chars"] for line in said), default=0)
    lost = []
    if spans < acknowledged or len(text) < chars:
        said_of = f"{acknowledged} spans, {chars} characters"
        lost.append(f"{path.name}: {said_of} acknowledged, {spans}, {len(text)} stored")
    if not wanted.startswith(text) or (source and source.complete and text != wanted):
        lost.append(f"{path.name}: {len(text)} stored characters differ from the file")
    phase = "start"
    if source and spans:
        phase = _phase(store, source.id) if source.complete else "text"
    world.damage.note(lost=lost, integrity=store.integrity())
    store.close()
    return phase


def _phase(store: Store, source_id: int) -> str:
    """The next phase for a document with complete text."""
    if store.row(
        "SELECT 1 FROM spans WHERE source_id = ? AND segmenter IS NULL LIMIT 1", source_id
    ):
        return "segmentation"
    waiting = store.row(
        """SELECT 1 FROM events e WHERE e.source_id = ?
           AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.event_id = e.id) LIMIT 1""",
        source_id,
    )
    return "embedding" if waiting else "index"


def _talking(world: _World, goal: int) -> None:
    """Hold conversations until enough processes were killed."""
    said: dict[str, list[str]] = {name: _stored_turns(world, name) for name in NAMESPACES}
    kept: dict[str, list[str]] = {name: list(turns) for name, turns in said.items()}
    while world.done < goal:
        namespace, mark = world.random.choice(sorted(NAMESPACES.items()))
        turns = [world.sentence(mark) for _ in range(_TURNS)]
        answers = world.random.randint(0, _TURNS - 1)
        delay = world.random.uniform(0, 0.06) if answers else world.random.uniform(0, 5)
        arguments = ["chat", "-s", _SESSION, "-n", namespace]
        ended = kill(
            arguments,
            world.env,
            lambda said, answers=answers: said >= answers,  # type: ignore[misc]
            delay,
            "".join(f"{turn}\n" for turn in turns),
        )
        acknowledged = sum(line == ACKNOWLEDGED for line in ended.lines)
        kept[namespace] += turns[:acknowledged]
        said[namespace] += turns
        stored = _stored_turns(world, namespace)
        lost = []
        if missing := set(kept[namespace]) - set(stored):
            lost.append(f"{namespace}: acknowledged and not stored: {sorted(missing)[:3]}")
        # A turn that was committed but not yet acknowledged when the kill came may appear only
        # after SQLite recovers its log: it may be late, but in its place and unchanged.
        rest = iter(said[namespace])
        if not all(turn in rest for turn in stored):
            lost.append(f"{namespace}: the stored turns are not those that were sent, in order")
        new = [turn for turn in stored if turn in turns]
        store = Store(world.store)
        world.damage.note(lost=lost, integrity=store.integrity())
        store.close()
        phase = "answer" if len(new) > acknowledged else "between turns" if new else "start"
        world.killed(f"chat: {phase}", ended)


def _stored_turns(world: _World, namespace: str) -> list[str]:
    store = Store(world.store)
    session = Sources(store, namespace).find(_SESSION, "session")
    spans = Spans(store).of(session.id) if session else []
    store.close()
    return [span.text for span in spans if span.role == "user"]


def _plant(world: _World) -> str:
    """Store a text with a word that will be forgotten; return the word."""
    mark = "wx" + "".join(world.random.choices("bcdfghjklmnpqrstvz", k=14))
    text = f"The secret is {mark}. Nobody may know {mark}.\n"
    settings = Settings(store=world.store, namespace="ada", engine="pocket")
    with Workspace(settings) as workspace:
        memory = workspace.memory()
        ingest(memory, read_stdin(BytesIO(text.encode()), name=_SECRET))
        answer = Session(workspace.agent(), ASK_SESSION, remembered=False).ask(
            "What is the secret?"
        )
    if mark not in answer.text:
        raise CheckError(f"the answer does not quote the text to forget: {answer.text}")
    return mark


def _compare(world: _World, forgotten: str) -> dict[str, Any]:
    """With no writer running, forget, then compare search, namespaces and bytes."""
    for path, namespace in world.documents:
        _check_document(world, namespace, path, ())
    place = (world.store, world.index, world.embedder, NAMESPACES)
    segmenter = Workspace(Settings()).segmenter  # the one that the programs use
    differences, queries = compare_rebuilt(*place, world.corpus, segmenter)
    leaks = count_leaks(*place)
    if not count_marks(world.folder, world.store, forgotten):
        raise CheckError("the word to forget is not in the bytes of the store")
    run(["memory", "forget", _SECRET, "--yes", "-n", "ada"], world.env)
    left = count_marks(world.folder, world.store, forgotten)
    world.damage.note(search_differences=differences, leaks=leaks, marks_left=left)
    store = Store(world.store)
    counts = store.rows("SELECT count(*) AS n FROM events")[0]["n"]
    spans = store.rows("SELECT count(*) AS n FROM spans")[0]["n"]
    store.close()
    return {
        "kills": world.done,
        "spans": spans,
        "events": counts,
        "lost": list(world.damage.losses),
        "leaks": leaks,
        "queries": queries,
        "search_differences": differences,
        "bytes_after_forget": left,
        "phases": dict(sorted(world.phases.items())),
    }
