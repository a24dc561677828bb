"""What of a request a server takes, as far as it is known, and the words to send it in.

A server that refuses a part of a request is asked without it from then on. Opens no connection.
How the answer to a schema is bounded: docs/decisions/0009-schema-bound-json.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from memagent.engines.openai.errors import (
    is_no_chat_template,
    is_no_logprobs,
    is_no_schema,
    is_no_tools,
)
from memagent.engines.openai.json_text import escaped
from memagent.engines.openai.wire import PLAIN_STOP, TOP, chat_messages, plain_prompt
from memagent.types import Chunk, Request

if TYPE_CHECKING:
    import openai

__all__ = ["Form"]


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of a request that a server takes.

    chat: messages, else the prompt as plain text; tools; logprobs; schema: bound to a JSON schema
    with white space bounded too (vLLM alone), in the way of all servers, or not at all.
    """

    chat: bool = True
    tools: bool = True
    logprobs: bool = False
    schema: Literal["bounded", "plain"] | None = "plain"

    def without(self, request: Request, error: openai.APIStatusError) -> Form | None:
        """The form to ask again in after a refusal; None where it has another reason.

        Each is less than the one before.
        """
        if self.chat and is_no_chat_template(error):
            return replace(self, chat=False, tools=False)
        if request.uncertainty and self.logprobs and is_no_logprobs(error):
            return replace(self, logprobs=False)
        if request.schema is not None and self.schema is not None:
            # A schema goes without tools, so these are not what is refused.
            if not is_no_schema(error):
                return None
            return replace(self, schema="plain" if self.schema == "bounded" else None)
        if request.tools and self.tools and is_no_tools(error):
            return replace(self, tools=False)
        return None

    def chat_body(self, request: Request) -> dict[str, Any]:
        """The arguments of a chat completion, but for the model's name."""
        body: dict[str, Any] = {"messages": chat_messages(request.messages)}
        if self.logprobs and request.uncertainty:
            body |= {"logprobs": True, "top_logprobs": TOP}
        bound = self._bound(request)
        if bound is not None:
            body["response_format"] = bound
        elif request.tools and self.tools:
            body["tools"] = list(request.tools)
        return body | _sampling(request)

    def plain_body(self, request: Request) -> dict[str, Any]:
        """The arguments of a completion of the plain prompt, but for the model's name."""
        body: dict[str, Any] = {"prompt": plain_prompt(request.messages)}
        extra: dict[str, Any] = {}
        if self.logprobs and request.uncertainty:
            body["logprobs"] = TOP
            # Named by their text, tokens of one text (bytes of a longer character) would be one.
            extra["return_tokens_as_token_ids"] = True
        bound = self._bound(request)
        if bound is not None:
            extra["response_format"] = bound
        else:
            body["stop"] = [PLAIN_STOP]
        return body | {"extra_body": extra} | _sampling(request)

    def mended(self, request: Request, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The chunks that answer, as valid JSON where a schema was sent."""
        return chunks if self._bound(request) is None else escaped(chunks)

    def _bound(self, request: Request) -> dict[str, Any] | None:
        """The `response_format` for the schema of a request."""
        if request.schema is None or self.schema is None:
            return None
        if self.schema == "plain":
            named = {"name": "answer", "schema": request.schema, "strict": True}
            return {"type": "json_schema", "json_schema": named}
        # Between the parts of JSON a grammar allows white space without end, and a weak model
        # takes it. 0 is refused.
        content = {"json_schema": request.schema, "max_whitespace_cnt": 1}
        return {"type": "structural_tag", "format": {"type": "json_schema", **content}}


def _sampling(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "stream_options": {"include_usage": True},
    }
    if request.seed is not None:
        options["seed"] = request.seed
    return options
