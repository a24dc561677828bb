"""One OpenAI-compatible server over HTTP: its address, its key, patience with it, its JSON.

Knows nothing of prompts and answers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from memagent.engines.openai.errors import explained, is_refusal
from memagent.engines.openai.retry import Retries
from memagent.errors import UsageError

if TYPE_CHECKING:
    import openai

__all__ = ["OpenAIServer", "server_root"]

T = TypeVar("T")

# How servers answer a path or a form of request that they do not have.
_ABSENT = (400, 404, 405, 422, 501)


def server_root(url: str) -> str:
    """The server's address without a trailing slash or /v1; UsageError for what is no URL."""
    try:
        parts = urlsplit(url.strip())
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError:
        port_is_sound = False
    if not port_is_sound or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not a server's URL: write it like http://127.0.0.1:8000")
    if parts.username or parts.password:
        raise UsageError("a server's URL takes no user or password: use MEMAGENT_API_KEY")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").removesuffix("/v1")


class OpenAIServer:
    """A server at `url`; nothing is sent before the first method call.

    `timeout` is the number of seconds without a byte after which the server is given up.
    """

    def __init__(self, url: str, *, api_key: str | None, timeout: float) -> None:
        self.root = server_root(url)
        self.timeout = timeout
        self._api_key = api_key
        self._client: openai.OpenAI | None = None
        self._answered = False

    @property
    def client(self) -> openai.OpenAI:
        """The OpenAI client, made at the first use: importing it takes a third of a second."""
        if self._client is None:
            import openai

            self._client = openai.OpenAI(
                base_url=f"{self.root}/v1",
                # The client insists on a key; servers without one ignore it.
                api_key=self._api_key or "none",
                timeout=openai.Timeout(self.timeout, connect=min(5.0, self.timeout)),
                # Ours are in `ask`: the client repeats after a timeout too, and would triple the
                # wait that the user set.
                max_retries=0,
                # A proxy of the network has no way back to this machine.
                http_client=openai.DefaultHttpxClient(trust_env=not _is_loopback(self.root)),
            )
        return self._client

    def ask(self, call: Callable[[], T]) -> T:
        """Make the call, again after a pause while the server is busy or fails (429, 5xx).

        `call` is over when the answer begins: an answer that breaks off is never asked for again.
        """
        import openai

        retries = Retries(answered=self._answered)
        while True:
            try:
                answer = call()
            except openai.APIStatusError as error:
                self._answered = True
                pause = None if is_refusal(error) else retries.pause(error)
                if pause is None:
                    raise
                time.sleep(pause)
            except openai.APIConnectionError as error:
                if not retries.again_at_once(error):
                    raise
            else:
                self._answered = True
                return answer

    def explained(self) -> AbstractContextManager[None]:
        """A block in which every failure of the client becomes an EngineError."""
        return explained(self.root, self.timeout)

    def request(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object at `path` (POST with a body, else GET), {} for any other answer.

        Raises EngineError when the server is down, slow or refuses the request.
        """
        with self.explained():
            return self._json(path, body)

    def probe(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """As `request`, but {} too where the server knows no such path or form of request."""
        import openai

        with self.explained():
            try:
                return self._json(path, body)
            except openai.APIStatusError as error:
                if error.status_code not in _ABSENT:
                    raise
            except json.JSONDecodeError:
                pass
        return {}

    def _json(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        client, address = self.client, self.root + path
        if body is None:
            value = self.ask(lambda: client.get(address, cast_to=object))
        else:
            value = self.ask(lambda: client.post(address, body=body, cast_to=object))
        return value if isinstance(value, dict) else {}

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _is_loopback(root: str) -> bool:
    host = urlsplit(root).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
