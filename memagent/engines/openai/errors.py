"""What went wrong between this machine and a model server, said in one line with the cure.

Knows the OpenAI client's exceptions; knows nothing of prompts, engines or settings files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memagent.engines.openai.retry import retry_after
from memagent.errors import EngineError, ServerDownError

if TYPE_CHECKING:
    import openai

__all__ = [
    "explained",
    "is_no_chat_template",
    "is_no_logprobs",
    "is_no_schema",
    "is_no_tools",
    "is_refusal",
    "server_words",
]

# vLLM, llama.cpp, Ollama and LM Studio each word it in their own way.
_CONTEXT = re.compile(
    r"context (length|size|window)|max_model_len|max_(completion_)?tokens\W.{0,40}too large|n_ctx",
    re.IGNORECASE,
)
_SCHEMA = re.compile(r"json.?schema|response.?format|grammar|structur", re.IGNORECASE)
# Some servers answer 500 to a form of request that they do not have.
_REFUSALS = (400, 422, 500, 501)


@contextmanager
def explained(url: str, timeout: float) -> Iterator[None]:
    """Turn every failure of the OpenAI client inside the block into an EngineError."""
    import openai

    try:
        yield
    except openai.APITimeoutError as error:
        raise _timeout(error, url, timeout) from error
    except openai.APIConnectionError as error:
        raise ServerDownError(_connection(error, url)) from error
    except openai.APIStatusError as error:
        raise EngineError(_status(error, url)) from error
    except openai.APIError as error:
        raise EngineError(
            f"the server at {url} failed in mid-answer ({server_words(error)}): see its log"
        ) from error
    except json.JSONDecodeError as error:
        raise EngineError(
            f"the server at {url} sent what is not JSON: is it an OpenAI-compatible server?"
        ) from error


def server_words(error: openai.APIError) -> str:
    """The server's own message on one line, at most 300 characters."""
    body = error.body
    words = body.get("message") if isinstance(body, dict) else body
    if not isinstance(words, str) or not words.strip():
        words = error.message
    line = " ".join(words.split())
    return line if len(line) <= 300 else line[:299] + "…"


def is_no_chat_template(error: openai.APIStatusError) -> bool:
    """Whether the server refuses chat because its model has no chat template."""
    return error.status_code < 500 and "chat template" in server_words(error).lower()


def is_no_tools(error: openai.APIStatusError) -> bool:
    """Whether the server refuses the request for the tools in it."""
    return error.status_code in _REFUSALS and "tool" in server_words(error).lower()


def is_no_schema(error: openai.APIStatusError) -> bool:
    """Whether the server refuses the request for the JSON schema in it, or its form."""
    return error.status_code in _REFUSALS and _SCHEMA.search(server_words(error)) is not None


def is_no_logprobs(error: openai.APIStatusError) -> bool:
    """Whether the server refuses the request for the log-probabilities that it asks for."""
    return error.status_code in _REFUSALS and "logprob" in server_words(error).lower()


def is_refusal(error: openai.APIStatusError) -> bool:
    """Whether the server refuses a part of the request and would refuse it again."""
    return is_no_tools(error) or is_no_schema(error) or is_no_logprobs(error)


def _timeout(error: openai.APITimeoutError, url: str, timeout: float) -> EngineError:
    import httpx2

    if isinstance(error.__cause__, httpx2.ConnectTimeout):
        return ServerDownError(_nobody(url))
    return EngineError(
        f"the server at {url} gave no token for {timeout:g} s: "
        "allow more with MEMAGENT_TIMEOUT, or choose a smaller model or budget"
    )


def _connection(error: openai.APIConnectionError, url: str) -> str:
    import httpx2

    if isinstance(error.__cause__, httpx2.ConnectError):
        return _nobody(url)
    return f"the server at {url} went away in mid-answer: see its log, start it and ask again"


def _nobody(url: str) -> str:
    return f"no server answers at {url}: start it, or choose another with --url or MEMAGENT_URL"


def _status(error: openai.APIStatusError, url: str) -> str:
    status, words = error.status_code, server_words(error)
    if status in (401, 403):
        return f"the server at {url} refuses the key ({status}): set MEMAGENT_API_KEY to its key"
    if status == 404:
        return (
            f"the server at {url} knows no such model or address ({words}): "
            "see the names it serves at /v1/models and choose with --model"
        )
    if _CONTEXT.search(words):
        return (
            f"the prompt and its answer do not fit the server at {url} ({words}): "
            "lower --budget, or start the server with a larger --max-model-len"
        )
    if status == 429:
        wait = retry_after(error)
        when = "later" if wait is None else f"in {wait:.0f} s"
        return f"the server at {url} is busy (429: {words}): ask again {when}, or choose another"
    if status >= 500:
        return f"the server at {url} failed ({status}: {words}): see its log and ask again"
    return f"the server at {url} refuses the request ({status}: {words})"
