"""Run every measurement of `memagent bench stream`; write one report and its plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from memagent.models.bundled import pocket_lm, pocket_lm_landmark
from memagent_bench.plots import lines
from memagent_bench.report import Report
from memagent_bench.stream.again import SELECTORS, read_again
from memagent_bench.stream.along import WAYS, along_a_book
from memagent_bench.stream.passkey import find_by_landmarks, find_passkey
from memagent_bench.stream.setup import book, load
from memagent_bench.stream.timing import SHAPE, time_per_token

__all__ = ["measure", "plot"]

LENGTHS = (1024, 2048, 4096, 16_384, 65_536)
Tell = Callable[[str], None]


def measure(
    model: Path | None = None,
    data: Path | None = None,
    *,
    limit: int = 110_000,
    tell: Tell = lambda line: None,
) -> Report:
    """Run the benchmark on texts of up to `limit` tokens, by default with the bundled model.

    Raises CheckError if a stream's logits differ from the stock model's.
    """
    subject = load(model or pocket_lm())
    marked = subject if model else load(pocket_lm_landmark())
    title, ids, about = book(data, subject, limit)
    lengths = [length for length in LENGTHS if length <= limit]
    rows: list[dict[str, Any]] = []
    metrics: dict[str, float] = {}
    histories = [length for length in lengths if length >= 4096] or lengths
    far = [length for length in lengths if length >= 2 * subject.window]
    for found in (
        along_a_book(subject, ids, tell),
        read_again(subject, ids, far, tell),
        find_passkey(subject, ids, lengths, tell),
        find_by_landmarks(marked, ids, lengths, tell),
        time_per_token(histories, tell),
    ):
        rows += found[0]
        metrics.update(found[1])
    config = subject.config("representative")
    name = (model or pocket_lm()).name
    return Report(
        "stream",
        {**about, "title": title, "model": name},
        metrics,
        rows,
        (
            f"model {name}: trained on contexts of {subject.window} tokens",
            f"with recall: {config.sinks} sinks, {config.budget} recalled tokens, a window of "
            f"{config.window}; without: sinks and a window of {subject.config('recent').window}; "
            f"read {config.chunk} tokens at a time",
            "own window: the stock model, overlapping windows of its training length, each token "
            "scored with at least half a window of context",
            "landmark: a model trained with landmarks, by default the bundled one; a landmark "
            "follows every 63 tokens, and `blocks` is the largest number of 64-token blocks that a "
            "head read for an answer, including the current one",
            f"time per token: a Llama with random weights, {SHAPE}, 4 sinks, 512 recalled tokens "
            "and a window of 512; pages are selected every 32 tokens and at each boundary",
        ),
    )


def plot(report: Report, folder: Path) -> list[Path]:
    """Plot a report as PNG files and return their paths. InputError without matplotlib."""
    rows = {name: [r for r in report.rows if r["measure"] == name] for name in _MEASURES}
    made = [
        lines(
            folder / "stream-book.png",
            {way: [(r["tokens"], r[way]) for r in rows["along a book"]] for way in WAYS},
            title="Perplexity along a book",
            x="tokens read",
            y="perplexity of the section",
        )
    ]
    if rows["read again"]:
        made.append(
            lines(
                folder / "stream-again.png",
                {
                    name: [(r["distance"], r[name]) for r in rows["read again"] if name in r]
                    for name in ("first reading", *SELECTORS)
                },
                title="A passage read again",
                x="tokens between the readings",
                y="bits per token",
            )
        )
    by_selector: dict[str, list[tuple[float, float]]] = {}
    for row in rows["passkey"]:
        by_selector.setdefault(row["selector"], []).append((row["length"], row["found"]))
    made.append(
        lines(
            folder / "stream-passkey.png",
            by_selector,
            title="Passkeys found, all depths",
            x="tokens of text",
            y="share found",
        )
    )
    timed = rows["time per token"]
    made.append(
        lines(
            folder / "stream-time.png",
            {
                "stream": [(r["history"], r["stream_ms"]) for r in timed],
                "full cache": [
                    (r["history"], r["full_cache_ms"]) for r in timed if "full_cache_ms" in r
                ],
            },
            title="Time per generated token",
            x="tokens of history",
            y="milliseconds",
            log=True,
        )
    )
    return made


_MEASURES = ("along a book", "read again", "passkey", "time per token")
