"""Fill the tables of README and docs from benchmarks/results; knows nothing of how they came."""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
# Metrics that a table shows: (bench, metric, what it is, how it is written).
SHOWN = (
    ("store", "append_p95_ms", "commit of a turn, on disk, 95th percentile", "{:.1f} ms"),
    ("store", "query_p95_ms@1000", "query among 1,000 events, 95th percentile", "{:.1f} ms"),
    ("store", "query_p95_ms@100000", "query among 100,000 events, 95th percentile", "{:.1f} ms"),
    ("store", "help_s", "`memagent --help`", "{:.2f} s"),
    ("store", "bytes_per_byte", "bytes stored per byte of text", "{:.1f}"),
    ("ingest", "seconds@100000", "100,000 words read, cut, embedded and indexed", "{:.0f} s"),
    ("ingest", "loading_s", "of these, loading the two models", "{:.0f} s"),
    ("ingest", "scored_tokens_per_s", "tokens a second: surprise", "{:,.0f}"),
    ("ingest", "embedded_tokens_per_s", "tokens a second: embedding", "{:,.0f}"),
    ("ingest", "tokens_per_event", "tokens of an event, mean", "{:.0f}"),
    (
        "stream",
        "worst_over_own_window",
        "perplexity along a book, sinks + window over the model's own "
        "window, worst of 12 stretches",
        "{:.3f}",
    ),
    (
        "stream",
        "again_recent@4096",
        "bits a token of a passage read again 4,096 tokens later, without recall",
        "{:.2f}",
    ),
    ("stream", "again_representative@4096", "the same with recall", "{:.2f}"),
    (
        "stream",
        "passkey@16384",
        "passkeys found in 16,384 tokens, 32 times the model's window",
        "{:.0%}",
    ),
    (
        "stream",
        "passkey_landmark@32768",
        "the same in 32,768 tokens by the model with landmarks, 64 times its window",
        "{:.0%}",
    ),
    (
        "stream",
        "time_growth",
        "time per token behind 65,536 tokens over that behind 4,096",
        "{:.2f}",
    ),
    (
        "stream",
        "speedup@65536",
        "full cache of Transformers over the stream, time per token behind 65,536 tokens",
        "{:.0f} times",
    ),
    *(
        ("kernels", f"decode_over_sdpa@{n}", f"decode, {n:,} keys: time over dense", "{:.2f}")
        for n in (4096, 16384, 65536)
    ),
    *(
        ("kernels", f"prefill_speedup@{n}", f"prompt chunk, {n:,} keys: dense over it", "{:.1f}")
        for n in (4096, 16384, 65536)
    ),
    ("kernels", "mass_kept_planted@65536", "attention kept where some keys match", "{:.2f}"),
    ("kernels", "error_fp32", "largest relative error against float64, float32", "{:.1e}"),
    ("kernels", "error_bf16", "the same in bfloat16", "{:.1e}"),
    ("reader", "f1_xquad", "XQuAD (English), F1", "{:.1%}"),
    ("reader", "baseline_f1_xquad", "the same, nearest sentence", "{:.1%}"),
    ("reader", "em_xquad", "XQuAD (English), exact match", "{:.1%}"),
    ("reader", "f1_fairytaleqa", "FairytaleQA, F1", "{:.1%}"),
    ("reader", "f1_friendsqa", "FriendsQA, F1", "{:.1%}"),
    (
        "reader",
        "no_answer_accuracy_xquad",
        "XQuAD among 8 passages, answered or refused as it should be",
        "{:.1%}",
    ),
    (
        "reader",
        "citation_precision_xquad",
        "XQuAD among 8 passages, answers given whose sentence holds a true one",
        "{:.1%}",
    ),
    ("reader", "ms_per_passage", "passage of 128 tokens, read", "{:.0f} ms"),
    *(
        (
            "recall",
            f"{way}coverage@{budget}",
            f"LoCoMo: evidence in {budget:,} tokens{of}",
            "{:.1%}",
        )
        for budget in (500, 1000, 2000, 7000)
        for way, of in (
            ("", ""),
            ("fused_", ", ranks fused"),
            ("floor_", ", words alone"),
            ("dense_", ", vectors alone"),
        )
    ),
    (
        "recall",
        "coverage_cat1@2000",
        "LoCoMo: evidence in 2,000 tokens, questions with several pieces of it",
        "{:.1%}",
    ),
    *(
        ("recall", f"{way}coverage@2000_{name}", f"{title}: evidence in 2,000 tokens{of}", "{:.1%}")
        for name, title in (("qmsum", "QMSum"), ("fairytaleqa", "FairytaleQA"))
        for way, of in (("", ""), ("fused_", ", ranks fused"))
    ),
    ("recall", "query_p50_ms", "query, median, the question's vector among it", "{:.0f} ms"),
    ("recall", "query_p95_ms", "query, 95th percentile", "{:.0f} ms"),
    *(
        ("segments", f"{way}_{figure}_{name}", f"{title}: {what}{of}", "{:.3f}")
        for name, title in (("choi", "Choi"), ("qmsum", "QMSum"))
        for way, what in (
            ("surprise", "F1 of the product's events"),
            ("strongest_surprise_refined", "F1 at the topics' scale by surprise, refined"),
            ("similarity_dips", "F1 at the topics' scale by dips of similarity"),
            ("most_modular", "F1 at the topics' scale by modularity"),
        )
        for figure, of in (
            ("f1", ""),
            ("f1_random", ", the same events in random order"),
            ("f1_random_by_length", ", the same with sizes in characters"),
            ("f1_fixed", ", fixed windows of the same mean size"),
        )
    ),
    ("segments", "windows_checked", "refined windows that their graph would cut alike", "{:,.0f}"),
    ("segments", "graph_over_refinement@512", "time of the graph over prefix sums", "{:.1f}"),
    (
        "served",
        "throughput_ratio@32",
        "batch of 32 rows at a time: tokens a second over a bare client's",
        "{:.2f}",
    ),
    *(
        (
            "served",
            f"cached_share@{window}",
            f"conversation of 20 turns, window of {window:,}: prompt tokens from the prefix cache",
            "{:.1%}",
        )
        for window in (32768, 8192)
    ),
    ("faults", "kills", "processes killed at random moments", "{:.0f}"),
    ("faults", "lost", "acknowledged turns or spans lost", "{:.0f}"),
    ("faults", "integrity_failures", "damaged stores", "{:.0f}"),
    ("faults", "search_differences", "searches that differ from a rebuilt index", "{:.0f}"),
    ("faults", "leaks", "texts seen from another namespace", "{:.0f}"),
    ("faults", "bytes_after_forget", "copies of a forgotten text left in the files", "{:.0f}"),
)
# What a bench needs first that asks a server.
SERVED = dict.fromkeys(
    ("served", "loops"), "`memagent serve pocket --context 32768 --detach`, then "
)
TABLE = re.compile(r"(<!-- table: (\w+)(?:, ([\w ]+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def table(bench: str, measure: str | None = None) -> str:
    """The figures of one bench, or the rows of one of its measures, and what reproduces them."""
    path = RESULTS / f"{bench}.json"
    if not path.exists():
        return "Not yet measured.\n"
    report: dict[str, Any] = json.loads(path.read_text())
    lines = figures(report) if measure is None else rows(report, measure)
    if not lines:
        return "Not yet measured.\n"
    device = report["device"]
    machine = device if isinstance(device, str) else device.get("cpu", "")
    files = (
        report["data"]["file"].split(", ")
        if bench in ("stream", "ingest", "reader", "recall", "segments", "loops")
        else []
    )
    data = "".join(f" --data {name}" for name in files)
    ablate = " --ablate" if any(row.get("measure") == "ablation" for row in report["rows"]) else ""
    command = f"memagent bench {bench}{ablate}{data} --json"
    first = SERVED.get(bench, "")
    lines += ["", f"{first}`{command}`, {report['date'][:10]}, {machine}."]
    return "\n".join(lines) + "\n"


def figures(report: dict[str, Any]) -> list[str]:
    """The metrics that SHOWN names."""
    return ["| what | measured |", "|---|---|"] + [
        f"| {text} | {form.format(report['metrics'][metric])} |"
        for name, metric, text, form in SHOWN
        if name == report["bench"] and metric in report["metrics"]
    ]


def rows(report: dict[str, Any], measure: str) -> list[str]:
    """The rows of one measure, a column for each of their fields."""
    chosen = [row for row in report["rows"] if row.get("measure") == measure]
    if not chosen:
        return []
    columns = [name for name in dict.fromkeys(n for r in chosen for n in r) if name != "measure"]
    lines = [f"| {' | '.join(c.replace('_', ' ') for c in columns)} |", "|---" * len(columns) + "|"]
    for row in chosen:
        lines.append(f"| {' | '.join(_cell(row.get(name)) for name in columns)} |")
    return lines


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def filled(text: str) -> str:
    """`text` with every table written anew."""
    return TABLE.sub(lambda m: m[1] + table(m[2], m[3]) + m[4], text)


def main() -> None:
    """Write the pages; with --check only say which are out of date (exit 1)."""
    stale = [page for page in PAGES if filled(page.read_text()) != page.read_text()]
    for page in stale:
        print(page.relative_to(ROOT))
        if "--check" not in sys.argv:
            page.write_text(filled(page.read_text()))
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
