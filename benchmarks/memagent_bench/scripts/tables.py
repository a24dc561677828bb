"""Fill the tables of README.md and docs/ from benchmarks/results.

A page marks a table with `<!-- table: NAME -->` or `<!-- table: NAME, MEASURE -->` and
`<!-- end -->`. NAME is a benchmark, MEASURE one of the measures in its rows; the table `figures`
shows one figure each of five benchmarks.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from memagent_bench.report import RESULTS
from memagent_bench.scripts.shown import FIGURES, SHOWN

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
# Commands that must run before the benchmark.
SERVED = dict.fromkeys(
    ("served", "loops"), "`memagent serve pocket --context 32768 --detach`, then "
)
TABLE = re.compile(r"(<!-- table: (\w+)(?:, ([\w ]+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def table(bench: str, measure: str | None = None) -> str:
    """The metrics of a benchmark, or the rows of one measure, and the command to rerun it."""
    if bench == "figures":
        return "\n".join(figures()) + "\n"
    report = load(bench)
    if report is None:
        return "Not yet measured.\n"
    lines = metrics(report) if measure is None else rows(report, measure)
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


def load(bench: str) -> dict[str, Any] | None:
    """The report of a benchmark, or None if it was not measured."""
    path = RESULTS / f"{bench}.json"
    return json.loads(path.read_text()) if path.exists() else None


def figures() -> list[str]:
    """The figures that FIGURES names, each with its command."""
    lines = ["| what | measured | command |", "|---|---|---|"]
    for bench, text, form in FIGURES:
        if report := load(bench):
            measured = form.format_map(report["metrics"])
            lines.append(f"| {text} | {measured} | `memagent bench {bench}` |")
    return lines


def metrics(report: dict[str, Any]) -> list[str]:
    """The metrics of a report that SHOWN names."""
    return ["| what | measured |", "|---|---|"] + [
        f"| {text} | {form.format(report['metrics'][metric])} |"
        for name, metric, text, form in SHOWN
        if name == report["bench"] and metric in report["metrics"]
    ]


def rows(report: dict[str, Any], measure: str) -> list[str]:
    """The rows of one measure, with a column for each field."""
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
    """`text` with every table regenerated."""
    return TABLE.sub(lambda m: m[1] + table(m[2], m[3]) + m[4], text)


def main() -> None:
    """Write the pages; with --check only list those that are out of date and exit with 1."""
    stale = [page for page in PAGES if filled(page.read_text()) != page.read_text()]
    for page in stale:
        print(page.relative_to(ROOT))
        if "--check" not in sys.argv:
            page.write_text(filled(page.read_text()))
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
