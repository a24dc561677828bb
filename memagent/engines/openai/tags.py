"""The tags between which models write their thinking."""

from __future__ import annotations

import re

__all__ = ["CLOSER", "CLOSERS", "OPENERS", "TAGS"]

TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|start_thinking|>": "<|end_thinking|>",
    "<|inner_prefix|>": "<|inner_suffix|>",
    "<|channel>thought": "<channel|>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
}
"""The closing tag of each opening tag, by model family; in lower case, though case is ignored."""

OPENERS = tuple(TAGS)
CLOSERS = tuple(TAGS.values())
CLOSER = re.compile("|".join(map(re.escape, CLOSERS)), re.IGNORECASE)
"""Any closing tag."""
