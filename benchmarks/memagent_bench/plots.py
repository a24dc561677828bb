"""Plots of benchmarks as PNG files. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from memagent.cli.render.figures import new_figure, save_figure

__all__ = ["lines"]


def lines(
    path: Path,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x: str,
    y: str,
    log: bool = False,
    marks: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Plot one line per series through its points, sorted by x; `log` makes both axes logarithmic.

    `marks` are positions on x, drawn above the lines as a row of ticks per label.
    """
    figure = new_figure(7, 4.2)
    axes = figure.subplots()
    for label, points in series.items():
        ordered = sorted(points)
        axes.plot([a for a, _ in ordered], [b for _, b in ordered], marker="o", label=label)
    for row, (label, places) in enumerate((marks or {}).items()):
        height = [1.04 + 0.06 * row] * len(places)
        axes.plot(
            places,
            height,
            linestyle="none",
            marker="|",
            markersize=11,
            markeredgewidth=2,
            clip_on=False,
            transform=axes.get_xaxis_transform(),
            label=label,
        )
    if log:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    axes.set_title(title, pad=6 + 15 * len(marks or {}))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, alpha=0.3)
    if marks:
        figure.legend(loc="outside lower center", ncols=2)
    else:
        axes.legend()
    save_figure(figure, path, "choose --plot")
    return path
