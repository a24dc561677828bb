"""The figures of the reader's training in its card: the table and the curve's picture.

    python -m memagent_bench.training.reader_card --report OUT/report.json
        --to docs/models/pocket-reader

Knows nothing of models; needs matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memagent_bench.training.card import refresh

__all__ = ["draw", "table"]


def table(report: dict[str, Any]) -> str:
    """What made the model, and what it can do on the questions kept from training, as Markdown."""
    rows = (
        ("questions kept from training", f"{report['questions']:,}"),
        ("F1 in the own passage", f"{report['f1_alone']:.3f}"),
        ("F1 of the best span among 8 passages", f"{report['f1_among_8']:.3f}"),
        ("answer there or not, told by the score (area under ROC)", f"{report['separation']:.3f}"),
        ("answered or refused as it should be", f"{report['no_answer_accuracy']:.3f}"),
        ("expected calibration error", f"{report['expected_calibration_error']:.3f}"),
        ("least confidence of an answer", f"{report['least_confidence']:.2f}"),
    )
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return "\n".join(
        (
            "| | |",
            "|---|---|",
            *(f"| {what} | {figure} |" for what, figure in rows),
            "",
            f"{report['trained_parameters']:,} of {report['parameters']:,} parameters were trained "
            f"on {report['examples']:,} examples,",
            f"{report['tokens']:,} tokens, in {report['steps']:,} steps and "
            f"{report['seconds'] / 60:.0f} minutes on one {report['device']} thread, seed",
            f"{report['settings']['train']['seed']}; {versions}.",
        )
    )


def draw(report: dict[str, Any], path: Path) -> None:
    """Two panels over the steps: the loss, and the scores on questions kept."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curve = report["curve"]
    steps = [point["step"] for point in curve]
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


if __name__ == "__main__":
    refresh(__doc__, table, draw)
