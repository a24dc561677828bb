"""Fill the model card of the reader: the table of figures and the plot of the curves.

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
    """The scores on held-out questions and the figures of the run, as Markdown."""
    rows = (
        ("held-out questions", f"{report['questions']:,}"),
        ("F1 in the question's own passage", f"{report['f1_alone']:.3f}"),
        ("F1 of the best span among 8 passages", f"{report['f1_among_8']:.3f}"),
        (
            "telling answerable from unanswerable by score (area under ROC)",
            f"{report['separation']:.3f}",
        ),
        ("correctly answered or refused", f"{report['no_answer_accuracy']:.3f}"),
        ("expected calibration error", f"{report['expected_calibration_error']:.3f}"),
        ("confidence threshold for answering", f"{report['least_confidence']:.2f}"),
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
    """Plot the loss and the scores on held-out questions over the steps."""
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
        ("separation", "answerable or not, ROC area"),
    ):
        right.plot(steps, [point[name] for point in curve], marker=".", label=label)
    right.set(title="held-out questions", ylim=(0, 1))
    right.legend()
    for axes in (left, right):
        axes.set_xlabel("steps")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    refresh(__doc__, table, draw)
