"""The figures of a finished run in its model card: the report, the curve's picture, the table.

    python training/card.py --report OUT/report.json --to docs/models/pocket-lm

writes `pocket-lm.json` and `pocket-lm.png`, and what stands between the marks in `pocket-lm.md`.
Knows nothing of models; needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

__all__ = ["draw", "fill", "table"]

BEGIN, END = "<!-- figures: training/card.py -->", "<!-- end of figures -->"


def table(report: dict[str, Any]) -> str:
    """The scores in the training context and beyond it, and what made them, as Markdown."""
    scores = (report, report["beyond_training_context"])
    contexts = report["training_context"], 2 * report["training_context"]

    def row(name: str, *path: str, form: str) -> str:
        values = []
        for value in scores:
            for key in path:
                value = value[key]
            values.append(format(value, form))
        return f"| {name} | {' | '.join(values)} |"

    repeat = "repeat_bits_per_token"
    seconds, tokens = report["seconds"], report["tokens"]
    lines = [
        f"| held-out books | {contexts[0]:,} tokens | {contexts[1]:,} tokens |",
        "|---|---|---|",
        row("bits per byte", "bits_per_byte", form=".3f"),
        row("bits per token of a passage, first reading", repeat, "first", form=".2f"),
        row("second reading", repeat, "second", form=".2f"),
        row("second reading, nearer half", repeat, "second_near", form=".2f"),
        row("second reading, farther half", repeat, "second_far", form=".2f"),
        row("pass keys returned", "passkey", "keys", form=".1%"),
        row("digits of pass keys returned", "passkey", "digits", form=".1%"),
        row("values of key-value lists returned", "pairs", form=".1%"),
        "",
        f"{report['parameters']:,} parameters, {report['steps']:,} steps, {tokens:,} tokens,",
        f"{seconds / 60:.0f} minutes of training ({tokens / seconds:,.0f} tokens a second) on one",
        f"{report['device']} thread, seed {report['seed']}; "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + ".",
    ]
    return "\n".join(lines)


def fill(card: str, report: dict[str, Any]) -> str:
    """The card with the table of the report between its marks."""
    before, rest = card.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table(report)}\n\n{END}{after}"


def draw(report: dict[str, Any], path: Path) -> None:
    """Three panels over the tokens seen: bits per byte, bits of a repeat, recall."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curve = report["curve"]
    seen = [point["step"] * report["tokens"] / report["steps"] / 1e6 for point in curve]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    left.plot(seen, [point["bits_per_byte"] for point in curve])
    left.set(title="held-out books", ylabel="bits per byte")
    for name, label in (("first", "first reading"), ("second", "second reading")):
        bits = [point["repeat_bits_per_token"][name] for point in curve]
        middle.plot(seen, bits, label=label)
    middle.set(title="a repeated passage", ylabel="bits per token", ylim=(0, None))
    middle.legend()
    right.plot(seen, [point["passkey"]["keys"] for point in curve], label="pass keys")
    right.plot(seen, [point["pairs"] for point in curve], label="key-value pairs")
    right.set(title="greedy recall", ylabel="share right", ylim=(0, 1.02))
    right.legend()
    for axes in (left, middle, right):
        axes.set_xlabel("million tokens")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Read the arguments; write `TO.json` and `TO.png`, refresh `TO.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    text = args.report.read_text()
    report = json.loads(text)
    args.to.with_suffix(".json").write_text(text)
    draw(report, args.to.with_suffix(".png"))
    card = args.to.with_suffix(".md")
    card.write_text(fill(card.read_text(), report))


if __name__ == "__main__":
    main()
