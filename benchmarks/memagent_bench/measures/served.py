"""Measure the overhead of the agent on a server, and how well prompts use its prefix cache.

The product runs a batch of questions, and a bare client sends the same prompts with the same
concurrency. Then a conversation is held, and the counters of the server tell how many tokens of its
prompts were cached. No figures are reported unless both got every answer in full.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.agent.session import Session
from memagent.agent.workspace import Workspace
from memagent.batch.results import Results
from memagent.batch.rows import read_rows
from memagent.batch.runner import Batch
from memagent.documents.ingest import ingest
from memagent.documents.open import read_stdin
from memagent.engines.base import Engine
from memagent.engines.openai.engine import VllmEngine
from memagent.engines.openai.errors import ReplyError
from memagent.engines.openai.metrics import read_metrics
from memagent.errors import UsageError
from memagent.memory.store.batches import Batches
from memagent.settings import Settings
from memagent_bench.data.corpus import source_data
from memagent_bench.report import CheckError, Report, fail_on_warnings

if TYPE_CHECKING:
    import httpx2

__all__ = ["CONCURRENCY", "measure"]

CONCURRENCY = 32
_ROUNDS = 3
_TURNS = 20
_SMALL_WINDOW = 8192
_HITS, _QUERIES = "vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"


class _Recorded(VllmEngine):
    """The product's engine, which records what it sends."""

    def __init__(self, url: str, context: int | None = None) -> None:
        super().__init__(url, context=context)
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.connect()

    def _open(
        self, path: str, body: dict[str, Any], is_final: Callable[[ReplyError], bool]
    ) -> AbstractContextManager[httpx2.Response]:
        self.sent.append((path, body))
        return super()._open(path, body, is_final)


class _Desk(Workspace):
    """A workspace with a given engine."""

    def __init__(self, settings: Settings, given: _Recorded) -> None:
        super().__init__(settings)
        self.given = given

    @property
    def engine(self) -> _Recorded:
        return self.given


@dataclass(frozen=True, slots=True)
class _Pass:
    """The seconds that a batch took, and the tokens of its answers."""

    seconds: float
    tokens: int

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds


