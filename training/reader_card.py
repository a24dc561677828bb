"""The figures of the reader's training in its model card, and the picture of its curve.

    python training/reader_card.py --reports FIRST/report.json OUT/report.json \\
        --to docs/models/pocket-reader

writes `pocket-reader.json` and `pocket-reader.png`, and what stands between the marks in
`pocket-reader.md`. Knows nothing of models; needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw", "fill", "text"]

BEGIN, END = "<!-- figures: training/reader_card.py -->", "<!-- end of figures -->"


def text(reports: Sequence[dict[str, Any]]) -> str:
    """What made the model, and what it can do on the questions kept from training."""
    last = reports[-1]
    rows = (
        ("questions kept from training", f"{last['questions']:,}"),
        ("F1 in the own passage", f"{last['f1_alone']:.3f}"),
        ("F1 of the best span among 8 passages", f"{last['f1_among_8']:.3f}"),
        ("answer there or not, told by the score (area under ROC)", f"{last['separation']:.3f}"),
        ("answered or refused as it should be", f"{last['no_answer_accuracy']:.3f}"),
        ("expected calibration error", f"{last['expected_calibration_error']:.3f}"),
        ("least confidence of an answer", f"{last['least_confidence']:.2f}"),
    )
    lines = ["| | |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows), ""]
    lines.append(
        f"{last['trained_parameters']:,} of {last['parameters']:,} parameters were trained."
    )
    for stage, report in enumerate(reports, start=1):
        versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        lines += [
            "",
            f"Stage {stage}: {report['examples']:,} examples, {report['tokens']:,} tokens, "
            f"{report['steps']:,} steps,",
            f"{report['seconds'] / 60:.0f} minutes on one {report['device']} thread, seed "
            f"{report['settings']['train']['seed']}; {versions}.",
        ]
    return "\n".join(lines)


def fill(card: str, reports: Sequence[dict[str, Any]]) -> str:
    """The card with the text of the reports between its marks."""
    before, rest = card.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{text(reports)}\n\n{END}{after}"


def draw(reports: Sequence[dict[str, Any]], path: Path) -> None:
    """Two panels over the steps of all stages: the loss, and the scores on questions kept."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curve, steps, done = [], [], 0
    for report in reports:
        curve += report["curve"]
        steps += [done + point["step"] for point in report["curve"]]
        done += report["steps"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.plot(steps, [point["loss"] for point in curve], marker=".")
    left.set(title="training loss", ylabel="nats per question")
    for name, label in (
        ("f1_alone", "F1, own passage"),
        ("f1_among_8", "F1, among 8"),
        ("separation", "answer or none, ROC area"),
    ):
        right.plot(steps, [point[name] for point in curve], marker=".", label=label)
    right.set(title="questions kept from training", ylim=(0, 1))
    right.legend()
    for axes in (left, right):
        axes.set_xlabel("steps")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Read the arguments; write `TO.json` and `TO.png`, refresh `TO.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=Path, required=True, nargs="+")
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    reports = [json.loads(path.read_text()) for path in args.reports]
    args.to.with_suffix(".json").write_text(json.dumps(reports, indent=2) + "\n")
    draw(reports, args.to.with_suffix(".png"))
    card = args.to.with_suffix(".md")
    card.write_text(fill(card.read_text(), reports))


if __name__ == "__main__":
    main()
