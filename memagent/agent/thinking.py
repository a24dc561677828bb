"""How much a reasoning model is asked to think: as the settings say, and less in side calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from memagent.types import Thinking

if TYPE_CHECKING:
    from memagent.settings import Settings

__all__ = ["answer_thinking", "side_thinking"]


def answer_thinking(settings: Settings) -> Thinking:
    """How much to think before an answer to the user."""
    return cast(Thinking, settings.thinking)


def side_thinking(settings: Settings) -> Thinking:
    """How much to think in calls for JSON, a question or a few words: not at all, unless the user
    has set it."""
    return "off" if settings.thinking == "auto" else answer_thinking(settings)
