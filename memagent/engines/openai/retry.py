"""When a request that failed is worth asking again, and after how long.

Knows the OpenAI client's exceptions; opens no connection.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openai

__all__ = ["PATIENCE", "TRIES", "Retries", "retry_after"]

TRIES = 4
PATIENCE = 30.0  # seconds from the first failure on
_FIRST_PAUSE = 0.5
_PASSING = (429, 500, 502, 503, 504)


class Retries:
    """The tries of one request.

    Pauses double and are drawn between nothing and their length, so that clients which failed
    together do not come back together ("full jitter",
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    def __init__(self, *, answered: bool) -> None:
        self._answered = answered
        self._tried = 0
        self._closed = False
        self._deadline: float | None = None

    def pause(self, error: openai.APIStatusError) -> float | None:
        """Seconds to wait before asking again after a refusal; None where it is to be told.

        `Retry-After` is honoured, and told at once where it asks for more than is left.
        """
        now = time.monotonic()
        self._tried += 1
        self._deadline = self._deadline or now + PATIENCE
        if error.status_code not in _PASSING or self._tried >= TRIES:
            return None
        wanted = retry_after(error)
        if wanted is None:
            wanted = random.uniform(0, _FIRST_PAUSE * 2 ** (self._tried - 1))
        return wanted if now + wanted <= self._deadline else None

    def again_at_once(self, error: openai.APIConnectionError) -> bool:
        """Whether a connection broke that the server may have closed while it lay idle.

        Only before the first byte of an answer, once, and where the server has answered before.
        A server that refuses a new connection is down, and that is told without a wait.
        """
        import httpx2

        broken = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
        again = self._answered and not self._closed and isinstance(error.__cause__, broken)
        self._closed = True
        return again


def retry_after(error: openai.APIStatusError) -> float | None:
    """The seconds that the server asks to wait, given as such or as a date; None without."""
    words = error.response.headers.get("retry-after", "").strip()
    try:
        if words.isdecimal():
            return float(words)
        moment = parsedate_to_datetime(words)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
