"""One OpenAI-compatible server over HTTP: its address, its key, retries, and its JSON.

Knows nothing of prompts and answers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from memagent.engines.openai.errors import ReplyError, explained
from memagent.engines.openai.retry import Retries, retry_after
from memagent.engines.openai.words import error_words, parameter_in
from memagent.errors import UsageError

if TYPE_CHECKING:
    import httpx2

__all__ = ["OpenAIServer", "server_root"]

# The statuses with which servers answer a path or a form of request that they do not have; a proxy
# may also forbid a path, or redirect it.
_ABSENT = (301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 422, 501)


def server_root(url: str) -> str:
    """The server's address without a trailing slash or /v1; UsageError for what is no URL."""
    try:
        parts = urlsplit(url.strip())
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        port_is_valid = False
    if not port_is_valid or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not a server's URL: write it like http://127.0.0.1:8000")
    if parts.username or parts.password:
        raise UsageError("a server's URL takes no user or password: use MEMAGENT_API_KEY")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").removesuffix("/v1")


class OpenAIServer:
    """A server at `url`; nothing is sent before the first method call.

    `timeout` is the number of seconds without a byte after which the server is given up. Redirects
    are not followed, and no environment variables apply but those of proxies and certificates.
    """

    def __init__(self, url: str, *, api_key: str | None, timeout: float) -> None:
        self.root = server_root(url)
        self.timeout = timeout
        self.api_key = (api_key or "").strip() or None
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise UsageError("MEMAGENT_API_KEY holds characters that no key can have: copy it anew")
        self._client: httpx2.Client | None = None
        self._answered = False

    @property
    def client(self) -> httpx2.Client:
        """The HTTP client, made at the first use."""
        if self._client is None:
            import httpx2

            self._client = httpx2.Client(
                headers={"Authorization": f"Bearer {self.api_key}"} if self.api_key else {},
                timeout=httpx2.Timeout(self.timeout, connect=min(5.0, self.timeout)),
                limits=httpx2.Limits(max_keepalive_connections=100),
                # A proxy of the network has no way back to this machine.
                trust_env=not _is_loopback(self.root),
                follow_redirects=False,
            )
        return self._client

    def explained(self) -> AbstractContextManager[None]:
        """A block in which every failure of the server becomes an EngineError."""
        return explained(self.root, self.timeout, with_key=self.api_key is not None)

    @contextmanager
    def open(
        self,
        path: str,
        body: dict[str, Any] | None = None,
        is_final: Callable[[ReplyError], bool] = lambda error: False,
    ) -> Iterator[httpx2.Response]:
        """The answer at `path` (POST with a body, else GET), its body still to be read.

        Leaving the block closes the connection, which stops the server. The request is sent again
        after a pause while the server is busy or fails (429, 5xx), except after an error that is
        final; an answer that breaks off is never asked for again. Raises ReplyError for any
        status but 2xx, and the exceptions of httpx2.
        """
        response = self._send(path, body, is_final)
        try:
            yield response
        finally:
            response.close()

    def request(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON at `path`, None if it is none. Raises ReplyError and httpx2's exceptions."""
        with self.open(path, body) as response:
            return _decoded(response.read())

    def object(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object at `path`, {} for any other answer.

        Raises EngineError when the server is down, slow or refuses the request.
        """
        with self.explained():
            value = self.request(path, body)
        return value if isinstance(value, dict) else {}

    def probe(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """As `object`, but {} also if the server knows no such path or form of request."""
        with self.explained():
            try:
                value = self.request(path, body)
            except ReplyError as error:
                if error.status not in _ABSENT:
                    raise
                return {}
        return value if isinstance(value, dict) else {}

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _send(
        self, path: str, body: dict[str, Any] | None, is_final: Callable[[ReplyError], bool]
    ) -> httpx2.Response:
        import httpx2

        retries = Retries(answered=self._answered)
        method = "GET" if body is None else "POST"
        # All characters escaped, so that half of a surrogate pair in a text does no harm.
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"}
        while True:
            try:
                request = self.client.build_request(
                    method, self.root + path, content=content, headers=headers
                )
                response = self.client.send(request, stream=True)
                self._answered = True
                if response.is_success:
                    return response
                raise _refusal(response)
            except ReplyError as error:
                pause = None if is_final(error) else retries.pause(error)
                if pause is None:
                    raise
                time.sleep(pause)
            except httpx2.TransportError as error:
                if not retries.reconnects(error):
                    raise


def _refusal(response: httpx2.Response) -> ReplyError:
    try:
        data = response.read()
    finally:
        response.close()
    value = _decoded(data)
    words = value if value is not None else data.decode(errors="replace")
    return ReplyError(
        error_words(words or response.reason_phrase),
        status=response.status_code,
        parameter=parameter_in(value),
        wait=retry_after(response.headers),
        location=response.headers.get("location", "")[:200],
    )


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _is_loopback(root: str) -> bool:
    host = urlsplit(root).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
