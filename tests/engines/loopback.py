"""A small OpenAI-compatible server on this machine for the faults a healthy one cannot show.

Routes are "METHOD /path"; each has replies used in order, the last one repeats. Knows nothing
of memagent.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

__all__ = [
    "Loopback",
    "Seen",
    "cut",
    "deltas",
    "drop",
    "endless",
    "events",
    "raw",
    "reply",
    "silence",
]

Reply = Callable[["Exchange"], None]


@dataclass(frozen=True)
class Seen:
    """One request as it came: the target is the whole URL when the server was used as a proxy."""

    route: str
    target: str
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer, in chunked transfer so that a break in it shows."""

    protocol_version = "HTTP/1.1"
    server: _Server
    body: dict[str, Any]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""

    def begin(self, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    @property
    def owner(self) -> Loopback:
        return self.server.owner

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.body = body = json.loads(self.rfile.read(length)) if length else {}
        route = f"{self.command} {urlsplit(self.path).path}"
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.seen.append(Seen(route, self.path, body, headers))
        # A client may leave once it has read [DONE].
        with suppress(ConnectionError):
            self.owner.next_reply(route)(self)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: Loopback


class Loopback:
    """The server, on a free port from `with` on; `hung_up` is set when a client leaves."""

    def __init__(self, **model: Any) -> None:
        listed = {"object": "list", "data": [{"id": "toy", "object": "model", **model}]}
        self.routes: dict[str, list[Reply]] = {"GET /v1/models": [reply(listed)]}
        self.seen: list[Seen] = []
        self.hung_up = threading.Event()
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Exchange)
        self._server.owner = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def on(self, route: str, *replies: Reply) -> None:
        """Answer `route` with these, in order; the last one repeats."""
        self.routes[route] = list(replies)

    def next_reply(self, route: str) -> Reply:
        """The reply that is due; 404 for a route without any."""
        replies = self.routes.get(route, [reply({"detail": "Not Found"}, 404)])
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def bodies(self, route: str) -> list[dict[str, Any]]:
        """What was sent to `route`, in order."""
        return [seen.body for seen in self.seen if seen.route == route]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


def reply(
    body: object, status: int = 200, content_type: str = "application/json", **headers: str
) -> Reply:
    """A whole answer: JSON, or the text itself for another content type.

    `headers` are written with _ for -: `retry_after="1"`.
    """
    text = json.dumps(body) if content_type == "application/json" else str(body)

    def send(exchange: Exchange) -> None:
        data = text.encode()
        exchange.send_response(status)
        exchange.send_header("Content-Type", content_type)
        exchange.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            exchange.send_header(name.replace("_", "-"), value)
        exchange.end_headers()
        exchange.wfile.write(data)

    return send


def deltas(*texts: str, finish: str | None = "stop") -> list[dict[str, Any]]:
    """Chunks of a chat completion: the texts, then finish reason and usage unless it is None."""
    parts: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        for text in texts
    ]
    if finish is not None:
        parts.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        usage = {"prompt_tokens": 7, "completion_tokens": len(texts), "total_tokens": 0}
        parts.append({"choices": [], "usage": usage})
    return parts


def events(parts: Iterable[dict[str, Any]], *, done: bool = True) -> Reply:
    """The parts as server-sent events, ended properly; without [DONE] when `done` is False."""
    kept = list(parts)

    def send(exchange: Exchange) -> None:
        exchange.begin("text/event-stream")
        for part in kept:
            exchange.piece(_event(part))
        if done:
            exchange.piece(b"data: [DONE]\n\n")
        exchange.piece(b"")

    return send


def raw(*pieces: str, content_type: str = "text/event-stream") -> Reply:
    """A body in these pieces as they are."""

    def send(exchange: Exchange) -> None:
        exchange.begin(content_type)
        for piece in pieces:
            exchange.piece(piece.encode())
        exchange.piece(b"")

    return send


def drop(parts: Iterable[dict[str, Any]]) -> Reply:
    """The parts as server-sent events, and then the connection breaks."""
    kept = list(parts)

    def send(exchange: Exchange) -> None:
        exchange.begin("text/event-stream")
        for part in kept:
            exchange.piece(_event(part))
        exchange.close_connection = True

    return send


def cut(exchange: Exchange) -> None:
    """Close the connection without a byte of an answer."""
    exchange.close_connection = True


def silence(parts: Iterable[dict[str, Any]] = ()) -> Reply:
    """The parts as server-sent events, and then nothing until the server is closed."""
    kept = list(parts)

    def send(exchange: Exchange) -> None:
        exchange.begin("text/event-stream")
        for part in kept:
            exchange.piece(_event(part))
        exchange.owner.over.wait()
        exchange.close_connection = True

    return send


def endless(exchange: Exchange) -> None:
    """Words without end; notes when the client hangs up."""
    exchange.begin("text/event-stream")
    exchange.close_connection = True
    part = _event(deltas("word ", finish=None)[0])
    while not exchange.owner.over.wait(0.01):
        try:
            exchange.piece(part)
        except OSError:
            exchange.owner.hung_up.set()
            return


def _event(part: dict[str, Any]) -> bytes:
    whole = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "toy", **part}
    return f"data: {json.dumps(whole)}\n\n".encode()
