"""Failures of a model server, each turned into one line that says what to do.

Knows the exceptions of the HTTP client; knows nothing of prompts, engines or settings files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from memagent.errors import EngineError, ServerDownError, UsageError

__all__ = ["ReplyError", "exceeds_context", "explained"]

# vLLM, llama.cpp, Ollama and LM Studio each word it in their own way.
_CONTEXT = re.compile(
    r"context (length|size|window)|max_model_len|max_(completion_)?tokens\W.{0,40}too large|n_ctx",
    re.IGNORECASE,
)


class ReplyError(Exception):
    """The server refused a request, or its answer holds an error or cannot be read.

    status: the HTTP status; 200 for an error inside an answer. words: the server's own message.
    parameter: the part of the request that it names. wait: the seconds it asks to wait. location:
    where a redirect leads.
    """

    def __init__(
        self,
        words: str,
        *,
        status: int = 200,
        parameter: str = "",
        wait: float | None = None,
        location: str = "",
    ) -> None:
        super().__init__(words)
        self.words = words
        self.status = status
        self.parameter = parameter
        self.wait = wait
        self.location = location


@contextmanager
def explained(url: str, timeout: float, *, with_key: bool) -> Iterator[None]:
    """Turn every failure inside the block into an EngineError.

    `url` is the server's, `timeout` the seconds it was given, and `with_key` says whether a key
    was sent.
    """
    import httpx2

    try:
        yield
    except httpx2.ConnectTimeout as error:
        raise ServerDownError(_no_server(url)) from error
    except httpx2.TimeoutException as error:
        raise EngineError(
            f"the server at {url} gave no token for {timeout:g} s: "
            "allow more with MEMAGENT_TIMEOUT, or choose a smaller model or budget"
        ) from error
    except httpx2.ConnectError as error:
        raise ServerDownError(_no_server(url)) from error
    except httpx2.DecodingError as error:
        raise EngineError(f"the server at {url} sent compressed data that is damaged") from error
    except httpx2.RequestError as error:
        raise ServerDownError(
            f"the server at {url} went away in mid-answer: see its log, start it and ask again"
        ) from error
    except httpx2.InvalidURL as error:
        raise UsageError(f"{url!r} is not a server's URL ({error})") from error
    except ReplyError as error:
        raise EngineError(_reply(error, url, with_key)) from error


def exceeds_context(error: ReplyError) -> bool:
    """Whether the prompt or its answer is too long for the model."""
    return _CONTEXT.search(error.words) is not None


def _no_server(url: str) -> str:
    return f"no server answers at {url}: start it, or choose another with --url or MEMAGENT_URL"


def _reply(error: ReplyError, url: str, with_key: bool) -> str:
    status, words = error.status, error.words
    if 300 <= status < 400:
        to = f" to {error.location}" if error.location else ""
        return f"the server at {url} redirects{to}, which is not followed: name its own --url"
    if status in (401, 403) and not with_key:
        return (
            f"the server at {url} asks for a key ({status}): set MEMAGENT_API_KEY, "
            "and name the server with --url or MEMAGENT_URL"
        )
    if status in (401, 403):
        return f"the server at {url} refuses the key ({status}): set MEMAGENT_API_KEY to its key"
    if status == 404:
        return (
            f"the server at {url} knows no such model or address ({words}): "
            "see the names it serves at /v1/models and choose with --model"
        )
    if exceeds_context(error):
        return (
            f"the prompt and its answer do not fit the server at {url} ({words}): "
            "lower --budget, or start the server with a larger --max-model-len"
        )
    if status == 429:
        when = "later" if error.wait is None else f"in {error.wait:.0f} s"
        return f"the server at {url} is busy (429: {words}): ask again {when}, or choose another"
    if status >= 500:
        return f"the server at {url} failed ({status}: {words}): see its log and ask again"
    if status == 200:
        return f"the server at {url} failed in mid-answer ({words}): see its log"
    return f"the server at {url} refuses the request ({status}: {words})"
