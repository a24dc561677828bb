"""Tool calls that a model writes as text, because its server does not know their form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from memagent.engines.openai.call_forms import Tools, written_calls
from memagent.engines.openai.text_filter import CodeSpans, TextFilter, held_back
from memagent.types import Chunk, ToolCall

__all__ = ["TextCallFilter"]

# What begins a call in each family of models, and what ends it; "" is the end of the answer.
_FORMS = {
    "<tool_call>": "</tool_call>",
    "<tool_calls>": "</tool_calls>",
    "<function_call>": "</function_call>",
    "<function=": "</function>",
    "<invoke name=": "</invoke>",
    "<minimax:tool_call>": "</minimax:tool_call>",
    "<|tool_call|>": "",
    "<|python_tag|>": "",
    "[tool_calls]": "",
    "<｜tool▁calls▁begin｜>": "<｜tool▁calls▁end｜>",
    "<|start_action|>": "<|end_action|>",
}
_OPENERS = tuple(_FORMS)
_OPENER = re.compile("|".join(map(re.escape, _OPENERS)), re.IGNORECASE)
# An opening tag is markup if this follows it; otherwise the answer is about the tag. A call of
# GLM begins with the bare name of a tool.
_MARKUP = re.compile(r"\s*([{\[<]|[\w.-]+\s*(\[ARGS\]|\[CALL_ID\]|<arg_key>|\{|\())")
# An answer that begins like this may be a call without any tag around it.
_BARE_OBJECT = re.compile(
    r"(```\w*\s*|<tools>\s*)?\[?\s*\{\s*[\"'](name|function|type|tool|tool_calls|parameters|arguments)[\"']"
)
_BARE_LENGTH = 60


class TextCallFilter(TextFilter):
    """Turns calls in the text into `Chunk.tool_calls`, if they are of offered tools.

    Markup of other calls is removed. JSON or Python without any markup is a call only if it is the
    whole answer and names an offered tool. After a call, only further calls are read.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._names = re.compile(rf"\[?\s*({'|'.join(map(re.escape, tools))})(\.call)?\s*\(")
        self._held = ""
        self._code = CodeSpans()
        self._opener = ""  # of the call that is being read; "bare" without any markup
        self._may_be_bare = bool(tools)
        self._calls: list[ToolCall] = []

    def text(self, text: str) -> Iterator[Chunk]:
        """The text without calls; a call is held back to its end."""
        self._held += text
        if self._may_be_bare and not self._opener and not self._decide_bare():
            return
        while self._opener != "bare":
            if not self._opener:
                match = _OPENER.search(self._held)
                if match is None:
                    break
                if self._code.inside(self._held[: match.start()]):
                    yield from self._write(match.end())
                    continue
                yield from self._write(match.start())
                self._opener = match.group().lower()
            closer = _FORMS[self._opener]
            at = self._held.lower().find(closer, 1) if closer else -1
            if at < 0:
                return
            yield from self._read(at + len(closer))
        if not self._opener:
            yield from self._write(len(self._held) - held_back(self._held, _OPENERS))

    def release(self) -> Iterator[Chunk]:
        """What is held, unless it is a call."""
        if self._opener == "bare" or self._may_be_bare:
            self._calls += written_calls(self._held.strip(), self._tools)
            if not self._calls:
                yield from self._write(len(self._held))
        else:
            if self._opener:
                yield from self._read(len(self._held))
            yield from self._write(len(self._held))
        self._held = ""

    def end(self, last: Chunk) -> Iterator[Chunk]:
        """The rest, and the last chunk with the calls."""
        yield from self.release()
        if not self._calls:
            yield last
            return
        calls = [replace(call, id=f"call_{n}") for n, call in enumerate(self._calls, start=1)]
        yield replace(last, tool_calls=(*last.tool_calls, *calls), finish="tool_calls")

    def _decide_bare(self) -> bool:
        """Whether the beginning shows already if the answer may be a bare call."""
        begun = self._held.lstrip()
        if _BARE_OBJECT.match(begun) or self._names.match(begun):
            self._opener = "bare"
        elif not begun or (self._looks_bare(begun) and len(begun) < _BARE_LENGTH):
            return False
        self._may_be_bare = False
        return True

    def _looks_bare(self, begun: str) -> bool:
        starts = ("{", "[", "```", "<tools>", *self._tools)
        return any(begun.startswith(start) or start.startswith(begun) for start in starts)

    def _read(self, length: int) -> Iterator[Chunk]:
        """Read a call of this length; text that only looks like one is passed on."""
        block, opener, self._opener = self._held[:length], self._opener, ""
        inner = block if opener.endswith("=") else block[len(opener) :]
        calls = written_calls(_without_closer(inner), self._tools)
        self._calls += calls
        if calls or opener.endswith("=") or _MARKUP.match(inner) or not inner.strip():
            self._held = self._held[length:]
        else:
            yield from self._write(len(opener))

    def _write(self, length: int) -> Iterator[Chunk]:
        text, self._held = self._held[:length], self._held[length:]
        if text:
            self._code.add(text)
        if text and not self._calls:
            yield Chunk(text=text)


def _without_closer(text: str) -> str:
    closers = "|".join(map(re.escape, filter(None, [*_FORMS.values(), "<|/tool_call|>"])))
    return re.sub(rf"\s*({closers})\s*\Z", "", text, flags=re.IGNORECASE)
