"""Create and save figures with matplotlib, which the extra `plot` installs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memagent.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "save_figure"]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches. InputError if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("drawing needs matplotlib: pip install memagent[plot]") from error
    # A figure made without pyplot uses Agg and keeps no global state.
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path, remedy: str) -> None:
    """Save a figure; if that fails, raise InputError with the `remedy`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): {remedy}") from error
