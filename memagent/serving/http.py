"""GET requests without a client library, to check whether a server answers."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

__all__ = ["get"]

_MOST = 2**23  # bytes of a body


def get(url: str, path: str, *, timeout: float, api_key: str | None = None) -> bytes | None:
    """The body at `path` of the server at `url`; None unless it answers with status 200.

    `url` is with or without a trailing /v1; `timeout` in seconds, for each step. No proxy is used,
    no redirect is followed, and at most 8 MiB are read.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        try:
            root = parts.path.rstrip("/").removesuffix("/v1")
            connection.request("GET", root + path, headers=headers)
            response = connection.getresponse()
            return response.read(_MOST) if response.status == 200 else None
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError):
        return None
