"""Show the surprise along a source: as text, as an image, or as JSON.

Images need matplotlib, which the extra `plot` installs.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.cli.render.figures import new_figure, save_figure
from memagent.cli.render.output import visible
from memagent.errors import UsageError

if TYPE_CHECKING:
    from memagent.memory.profile import Profile, Stretch
    from memagent.types import Source

__all__ = ["check_suffix", "draw", "paint", "profile_object"]

_EIGHTHS = " ▏▎▍▌▋▊▉"
_SUFFIXES = (".png", ".svg")
# Widths in columns: the offset before a bar, the number after it, and the shortest bar.
_OFFSET_WIDTH, _NATS_WIDTH, _MIN_BAR = 9, 6, 10


def check_suffix(path: Path) -> Path:
    """Return `path` if it ends in .png or .svg; UsageError otherwise."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{path} is not an image file: use a name that ends in .png or .svg")
    return path


def profile_object(source: Source, found: Profile, start: int, end: int) -> dict[str, Any]:
    """A profile as the JSON that schemas/plot.json describes."""
    begins = {event.start for event in found.events}
    return {
        "source": source.name,
        "kind": source.kind,
        "start": start,
        "end": end,
        "head": found.head,
        "sentences": [
            {
                "start": one.start,
                "end": one.end,
                "surprise": _rounded(one.surprise),
                "threshold": _rounded(one.threshold),
                "begins": one.start in begins,
            }
            for one in found.sentences
        ],
        "events": [{"start": event.start, "end": event.end} for event in found.events],
    }


def draw(source: Source, found: Profile, start: int, end: int) -> Iterator[str]:
    """Lines as wide as the terminal, with a bar for each sentence, grouped by event."""
    from rich.cells import set_cell_size

    width = shutil.get_terminal_size((80, 24)).columns
    known = [v for one in found.sentences for v in (one.surprise, one.threshold) if v is not None]
    top = max(known, default=1.0) or 1.0
    bar_width = max(_MIN_BAR, (width - _OFFSET_WIDTH - _NATS_WIDTH) // 2)
    text_width = max(0, width - _OFFSET_WIDTH - bar_width - _NATS_WIDTH - 2)
    yield f"{source.name}, characters {start}-{end} of {source.chars}: " + (
        f"{len(found.sentences)} sentences in {len(found.events)} events"
    )
    yield f"bars: surprise of the first {found.head} tokens in nats, up to {top:.2f}; ┃ threshold"
    coming = list(found.events)
    for one in found.sentences:
        while coming and coming[0].start <= one.start:
            event = coming.pop(0)
            yield f"▸ {event.start}-{event.end}"
        text = " ".join(visible(one.text[: 4 * text_width]).split())
        nats = "" if one.surprise is None else f"{one.surprise:.2f}"
        line = f"{one.start:>{_OFFSET_WIDTH}} {_bar(one, top, bar_width)}{nats:>{_NATS_WIDTH}} "
        yield (line + set_cell_size(text, text_width)).rstrip()


def _bar(one: Stretch, top: float, bar_width: int) -> str:
    """A bar of `bar_width` cells for the surprise of a sentence, with a mark at the threshold."""
    full, rest = divmod(round(max(one.surprise or 0.0, 0.0) / top * bar_width * 8), 8)
    cells = list(("█" * full + _EIGHTHS[rest]).ljust(bar_width)[:bar_width])
    if one.threshold is not None:
        cells[min(round(max(one.threshold, 0.0) / top * bar_width), bar_width - 1)] = "┃"
    return "".join(cells)


def paint(path: Path, source: Source, found: Profile) -> None:
    """Save an image: running mean of token surprise, thresholds, and the events below."""
    import numpy as np

    figure = new_figure(12, 4.2)
    axes = figure.subplots()
    window = min(found.head, len(found.nats))
    means = np.convolve(found.nats, np.full(window, 1 / window), "valid")
    label = f"mean surprise of {window} tokens"
    axes.plot(found.places[: len(means)], means, linewidth=0.8, label=label)
    known = [(s.threshold, s.start, s.end) for s in found.sentences if s.threshold is not None]
    heights, starts, ends = np.array(known).reshape(-1, 3).T
    axes.hlines(
        heights,
        starts,
        ends,
        colors="tab:red",
        linewidth=0.8,
        label="threshold of the sentence",
    )
    below = axes.get_xaxis_transform()
    axes.vlines(
        [event.start for event in found.events],
        0,
        1,
        transform=below,
        colors="0.7",
        linewidth=0.5,
        zorder=0,
        label="event begins",
    )
    axes.broken_barh(
        [(event.start, event.end - event.start) for event in found.events],
        (0, 0.04),
        transform=below,
        facecolors=["tab:green", "tab:olive"],
        label="events",
    )
    axes.set_title(visible(source.name), parse_math=False)
    axes.set_xlabel("character")
    axes.set_ylabel("nats")
    axes.margins(x=0)
    figure.legend(loc="outside lower center", ncols=4)
    with warnings.catch_warnings():
        # The font may lack a character of the source name.
        warnings.simplefilter("ignore", UserWarning)
        save_figure(figure, path, "choose another --plot-file")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
