"""Stop tokens and markers of chat templates that a server lets through, kept out of the answer.

A marker in code stays, since an answer may be about it: except at the very end of the text, where
a model puts its stop token even if it forgot to close the code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from memagent.engines.openai.text_filter import CodeSpans, TextFilter, held_back
from memagent.types import Chunk

__all__ = ["MarkerFilter"]

# Each family of models has its own. All in lower case, compared without regard to case.
_ENDS = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>",
    "<turn|>", "<|end_of_turn|>", "<|end|>", "<|return|>", "<|eot|>", "<|eos|>", "<eos>", "[eos]",
    "</s>", "<|end_of_turn_token|>", "<|end_response|>", "<|end_of_solution|>", "<|endofturn|>",
    "<｜end▁of▁sentence｜>", "<|end_of_sentence|>", "<|stop|>", "<eod>", "<|end_of_msg|>",
)  # fmt: skip
# The model goes on with a turn of somebody else.
_TURNS = (
    "<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|turn>", "<|start_of_role|>",
    "<|start|>", "<|user|>", "<|system|>", "<|assistant|>", "<|observation|>", "[inst]", "[/inst]",
    "<<sys>>", "<|start_of_turn_token|>", "<｜user｜>", "<｜assistant｜>", "<tool_response>",
)  # fmt: skip
# What a template writes before an answer, and some models write once more.
_HEADERS = (
    "<|im_start|>assistant\n", "<|start_header_id|>assistant<|end_header_id|>",
    "<start_of_turn>model\n", "<|turn>model\n", "<|start_of_role|>assistant<|end_of_role|>",
    "<|assistant|>", "<｜assistant｜>", "[/inst]", "<|start_of_turn_token|><|chatbot_token|>",
)  # fmt: skip
# Markers without a meaning for the reader; the answer goes on after them.
_SILENT = (
    "<pad>", "<|pad|>", "<bos>", "<|bos|>", "<|begin_of_text|>", "<|startoftext|>", "<unk>",
    "<|begin_of_solution|>", "<|start_response|>", "<｜begin▁of▁sentence｜>",
)  # fmt: skip
_ALL = (*_ENDS, *_TURNS, *_HEADERS, *_SILENT)
_MARKER = re.compile("|".join(map(re.escape, (*_ENDS, *_TURNS, *_SILENT))), re.IGNORECASE)
_HEADER = re.compile(rf"\s*({'|'.join(map(re.escape, _HEADERS))})\s*", re.IGNORECASE)


class MarkerFilter(TextFilter):
    """Ends the answer at a stop token, and removes the markers of templates.

    After the stop token, white space is skipped until the server's last chunk; any other text stops
    the server. is_json: the answer must be JSON, where a marker is literal unless it is at the end.
    """

    def __init__(self, *, is_json: bool = False) -> None:
        self._is_json = is_json
        self._held = ""
        self._code = CodeSpans()
        self._wrote = False
        self._trims = False
        self._ended = False
        self._struck = 0  # open <s> tags

    def text(self, text: str) -> Iterator[Chunk]:
        """The text without markers; a part of one is held back."""
        if self._ended:
            self.stopped = bool(text.strip())
            return
        self._held += text
        if not self._wrote:
            self._held = self._without_header()
        while match := self._next_marker():
            after = self._held[match.end() :]
            literal = self._is_literal(match)
            if literal and after.strip():
                yield from self._emit(match.end())
                continue
            yield from self._emit(match.start())
            if literal:
                # It is only part of the code if the code goes on.
                return
            self._held = after
            if match.group().lower() not in _SILENT:
                self._ended, self._held = True, ""
                self.stopped = bool(after.strip())
                return
        yield from self._emit(len(self._held) - held_back(self._held, _ALL))

    def release(self) -> Iterator[Chunk]:
        """What was held back, without a marker at its end."""
        match = _MARKER.search(self._held)
        if match and not self._is_strike(match):
            self._held = self._held[: match.start()]
        yield from self._emit(len(self._held))
        self._held = ""

    def end(self, last: Chunk) -> Iterator[Chunk]:
        """The rest and the last chunk; an answer that ended with a stop token was not cut."""
        yield from self.release()
        cut = self._ended and last.finish == "length"
        yield replace(last, finish="stop") if cut else last

    def _emit(self, length: int) -> Iterator[Chunk]:
        text, self._held = self._held[:length], self._held[length:]
        if text:
            self._code.add(text)
            self._struck += text.lower().count("<s>") - text.lower().count("</s>")
            self._wrote = self._wrote or bool(text.strip())
            yield Chunk(text=text)

    def _without_header(self) -> str:
        match = _HEADER.match(self._held)
        if match:
            self._trims = True
            return self._held[match.end() :]
        return self._held.lstrip() if self._trims else self._held

    def _next_marker(self) -> re.Match[str] | None:
        """The first marker that is held, unless it may become a header."""
        begins = self._held.strip().lower()
        if not self._wrote and any(header.startswith(begins) for header in _HEADERS):
            return None
        return _MARKER.search(self._held)

    def _is_literal(self, marker: re.Match[str]) -> bool:
        """Whether a marker that is held is a part of the answer, if more of it follows."""
        in_code = self._code.inside(self._held[: marker.start()])
        return (self._is_json and self._wrote) or in_code or self._is_strike(marker)

    def _is_strike(self, marker: re.Match[str]) -> bool:
        """Whether a marker that is held is the end of struck text in HTML."""
        before = self._held[: marker.start()].lower()
        open_tags = self._struck + before.count("<s>") - before.count("</s>")
        return marker.group().lower() == "</s>" and open_tags > 0
