"""How a stream remembers: sinks, local window, what is recalled and when; validates itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from memagent.errors import UsageError

__all__ = ["Positions", "Segmentation", "StreamConfig"]

Positions = Literal["compact", "constant", "true"]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """When surprise begins a new event (EM-LLM, arXiv:2407.09450), in tokens.

    A token does when its surprise exceeds mean + gamma × deviation of the last `tau` ones; events
    hold `least` to `most` tokens. `refine` moves each boundary to where the similarity graph of
    the keys between its neighbours is most modular.
    """

    gamma: float = 1.0
    tau: int = 256
    least: int = 8
    most: int = 128
    refine: bool = True


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """Sizes in tokens. What a query sees: `sinks`, up to `budget` recalled tokens, the window.

    window None keeps all history local, which is full attention. `refresh` is how many generated
    tokens share one selection, made for the queries of as many last ones, and by how much the
    window may outgrow its size in between; `chunk` is how many tokens of a prompt are read at once.
    `landmark` is the id of a token that closes every page, for models trained so; the page before
    the present one and those that reach into the window are then chosen before others, up to half
    of the budget, and count in it.
    `hot_pages` bounds the pages a layer keeps in memory, unless one step needs more; older ones go
    to the folder given to the stream.
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
            (0 <= self.sinks <= self.page, f"sinks must lie in one page of {self.page}"),
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
        """Pages that one step may touch: fewer cannot be kept hot."""
        reach = (self.window or 0) + self.budget + self.refresh + self.chunk
        return reach // self.page + 8
