"""Fill the tables of README and docs from benchmarks/results; knows nothing of how they came."""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
# Metrics that a table shows: (bench, metric, what it is, how it is written).
SHOWN = (
    ("store", "append_p95_ms", "commit of a turn, on disk, 95th percentile", "{:.1f} ms"),
    ("store", "query_p95_ms@1000", "query among 1,000 events, 95th percentile", "{:.1f} ms"),
    ("store", "query_p95_ms@100000", "query among 100,000 events, 95th percentile", "{:.1f} ms"),
    ("store", "help_s", "`memagent --help`", "{:.2f} s"),
    ("store", "bytes_per_byte", "bytes stored per byte of text", "{:.1f}"),
    ("faults", "kills", "processes killed at random moments", "{:.0f}"),
    ("faults", "lost", "acknowledged turns or spans lost", "{:.0f}"),
    ("faults", "integrity_failures", "damaged stores", "{:.0f}"),
    ("faults", "search_differences", "searches that differ from a rebuilt index", "{:.0f}"),
    ("faults", "leaks", "texts seen from another namespace", "{:.0f}"),
    ("faults", "bytes_after_forget", "copies of a forgotten text left in the files", "{:.0f}"),
)
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(bench: str) -> str:
    """The rows of one bench, with the machine and the command that reproduces them."""
    report: dict[str, Any] = json.loads((RESULTS / f"{bench}.json").read_text())
    lines = ["| what | measured |", "|---|---|"]
    lines += [
        f"| {text} | {form.format(report['metrics'][metric])} |"
        for name, metric, text, form in SHOWN
        if name == bench
    ]
    device = report["device"]
    machine = device if isinstance(device, str) else device.get("cpu", "")
    lines += ["", f"`memagent bench {bench} --json`, {report['date'][:10]}, {machine}."]
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """`text` with every table written anew."""
    return TABLE.sub(lambda m: m[1] + table(m[2]) + m[3], text)


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
