"""The filters that every answer passes through, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from memagent.engines.openai.call_forms import offered_tools
from memagent.engines.openai.channels import ChannelFilter
from memagent.engines.openai.json_text import escape_controls
from memagent.engines.openai.markers import MarkerFilter
from memagent.engines.openai.opening import Opening, OpeningFilter
from memagent.engines.openai.text_calls import TextCallFilter
from memagent.engines.openai.thinking import ThinkingFilter
from memagent.types import Chunk

__all__ = ["filtered"]


def filtered(
    chunks: Iterable[Chunk], body: Mapping[str, Any], opening: Opening, *, is_json: bool
) -> Iterator[Chunk]:
    """The chunks of the answer to `body`: its text without thinking, markers and tool calls.

    opening: what is known of the model's thinking. is_json: the answer must be JSON.
    """
    tools = offered_tools(body.get("tools", ()))
    # Channels hold markers, and markers may stand before and in thinking.
    chunks = ChannelFilter(tools).apply(chunks)
    chunks = MarkerFilter(is_json=is_json).apply(chunks)
    chunks = OpeningFilter(opening, is_json=is_json).apply(chunks)
    chunks = ThinkingFilter(opening, is_json=is_json).apply(chunks)
    if not is_json:
        chunks = TextCallFilter(tools).apply(chunks)
    if "response_format" in body:
        chunks = escape_controls(chunks)
    return iter(chunks)
