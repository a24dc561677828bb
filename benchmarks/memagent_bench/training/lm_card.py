"""Fill the model card of a finished run: the table of figures and the plot of the curves.

    python -m memagent_bench.training.lm_card --report OUT/report.json --to docs/models/pocket-lm

With the reports of several stages, in order, the scores are those of the last one. Knows nothing
of models; needs matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memagent_bench.training.card import refresh

__all__ = ["draw", "table"]

REPEAT = "repeat_bits_per_token"
SCORES = (
    ("bits per byte", ("bits_per_byte",), ".3f"),
    ("bits per token of a passage, first reading", (REPEAT, "first"), ".2f"),
    ("second reading", (REPEAT, "second"), ".2f"),
    ("second reading, nearer half", (REPEAT, "second_near"), ".2f"),
    ("second reading, farther half", (REPEAT, "second_far"), ".2f"),
    ("passkeys returned", ("passkey", "keys"), ".1%"),
    ("digits of passkeys returned", ("passkey", "digits"), ".1%"),
    ("values of key-value lists returned", ("pairs",), ".1%"),
)


def table(report: dict[str, Any]) -> str:
    """The scores within and beyond the training context, and the run's figures, as Markdown."""
    context, beyond = report["training_context"], report["beyond_training_context"]
    columns = {f"{context:,} tokens": report, f"{2 * context:,} tokens": beyond}
    if "landmark" in report:
        columns |= {
            f"{context:,} slots with landmarks": report["landmark"],
            f"{2 * context:,} slots with landmarks": beyond["landmark"],
        }
    lines = [f"| held-out books | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for name, path, form in SCORES:
        values = []
        for value in columns.values():
            for key in path:
                value = value[key]
            values.append(format(value, form))
        lines.append(f"| {name} | {' | '.join(values)} |")
    lines += ["", *_streamed(report)]
    stages = [*report.get("before", []), report]
    for number, stage in enumerate(stages, start=1):
        lines += [*_made(stage, f"Stage {number}: " if len(stages) > 1 else ""), ""]
    return "\n".join(lines).rstrip()


def _streamed(report: dict[str, Any]) -> list[str]:
    """Passkeys found through a stream, by length of the text."""
    rows = report.get("streamed_passkeys", [])
    if not rows:
        return []
    head = "| stream with landmarks, tokens read | context lengths | blocks read | keys returned |"
    lines = [head, "|---|---|---|---|"]
    for row in rows:
        found = f"{row['found']:.1%} of {row['keys']}"
        lines.append(f"| {row['tokens']:,} | {row['windows']:.0f} x | {row['blocks']} | {found} |")
    return [*lines, ""]


def _made(report: dict[str, Any], stage: str) -> list[str]:
    seconds, tokens = report["seconds"], report["tokens"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return [
        f"{stage}{report['parameters']:,} parameters, {report['steps']:,} steps,",
        f"{tokens:,} tokens, {seconds / 60:.0f} minutes of training ({tokens / seconds:,.0f}",
        f"tokens per second) on one {report['device']} thread, seed {report['seed']}; {versions}.",
    ]


def draw(report: dict[str, Any], path: Path) -> None:
    """Plot loss, bits per byte, bits of a repeated passage and recall over the tokens seen.

    Dashed curves are with landmarks.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    titles = ("training loss", "held-out books", "a repeated passage", "greedy recall")
    labels = ("nats per token", "bits per byte", "bits per token", "share correct")
    done = 0.0
    for stage in [*report.get("before", []), report]:
        size = stage["tokens"] / stage["steps"] / 1e6
        seen = [done + point["step"] * size for point in stage["curve"]]
        done += stage["tokens"] / 1e6
        plain = stage["curve"]
        marked = [point["landmark"] for point in plain if "landmark" in point]
        panels[0].plot(seen, [point["loss"] for point in plain], color="C0")
        for curve, style in ((plain, "-"), (marked, "--")):
            if not curve:
                continue
            lines = (
                (1, "C0", "books", [point["bits_per_byte"] for point in curve]),
                (2, "C0", "first reading", [point[REPEAT]["first"] for point in curve]),
                (2, "C1", "second reading", [point[REPEAT]["second"] for point in curve]),
                (3, "C0", "pass keys", [point["passkey"]["keys"] for point in curve]),
                (3, "C1", "key-value pairs", [point["pairs"] for point in curve]),
            )
            for panel, color, name, values in lines:
                panels[panel].plot(seen, values, style, color=color, label=name)
    for axes, title, label in zip(panels, titles, labels, strict=True):
        axes.set(title=title, xlabel="million tokens", ylabel=label)
        axes.grid(alpha=0.3)
    for axes in panels[2:]:
        handles, names = axes.get_legend_handles_labels()
        axes.legend(handles[:2], names[:2])
        axes.set_ylim(0, None)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    refresh(__doc__, table, draw)
