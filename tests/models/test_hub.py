"""Models of the hub, from a server that answers as the hub does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.conftest import Run
from tests.models.test_get import left, one_error

COMMIT = "a" * 40
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": b"weights",
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"a pickle",
    "modeling.py": b"print('never run')",
    "onnx/model.safetensors": b"another format",
}


@contextmanager
def hub(files: dict[str, bytes], refusal: tuple[int, str] | None = None) -> Iterator[str]:
    """The URL of a hub with the model owner/name, or one that refuses with (status, code)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if refusal is not None:
                self._send(refusal[0], b"{}", {"X-Error-Code": refusal[1]})
            elif self.path.startswith("/api/models/owner/name"):
                siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
                about = {"id": "owner/name", "sha": COMMIT, "siblings": siblings}
                self._send(200, json.dumps(about).encode(), {"Content-Type": "application/json"})
            else:
                name = self.path.partition(f"/resolve/{COMMIT}/")[2]
                head = {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT}
                self._send(200, files[name], head)

        do_HEAD = do_GET  # noqa: N815

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_only_weights_without_code_are_downloaded(run: Run, tmp_path: Path) -> None:
    with hub(FILES) as url:
        done = run("model", "get", "owner/name", HF_ENDPOINT=url)
    assert done.returncode == 0, done.stderr
    folder = Path(run("model", "path", "owner/name").stdout.strip())
    assert left(folder) == ["config.json", "memagent.json", "model.safetensors", "tokenizer.json"]
    assert (folder / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("files", "refusal", "code", "says"),
    [
        ({"config.json": b"{}", "model.bin": b""}, None, 1, "has no safetensors"),
        ({"model.gguf": b""}, None, 1, "has no config.json"),
        ({}, (401, "RepoNotFound"), 3, "has no model owner/name"),
        ({}, (403, "GatedRepo"), 1, "is gated: accept its terms"),
        ({}, (500, ""), 1, "refuses owner/name"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(
    files: dict[str, bytes],
    refusal: tuple[int, str] | None,
    code: int,
    says: str,
    run: Run,
    tmp_path: Path,
) -> None:
    with hub(files, refusal) as url:
        assert says in one_error(run("model", "get", "owner/name", HF_ENDPOINT=url), code)
    assert left(tmp_path / "models") == []


def test_a_hub_out_of_reach_is_said_in_one_line(run: Run, tmp_path: Path) -> None:
    for reason in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}):
        assert "cannot be reached" in one_error(run("model", "get", "owner/name", **reason))
    assert left(tmp_path / "models") == []
