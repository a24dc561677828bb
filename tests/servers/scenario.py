"""A well-behaved OpenAI-compatible server that writes numbered sentences.

`python scenario.py PORT` serves in a process of its own, so that a test can kill it. It counts
words as tokens, calls a tool that it is offered, binds JSON to a schema, and stops at `max_tokens`.
Knows nothing of memagent.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONTEXT = 4096
# Sentences of an answer, and seconds before each word.
SENTENCES = 200
DELAY = 0.005


class Handler(BaseHTTPRequestHandler):
    """The routes of the server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        models = [{"id": "scenario", "object": "model", "max_model_len": CONTEXT}]
        self._json({"object": "list", "data": models} if self.path == "/v1/models" else None)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            words = prompt_of(body).split()
            self._json({"count": len(words), "tokens": [0] * len(words), "max_model_len": CONTEXT})
        elif self.path == "/v1/chat/completions":
            self._chat(body)
        else:
            self._json(None)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""

    def _chat(self, body: dict[str, Any]) -> None:
        if not body.get("stream"):
            parts = list(answer(body))
            text = "".join(part["delta"].get("content", "") for part in parts)
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": parts[-1]["finish_reason"]}
            self._json({"choices": [choice], "usage": usage(body, len(parts) - 1)})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        # In chunks, so that an answer that broke off can be told from one that ended.
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        for part in answer(body):
            time.sleep(DELAY)
            self._event({"choices": [{"index": 0, **part}]})
            sent += part["finish_reason"] is None
        self._event({"choices": [], "usage": usage(body, sent)})
        self._chunk("data: [DONE]\n\n")
        self._chunk("")

    def _event(self, part: dict[str, Any]) -> None:
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "scenario"}
        self._chunk(f"data: {json.dumps({**chunk, **part})}\n\n")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, value: dict[str, Any] | None) -> None:
        data = json.dumps({"detail": "Not Found"} if value is None else value).encode()
        self.send_response(404 if value is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def prompt_of(body: dict[str, Any]) -> str:
    """The text of a request, whichever way it has it."""
    if "messages" in body:
        return " ".join(str(message["content"] or "") for message in body["messages"])
    return str(body.get("prompt", body.get("content", "")))


def usage(body: dict[str, Any], written: int) -> dict[str, int]:
    """The tokens of a call."""
    read = len(prompt_of(body).split())
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def answer(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The deltas of an answer, the last one with its reason to stop."""
    tools, asked = body.get("tools"), body["messages"][-1]
    if tools and asked["role"] != "tool":
        function = tools[0]["function"]
        arguments = json.dumps(instance(function["parameters"]))
        call = {"name": function["name"], "arguments": arguments}
        yield {
            "delta": {
                "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": call}]
            },
            "finish_reason": None,
        }
        yield {"delta": {}, "finish_reason": "tool_calls"}
        return
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        words = [json.dumps(instance(form["json_schema"]["schema"]))]
    else:
        words = [
            word + " "
            for number in range(1, SENTENCES + 1)
            for word in f"Sentence number {number} says something new.".split()
        ]
    most = body.get("max_tokens") or body.get("max_completion_tokens") or len(words)
    for word in words[:most]:
        yield {"delta": {"content": word}, "finish_reason": None}
    yield {"delta": {}, "finish_reason": "length" if len(words) > most else "stop"}


def instance(schema: dict[str, Any]) -> Any:
    """A value that a schema allows, with something in it."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return instance(schema["anyOf"][0])
    kind = schema.get("type")
    if kind == "object":
        return {name: instance(each) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema["items"]) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    return None if kind == "null" else "The keeper found a map."[: schema.get("maxLength")]


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
