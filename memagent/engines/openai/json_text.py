"""JSON that comes in pieces, made valid where a grammar is laxer than JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from memagent.types import Chunk

__all__ = ["escaped"]


def escaped(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks of a JSON text with raw control characters in its strings escaped.

    The grammar of vLLM 0.32 lets a string whose schema bounds its length hold them, which JSON
    does not. The length stays what it is; valid JSON is left alone.
    """
    in_string = behind_backslash = False
    for chunk in chunks:
        text: list[str] = []
        for character in chunk.text:
            bare = in_string and character < " "
            text.append(json.dumps(character)[1:-1] if bare else character)
            if behind_backslash:
                behind_backslash = False
            elif in_string and character == "\\":
                behind_backslash = True
            elif character == '"':
                in_string = not in_string
        yield replace(chunk, text="".join(text))
