"""Measure how much of the evidence each answer strategy shows the engine.

Each strategy gets the same questions with the same budget, through the whole agent. The answers
themselves are not compared, since that needs a judge, only the evidence that they can use. Works
with any engine that generates text; the figures are those of that engine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from memagent.agent.graph import Agent
from memagent.agent.session import ASK_SESSION, Session
from memagent.engines.base import Engine
from memagent.memory.index.embedder import Embedder
from memagent.memory.store.locators import events_at
from memagent.settings import Settings
from memagent.types import Answer
from memagent_bench.bootstrap import paired_gain
from memagent_bench.data.files import read_histories
from memagent_bench.data.items import Asked
from memagent_bench.measures.recall.score import coverage
from memagent_bench.measures.recall.stored import Stored
from memagent_bench.report import CheckError, Report, fail_on_warnings, hash_of
from memagent_bench.sample import thinned

__all__ = ["WAYS", "measure"]

BUDGET = 500

WAYS: Mapping[str, dict[str, Any]] = {
    "one call": {},
    "further questions": {"hops": 2},
    "vote of chunks": {"votes": 4},
    "outline": {"outline": True},
}

# Enough for an answer to start; its text is ignored.
_MAX_TOKENS = 16


@fail_on_warnings()
def measure(
    engine: Engine,
    data: Path,
    *,
    limit: int = 8,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Ask up to `limit` questions of each history with every strategy.

    Raises InputError, EngineError or CheckError.
    """
    name, histories = read_histories(data)
    embedder = Embedder()
    covered: dict[str, list[float]] = {way: [] for way in WAYS}
    used: dict[str, list[tuple[int, int]]] = {way: [] for way in WAYS}
    for history in histories:
        with (
            tempfile.TemporaryDirectory(prefix="memagent-bench-") as folder,
            closing(Stored(history, embedder, Path(folder))) as stored,
        ):
            for asked in thinned(history.asked, limit):
                for way, how in WAYS.items():
                    answer = _ask(stored, engine, asked, how)
                    covered[way].append(coverage(asked, _shares(stored, answer)))
                    used[way].append((answer.usage.prompt, answer.explain["spent"]))
        tell(f"{name}: {history.name}, {len(covered['one call'])} questions so far")
    rows = [_row(way, covered, used[way]) for way in WAYS]
    return Report(
        bench="loops",
        data={"file": data.name, "sha256": hash_of([data])},
        metrics={
            f"{row['way'].replace(' ', '_')}_{key}": row[key]
            for row in rows
            for key in ("coverage", "gain", "prompt_tokens")
        },
        rows=rows,
        notes=(
            f"{len(covered['one call'])} questions of {name}, {BUDGET} tokens of recalled text in "
            f"the prompt of the answer, engine {engine.name}: {engine.model}.",
            "coverage: mean share of the evidence in that prompt. gain: over one call, with a 95 % "
            "interval by paired bootstrap. prompt_tokens: mean over questions, of all calls.",
        ),
    )


def _ask(stored: Stored, engine: Engine, asked: Asked, how: Mapping[str, Any]) -> Answer:
    settings = Settings(engine="vllm", budget=BUDGET, max_tokens=_MAX_TOKENS, **how)
    session = Session(Agent(stored.memory, engine, settings), ASK_SESSION, remembered=False)
    answer = session.ask(asked.question)
    if answer.ended == "interrupted" or answer.explain["spent"] > BUDGET:
        raise CheckError(f"{asked.question!r}: {answer.state}, {answer.explain['spent']} tokens")
    return answer


def _shares(stored: Stored, answer: Answer) -> dict[int, float]:
    """The share of each turn that the engine saw."""
    found: dict[int, float] = {}
    chosen = answer.explain["chosen"]
    places = [(line["source_id"], line["start"], line["end"]) for line in chosen]
    memory = stored.memory
    for event in events_at(memory.store, memory.sources.namespace_id, places):
        for number, share in stored.turns_of(event):
            found[number] = min(found.get(number, 0.0) + share, 1.0)
    return found


def _row(
    way: str, covered: Mapping[str, Sequence[float]], used: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    import numpy as np

    own = np.array(covered[way])
    gain, low, high = paired_gain(own, np.array(covered["one call"]))
    return {
        "measure": "ways",
        "way": way,
        "questions": len(own),
        "coverage": round(float(own.mean()), 4),
        "gain": gain,
        "low": low,
        "high": high,
        "prompt_tokens": round(sum(prompt for prompt, _ in used) / len(used)),
        "evidence_tokens": round(sum(spent for _, spent in used) / len(used)),
    }
