"""Write the figures of a model card: the text between its marks, the report and the plot.

Knows nothing of the content of the reports.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["fill", "refresh"]

BEGIN, END = "<!-- figures of the run -->", "<!-- end of figures -->"

Report = dict[str, Any]


def fill(card: str, text: str) -> str:
    """The card with `text` between its marks."""
    before, rest = card.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def refresh(
    description: str | None, text: Callable[[Report], str], draw: Callable[[Report, Path], None]
) -> None:
    """Run a command that reads reports, writes `TO.json` and `TO.png`, and fills `TO.md`.

    The reports are those of the stages in order; the last one stores the others under `before`.
    `text` and `draw` make the Markdown and the plot of a report.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--report", type=Path, required=True, nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    *earlier, report = [json.loads(path.read_text()) for path in args.report]
    if earlier:
        report["before"] = earlier
    args.to.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    draw(report, args.to.with_suffix(".png"))
    card = args.to.with_suffix(".md")
    card.write_text(fill(card.read_text(), text(report)))
