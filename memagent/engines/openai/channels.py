"""The channels of gpt-oss: analysis is thinking, final the answer, commentary holds tool calls.

https://cookbook.openai.com/articles/openai-harmony
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from memagent.engines.openai.call_forms import Tools
from memagent.engines.openai.text_filter import TextFilter, held_back
from memagent.engines.openai.tool_calls import call_arguments
from memagent.types import Chunk, ToolCall

__all__ = ["ChannelFilter"]

_STARTS = ("<|channel|>", "<|start|>assistant")
_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|channel|>")
_END = re.compile("|".join(map(re.escape, _ENDS)))
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"to=(?:functions\.)?([\w.-]+)")
# What is left of the channels where a server has removed the special tokens.
_BARE_START = re.compile(r"analysis(?=[A-Z])")
_BARE_ENDS = ("assistantfinal",)
_BARE_END = re.compile("assistantfinal")


class ChannelFilter(TextFilter):
    """Reads an answer in channels; any other answer is passed on as it is."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._held = ""
        self._channel: str | None = None  # "" in a header, None before the first one
        self._passes = False
        self._bare = False
        self._recipient = ""
        self._arguments = ""
        self._calls: list[ToolCall] = []

    def text(self, text: str) -> Iterator[Chunk]:
        """The text of the final channel, and the thinking of the others."""
        self._held += text
        if self._channel is None and not self._passes:
            self._begin()
        if self._passes:
            yield from self._write(len(self._held))
        while self._channel is not None:
            if self._channel == "":
                header, message, after = self._held.partition(_MESSAGE)
                if not message:
                    return
                self._open(header)
                self._held = after
            end = (_BARE_END if self._bare else _END).search(self._held)
            if end is None:
                ends = _BARE_ENDS if self._bare else _ENDS
                yield from self._write(len(self._held) - held_back(self._held, ends))
                return
            yield from self._write(end.start())
            self._close(end)

    def release(self) -> Iterator[Chunk]:
        """What is held, unless it is a header."""
        if self._channel != "" or "<|" not in self._held:
            yield from self._write(len(self._held))
        self._held = ""

    def end(self, last: Chunk) -> Iterator[Chunk]:
        """The rest, and the last chunk with the calls."""
        yield from self.release()
        self._add_call()
        if self._calls:
            last = replace(last, tool_calls=tuple(self._calls), finish="tool_calls")
        yield last

    def _begin(self) -> None:
        begun = self._held.lstrip()
        if begun.startswith(_STARTS):
            self._channel = ""
        elif _BARE_START.match(begun):
            self._channel, self._bare = "analysis", True
            self._held = begun.removeprefix("analysis")
        else:
            starts = (*_STARTS, "analysis")
            self._passes = not any(start.startswith(begun) for start in starts)

    def _open(self, header: str) -> None:
        channel, recipient = _CHANNEL.search(header), _RECIPIENT.search(header)
        self._channel = channel.group(1) if channel else "final"
        self._recipient = recipient.group(1) if recipient else ""

    def _close(self, end: re.Match[str]) -> None:
        self._add_call()
        if self._bare:
            self._channel, self._passes, self._bare = None, True, False
            self._held = self._held[end.end() :]
            return
        self._channel = ""
        if end.group() in ("<|end|>", "<|return|>", "<|call|>"):
            self._held = self._held[end.end() :]

    def _add_call(self) -> None:
        if self._recipient in self._tools:
            identity = f"call_{len(self._calls) + 1}"
            arguments = call_arguments(self._arguments)
            self._calls.append(ToolCall(identity, self._recipient, arguments))
        self._recipient = self._arguments = ""

    def _write(self, length: int) -> Iterator[Chunk]:
        text, self._held = self._held[:length], self._held[length:]
        if not text:
            return
        if self._recipient:
            self._arguments += text
        elif self._channel in (None, "", "final"):
            yield Chunk(text=text)
        else:
            yield Chunk(thinking=text)