@fail_on_warnings()
def measure(
    engine: Engine,
    *,
    rows: int = 96,
    max_tokens: int = 512,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Query the vLLM server of `engine`.

    Raises CheckError if a check fails, EngineError if the server is lost, and UsageError if it is
    not a vLLM server.
    """
    if not isinstance(engine, VllmEngine) or not engine.capabilities.prompt_logprobs:
        raise UsageError("this bench needs a vLLM server: memagent serve starts one")
    with tempfile.TemporaryDirectory(prefix="memagent-bench-") as name:
        folder = Path(name)
        settings = Settings(store=folder / "memory.db", engine="vllm", max_tokens=max_tokens)
        recorded = _Recorded(engine.url)
        with _Desk(settings, recorded) as desk:
            topics = _remember(desk)
            tell(f"{len(topics)} documents stored; {rows} questions to {recorded.model}")
            table = list(_rounds(desk, topics, rows, tell))
            talks = [_talk(desk, "talk", topics, tell)]
            if recorded.context > _SMALL_WINDOW:
                desk.given = _Recorded(engine.url, _SMALL_WINDOW)
                talks.append(_talk(desk, "short talk", topics[::-1], tell))
        windows = [recorded.context, _SMALL_WINDOW][: len(talks)]
    return Report(
        bench="served",
        data=source_data(),
        metrics=_metrics(table, dict(zip(windows, talks, strict=True))),
        rows=[*table, *(row for talk in talks for row in talk)],
        notes=(
            f"{rows} questions, {CONCURRENCY} at a time, of up to {max_tokens} tokens each, "
            f"answered by {recorded.model} on vLLM with a window of {recorded.context} tokens.",
            "The bare client sends the prompts that the product sent, with the same library; the "
            f"server has seen each of them once before. Ratios are the median of {_ROUNDS} rounds.",
            f"A conversation has {_TURNS} turns; cached tokens are those of its prompts that the "
            "server had already computed, according to its counters.",
        ),
    )


def _remember(desk: Workspace) -> list[str]:
    """Store Python's language reference, one document per topic; return the topics."""
    from pydoc_data.topics import topics

    memory = desk.memory()
    for name, text in topics.items():
        ingest(memory, read_stdin(BytesIO(text.encode()), name=name, max_bytes=2**24))
    memory.catch_up()
    return list(topics)


def _rounds(
    desk: _Desk, topics: list[str], count: int, tell: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Run the batch with the product and the bare client in turn; the first round is a warm-up."""
    parts = range(1, count // len(topics) + 2)
    asked = [f"What is said about {topic}, part {n}?" for n in parts for topic in topics][:count]
    for number in range(_ROUNDS + 1):
        desk.given.sent.clear()
        product = _product(desk, asked, number)
        if number == 0:
            # A warm-up: the server has now seen the prompts and rejected unsupported options.
            continue
        sent = list(desk.given.sent)
        if len(sent) != count:
            raise CheckError(f"{count} questions took {len(sent)} calls")
        bare = _bare(desk.given, sent)
        row = {
            "round": number,
            "product_s": round(product.seconds, 3),
            "bare_s": round(bare.seconds, 3),
            "product_tokens_per_s": round(product.rate, 1),
            "bare_tokens_per_s": round(bare.rate, 1),
            "ratio": round(product.rate / bare.rate, 4),
        }
        tell(f"round {number}: {product.rate:.0f} tokens a second, bare {bare.rate:.0f}")
        yield row


def _product(desk: _Desk, asked: list[str], number: int) -> _Pass:
    out = desk.settings.store.with_name(f"results-{number}.jsonl")
    lines = [
        json.dumps({"id": n, "op": "ask", "question": text}).encode()
        for n, text in enumerate(asked)
    ]
    with Results(out, resume=False) as results:
        record = Batches(desk.store, str(out), resume=False)
        batch = Batch(desk, record, results, concurrency=CONCURRENCY)
        start = time.perf_counter()
        batch.run(read_rows(lines))
        seconds = time.perf_counter() - start
    answers = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    failed = [row for row in answers if row["status"] != "ok"]
    if failed or len(answers) != len(asked):
        raise CheckError(f"{len(failed)} of {len(asked)} rows failed: {failed[:1]}")
    return _Pass(seconds, sum(row["result"]["usage"]["completion"] for row in answers))


def _bare(engine: VllmEngine, sent: list[tuple[str, dict[str, Any]]]) -> _Pass:
    """Send the same requests with the client library only."""
    import httpx2

    with httpx2.Client(base_url=engine.url, timeout=None) as client:

        def post(request: tuple[str, dict[str, Any]]) -> int:
            path, body = request
            used = 0
            with client.stream("POST", path, json=body) as response:
                for line in response.raise_for_status().iter_lines():
                    data = line.removeprefix("data: ").strip()
                    usage = json.loads(data).get("usage") if data.startswith("{") else None
                    used = usage["completion_tokens"] if usage else used
            if not used:
                raise CheckError("the bare client got no answer")
            return used

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            start = time.perf_counter()
            tokens = sum(pool.map(post, sent))
            seconds = time.perf_counter() - start
    return _Pass(seconds, tokens)


def _talk(
    desk: _Desk, name: str, topics: list[str], tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A conversation, turn by turn: the tokens of its prompt, and how many were cached."""
    session = Session(desk.agent(), name)
    table = []
    before = read_metrics(desk.given.url)
    for turn, topic in enumerate(topics[:_TURNS], start=1):
        answer = session.ask(f"Tell me how {topic} works.")
        now = read_metrics(desk.given.url)
        asked, hit = (int(now[key] - before[key]) for key in (_QUERIES, _HITS))
        before = now
        if answer.ended == "interrupted" or not answer.text:
            raise CheckError(f"turn {turn} of the conversation has no answer")
        table.append(
            {
                "conversation": name,
                "window": desk.given.context,
                "turn": turn,
                "prompt_tokens": asked,
                "cached_tokens": hit,
                "log_begun": answer.explain["log"]["begun"],
            }
        )
    share = _share(table)
    tell(f"{share:.1%} of the prompts' tokens were cached, window of {desk.given.context}")
    return table


def _share(table: list[dict[str, Any]]) -> float:
    asked = sum(row["prompt_tokens"] for row in table)
    if not asked:
        raise CheckError("the server counted no prompt tokens")
    return float(sum(row["cached_tokens"] for row in table) / asked)


def _metrics(
    table: list[dict[str, Any]], talks: dict[int, list[dict[str, Any]]]
) -> dict[str, float]:
    median = {key: statistics.median(row[key] for row in table) for key in table[0]}
    return {
        f"throughput_ratio@{CONCURRENCY}": round(median["ratio"], 4),
        "product_tokens_per_s": median["product_tokens_per_s"],
        "bare_tokens_per_s": median["bare_tokens_per_s"],
        **{f"cached_share@{window}": round(_share(talk), 4) for window, talk in talks.items()},
    }


def _unexpected(line: str) -> None:
    raise CheckError(line)
