"""Whether a failed request is worth sending again, and after how long. Opens no connection."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from memagent.engines.openai.errors import ReplyError

__all__ = ["ATTEMPTS", "PATIENCE", "Retries", "retry_after"]

ATTEMPTS = 4
PATIENCE = 30.0  # seconds, counted from the first failure
_FIRST_PAUSE = 0.5
_TEMPORARY = (429, 500, 502, 503, 504)


class Retries:
    """The attempts at one request.

    Pauses double and are drawn between nothing and their length, so that clients which failed
    together do not come back together ("full jitter",
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    `answered` says whether the server has answered any request before.
    """

    def __init__(self, *, answered: bool) -> None:
        self._answered = answered
        self._attempts = 0
        self._reconnected = False
        self._deadline: float | None = None

    def pause(self, error: ReplyError) -> float | None:
        """Seconds to wait before the next attempt, or None to give up and report the error.

        `Retry-After` is honoured; if it asks for more time than is left, the error is reported at
        once.
        """
        now = time.monotonic()
        self._attempts += 1
        self._deadline = self._deadline or now + PATIENCE
        if error.status not in _TEMPORARY or self._attempts >= ATTEMPTS:
            return None
        wait = error.wait
        if wait is None:
            wait = random.uniform(0, _FIRST_PAUSE * 2 ** (self._attempts - 1))
        return wait if now + wait <= self._deadline else None

    def reconnects(self, error: Exception) -> bool:
        """Whether to send the request again at once because an idle connection had been closed.

        Only before the first byte of an answer, once, and if the server has answered before. A
        server that refuses a new connection is down, and that is reported without a wait.
        """
        import httpx2

        broken = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
        again = self._answered and not self._reconnected and isinstance(error, broken)
        self._reconnected = True
        return again


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait, from a number or a date; None without either."""
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "").strip()
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _seconds(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
