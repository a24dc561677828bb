"""The body of a request in the form that a server accepts, as far as that is known.

A part that a server refuses is left out or replaced from then on. Opens no connection. How the
answer to a schema is bounded: docs/decisions/0009-schema-bound-json.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from memagent.engines.openai.errors import ReplyError, exceeds_context
from memagent.engines.openai.messages import PLAIN_STOP, alternating, chat_messages, plain_prompt
from memagent.engines.openai.uncertainty import TOP
from memagent.types import Message, Request, Thinking

__all__ = ["Form", "thinking_options"]

# Some servers answer 500 to a form of request that they do not have, others 200 and an error.
_REFUSALS = (200, 400, 422, 500, 501)
# How servers name the parts of a request that they can do without, most telling first.
_OPTIONAL = {
    "stream_options": r"stream.?options|include.?usage",
    "chat_template_kwargs": r"template.?kwargs|enable.?thinking",
    "reasoning_effort": r"reasoning|thinking|effort",
    "seed": r"\bseed\b",
    "temperature": r"temperature",
    "tools": r"tool|function.?call",
    "stream": r"\bstream(ing)?\b.{0,40}\b(not|unsupported|disabled)|not support.{0,40}\bstream",
}
_NO_TEMPLATE = re.compile(r"chat template", re.IGNORECASE)
_SCHEMA = re.compile(r"json.?schema|response.?format|grammar|structur", re.IGNORECASE)
_LOGPROBS = re.compile(r"logprob", re.IGNORECASE)
_ROLES = re.compile(
    r"\brole|\broles|system (message|prompt|instruction)|developer instruction|alternat",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of a request that a server accepts.

    chat: messages, else the prompt as plain text. all_roles: system and tool messages, else only
    users and assistants in turns. limit: the name of the most tokens to write. effort: the word
    for no thinking. schema: bound to a JSON schema with white space bounded too (vLLM alone), in
    the way of most servers, as an object with a schema (llama-cpp-python), or not at all.
    omitted: the optional parts that are left out.
    """

    chat: bool = True
    all_roles: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    effort: Literal["none", "low"] = "none"
    schema: Literal["bounded", "plain", "object"] | None = "plain"
    logprobs: bool = False
    omitted: frozenset[str] = frozenset()

    @property
    def tools(self) -> bool:
        """Whether tools are sent."""
        return self.chat and "tools" not in self.omitted

    def without(self, request: Request, error: ReplyError) -> Form | None:
        """The form to try next after a refusal; None if the refusal has another reason.

        Each form asks for less than the one before, so that there is a last one.
        """
        words = f"{error.words} {error.parameter}"
        if error.status not in _REFUSALS or exceeds_context(error):
            return None
        if self.chat and error.status < 500 and _NO_TEMPLATE.search(words):
            return replace(self, chat=False)
        body = self.body(request)
        if "logprobs" in body and _LOGPROBS.search(words):
            return replace(self, logprobs=False)
        if self._response_format(request) and _SCHEMA.search(words):
            return replace(self, schema=self._simpler_schema(words))
        if self.limit in body and self.limit == "max_tokens" and "max_completion_tokens" in words:
            return replace(self, limit="max_completion_tokens")
        for name, pattern in _OPTIONAL.items():
            if name in body and re.search(pattern, words, re.IGNORECASE):
                return self._without_part(name, request, words)
        if self.chat and self.all_roles and _has_roles(request.messages) and _ROLES.search(words):
            return replace(self, all_roles=False)
        return None

    def messages(self, messages: tuple[Message, ...]) -> list[dict[str, Any]]:
        """The messages of a chat completion."""
        return chat_messages(messages if self.all_roles else alternating(messages))

    def body(self, request: Request) -> dict[str, Any]:
        """The body of a completion, but for the model's name."""
        body: dict[str, Any] = {
            "stream": True,
            "stream_options": {"include_usage": True},
            self.limit: request.max_tokens,
            "temperature": request.temperature,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        bound = self._response_format(request)
        if bound is not None:
            body["response_format"] = bound
        if self.chat:
            body |= self._chat_parts(request)
        else:
            body |= self._plain_parts(request)
        return {name: part for name, part in body.items() if name not in self.omitted}

    def _chat_parts(self, request: Request) -> dict[str, Any]:
        parts: dict[str, Any] = {"messages": self.messages(request.messages)}
        if self.logprobs and request.uncertainty:
            parts |= {"logprobs": True, "top_logprobs": TOP}
        if request.tools and self._response_format(request) is None:
            parts["tools"] = list(request.tools)
        return parts | thinking_options(request.thinking, self.effort)

    def _plain_parts(self, request: Request) -> dict[str, Any]:
        parts: dict[str, Any] = {"prompt": plain_prompt(request.messages)}
        if self.logprobs and request.uncertainty:
            # Named by their text, tokens of one text (bytes of a longer character) would be one.
            parts |= {"logprobs": TOP, "return_tokens_as_token_ids": True}
        if self._response_format(request) is None:
            parts["stop"] = [PLAIN_STOP]
        return parts

    def _without_part(self, name: str, request: Request, words: str) -> Form:
        if name == "reasoning_effort" and request.thinking == "off" and self.effort == "none":
            return replace(self, effort="low")
        # A server without tools may have no messages of tools either.
        speaks_of_tools = any(message.role == "tool" for message in request.messages)
        all_roles = self.all_roles and not (name == "tools" and speaks_of_tools)
        dropped = {name, "stream_options"} if name == "stream" else {name}
        return replace(self, omitted=self.omitted | dropped, all_roles=all_roles)

    def _simpler_schema(self, words: str) -> Literal["plain", "object"] | None:
        if self.schema == "bounded":
            return "plain"
        return "object" if self.schema == "plain" and "json_object" in words else None

    def _response_format(self, request: Request) -> dict[str, Any] | None:
        """The `response_format` for the schema of a request."""
        if request.schema is None or self.schema is None:
            return None
        if self.schema == "object":
            return {"type": "json_object", "schema": request.schema}
        if self.schema == "plain":
            named = {"name": "answer", "schema": request.schema, "strict": True}
            return {"type": "json_schema", "json_schema": named}
        # Between the parts of JSON a grammar allows white space without end, and a weak model
        # takes it. 0 is refused.
        content = {"json_schema": request.schema, "max_whitespace_cnt": 1}
        return {"type": "structural_tag", "format": {"type": "json_schema", **content}}


def thinking_options(thinking: Thinking, effort: str = "none") -> dict[str, Any]:
    """The options that ask for less thinking or more; none for "auto".

    Models that think on request read `enable_thinking` or `thinking` in their chat templates, and
    those that always think read `reasoning_effort`.
    """
    if thinking == "auto":
        return {}
    on = thinking != "off"
    return {
        "chat_template_kwargs": {"enable_thinking": on, "thinking": on},
        "reasoning_effort": thinking if on else effort,
    }


def _has_roles(messages: tuple[Message, ...]) -> bool:
    return len(messages) > len(alternating(messages)) or any(
        message.role in ("system", "tool") for message in messages
    )
