"""Repair of JSON that streams in from a grammar that is laxer than JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from memagent.types import Chunk

__all__ = ["escape_controls"]


def escape_controls(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Escape raw control characters inside the strings of a JSON text.

    The grammar of vLLM 0.32 allows them in a string whose schema limits its length; JSON does not.
    The length of the string stays the same, and valid JSON is unchanged.
    """
    in_string = after_backslash = False
    for chunk in chunks:
        text: list[str] = []
        for character in chunk.text:
            is_raw = in_string and character < " "
            text.append(json.dumps(character)[1:-1] if is_raw else character)
            if after_backslash:
                after_backslash = False
            elif in_string and character == "\\":
                after_backslash = True
            elif character == '"':
                in_string = not in_string
        yield replace(chunk, text="".join(text))
