"""Settings of a stream: sinks, window, recall and its events. They validate themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from memagent.errors import UsageError

__all__ = ["Positions", "Segmentation", "StreamConfig"]

Positions = Literal["compact", "constant", "true"]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """When surprise starts a new event (EM-LLM, arXiv:2407.09450).

    A token starts an event if its surprise exceeds mean + gamma × standard deviation of the last
    `tau` tokens. Events have `least` to `most` tokens. `refine` moves each boundary to the cut with
    the highest modularity in the similarity graph of the keys of its two events.
    """

    gamma: float = 1.0
    tau: int = 256
    least: int = 8
    most: int = 128
    refine: bool = True


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """Sizes in tokens. A query attends to `sinks`, up to `budget` recalled tokens, and `window`.

    - page: slots of a page
    - window: None keeps the whole history in the window, which is full attention
    - contiguity: share of the budget for the neighbours of recalled events
    - refresh: generated tokens per selection. A selection uses the queries of as many last tokens,
      and the window may grow by as many until the next one.
    - chunk: tokens of a prompt read at once
    - selector: a name in `selectors.table.SELECTORS`
    - positions: policy of virtual positions, see `positions.place`
    - landmark: id of a token that ends every page, for models trained with it. The page before the
      current one and those that reach into the window are then chosen first, up to half of the
      budget.
    - hot_pages: bound of the pages per layer in memory, unless one step needs more; older pages go
      to the stream's folder

    Raises UsageError for values that do not fit.
    """

    page: int = 64
    sinks: int = 4
    window: int | None = 1024
    budget: int = 1024
    contiguity: float = 0.3
    refresh: int = 32
    chunk: int = 256
    selector: str = "representative"
    positions: Positions = "compact"
    landmark: int | None = None
    hot_pages: int | None = None
    segmentation: Segmentation = field(default_factory=Segmentation)

    def __post_init__(self) -> None:
        from memagent.streaming.selectors.table import SELECTORS

        window = self.window
        rules = (
            (self.page >= 2, f"page must be at least 2 slots, not {self.page}"),
            (0 <= self.sinks <= self.page, f"sinks must fit into one page of {self.page}"),
            (window is None or window >= 1, f"window must be at least 1 token, not {window}"),
            (self.budget >= 0, f"budget must not be negative: {self.budget}"),
            (0 <= self.contiguity < 1, f"contiguity must be in [0, 1), not {self.contiguity}"),
            (self.refresh >= 1, f"refresh must be at least 1 token, not {self.refresh}"),
            (self.chunk >= 1, f"chunk must be at least 1 token, not {self.chunk}"),
            (
                self.selector in SELECTORS,
                f"selector must be one of {', '.join(SELECTORS)}, not {self.selector!r}",
            ),
            (
                self.positions in ("compact", "constant", "true"),
                f"positions must be compact, constant or true, not {self.positions!r}",
            ),
            (
                self.hot_pages is None or self.hot_pages >= self.least_pages,
                f"hot_pages must be at least {self.least_pages} for these sizes",
            ),
            (
                self.landmark is None or self.selector in ("landmark", "recent"),
                "a landmark token needs the selector landmark",
            ),
            (
                self.landmark is None or self.sinks == 0,
                "landmark models are trained without sinks: set sinks to 0",
            ),
            (
                self.selector != "landmark" or self.landmark is not None,
                "the selector landmark needs the id of the landmark token",
            ),
        )
        for holds, message in rules:
            if not holds:
                raise UsageError(f"stream: {message}")

    @property
    def least_pages(self) -> int:
        """Pages that one step may use, the lower bound of `hot_pages`."""
        reach = (self.window or 0) + self.budget + self.refresh + self.chunk
        return reach // self.page + 8
