"""Figures and their files. Needs matplotlib, which only the extra `plot` installs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memagent.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "save_figure"]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches. InputError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("no matplotlib to draw with: pip install memagent[plot]") from error
    # A figure without pyplot draws with Agg and leaves no state behind.
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path, remedy: str) -> None:
    """Write a figure; InputError with the remedy where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): {remedy}") from error
