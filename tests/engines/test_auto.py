"""Which engine is chosen, against real sockets on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memagent.engines import registry as auto
from memagent.engines.base import Engine
from memagent.engines.scripted import ScriptedEngine
from memagent.errors import EngineError, UsageError
from memagent.memory.index.embedder import Embedder
from memagent.serving.record import began
from memagent.settings import ENGINES, Settings
from tests.engines.loopback import Loopback, reply, silence

POCKET = ScriptedEngine(["pocket"])
POCKET.name = "pocket"
STREAM = ScriptedEngine(["stream"])
EMBEDDER = Embedder("minilm")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server on the well-known ports, whatever runs on the machine."""
    monkeypatch.setattr(auto, "LOCAL_SERVERS", (f"http://127.0.0.1:{free_port()}",))


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A state folder of its own, and no engine that loads a model."""
    monkeypatch.setenv("MEMAGENT_STATE", str(tmp_path))
    made = {"pocket": POCKET, "stream": STREAM}
    find = auto.factory
    monkeypatch.setattr(
        auto,
        "factory",
        lambda name: (lambda context: (made[name], "asked for")) if name in made else find(name),
    )


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(max_model_len=512) as running:
        yield running


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def choose(tmp_path: Path, engine: str = "auto", **settings: Any) -> tuple[Engine, str]:
    context = auto.EngineContext(Settings(engine=engine, **settings), EMBEDDER)
    chosen, reason = auto.choose(context)
    chosen.close()
    assert "\n" not in reason
    return chosen, reason


def fails(tmp_path: Path, engine: str = "auto", **settings: Any) -> str:
    with pytest.raises(EngineError) as caught:
        choose(tmp_path, engine, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def record(tmp_path: Path, url: str, pid: int) -> None:
    text = json.dumps({"url": url, "pid": pid, "began": began(pid), "model": "toy"})
    (tmp_path / "server.json").write_text(text, encoding="utf-8")


def test_with_nothing_there_pocket_answers_and_says_why(tmp_path: Path) -> None:
    engine, reason = choose(tmp_path)
    assert engine is POCKET
    place = auto.LOCAL_SERVERS[0].removeprefix("http://")
    assert reason == f"engine: pocket (no server in the settings, none on {place})"


def test_pocket_asked_for_looks_for_no_server(
    tmp_path: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "LOCAL_SERVERS", (server.url,))
    assert choose(tmp_path, "pocket")[0] is POCKET
    assert choose(tmp_path, "stream")[0] is STREAM
    assert server.seen == []


@pytest.mark.parametrize("engine", ["auto", "vllm"])
def test_a_url_in_the_settings_comes_first(tmp_path: Path, server: Loopback, engine: str) -> None:
    with Loopback() as started:
        record(tmp_path, started.url, os.getpid())
        chosen, reason = choose(tmp_path, engine, url=server.url, context=300)
        assert started.seen == []
    assert (chosen.name, chosen.model, chosen.context) == ("vllm", "toy", 300)
    assert reason == f"engine: vllm (toy at {server.url}, the settings)"


def test_a_url_that_does_not_answer_is_an_error_and_no_fallback(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert f"no server answers at {url}" in fails(tmp_path, url=url)


@pytest.mark.parametrize("engine", ["auto", "vllm"])
def test_a_server_that_memagent_started_is_found(
    tmp_path: Path, server: Loopback, engine: str
) -> None:
    record(tmp_path, server.url, os.getpid())
    chosen, reason = choose(tmp_path, engine)
    assert chosen.model == "toy"
    assert reason == f"engine: vllm (toy at {server.url}, started by memagent)"


def test_a_record_of_a_dead_process_is_ignored(tmp_path: Path, server: Loopback) -> None:
    record(tmp_path, server.url, dead_pid())
    assert choose(tmp_path)[0] is POCKET
    assert server.seen == []


def test_a_started_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    record(tmp_path, url, os.getpid())
    engine, reason = choose(tmp_path)
    assert engine is POCKET
    assert f"the one started at {url} does not answer" in reason


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"url": 3, "pid": 4}', '{"url": "x", "pid": -1}', '{"url": "x", "pid": "1"}'],
)
def test_a_damaged_record_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text, encoding="utf-8")
    assert choose(tmp_path)[0] is POCKET


@pytest.mark.parametrize("engine", ["auto", "vllm"])
def test_a_server_on_a_well_known_port_is_found(
    tmp_path: Path, server: Loopback, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "LOCAL_SERVERS", (*auto.LOCAL_SERVERS, server.url))
    chosen, reason = choose(tmp_path, engine)
    assert chosen.model == "toy"
    assert reason == f"engine: vllm (toy at {server.url}, found on this machine)"


@pytest.mark.parametrize(
    "other",
    [
        reply({"detail": "Not Found"}, 404),
        reply({"object": "list", "data": []}),
        reply({"models": ["toy"]}),
        reply([1]),
        reply("<html>hello</html>", 200, "text/html"),
        silence(),
    ],
)
def test_other_servers_are_skipped(
    tmp_path: Path, server: Loopback, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET /v1/models", other)
    monkeypatch.setattr(auto, "LOCAL_SERVERS", (server.url,))
    assert choose(tmp_path)[0] is POCKET
    assert len(server.seen) == 1


def test_the_local_server_with_the_wanted_model_is_taken(
    tmp_path: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET /v1/models", reply({"data": [{"id": "first"}, {"id": "second"}]}))
    with Loopback() as toy:
        monkeypatch.setattr(auto, "LOCAL_SERVERS", (toy.url, server.url))
        engine, _ = choose(tmp_path, model="second")
        assert engine.model == "second"
        message = fails(tmp_path, model="third")
    assert f"{toy.url} has toy; {server.url} has first, second" in message


def test_a_model_without_any_server_is_an_error_and_no_fallback(tmp_path: Path) -> None:
    assert "'toy' needs a server" in fails(tmp_path, model="toy")


def test_vllm_without_any_server_names_the_cure(tmp_path: Path) -> None:
    message = fails(tmp_path, "vllm")
    assert "there is no server in the settings, none on 127.0.0.1:" in message
    assert "--url or MEMAGENT_URL" in message


def test_scripted_takes_the_script(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"text": "Yes."}\n', encoding="utf-8")
    engine, reason = choose(tmp_path, "scripted", script=script)
    assert isinstance(engine, ScriptedEngine)
    assert str(script) in reason
    assert isinstance(choose(tmp_path, "scripted")[0], ScriptedEngine)


def test_an_unknown_engine_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be one of auto, pocket, scripted, stream, vllm"):
        choose(tmp_path, "gpt")


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_of_the_table_can_be_made(name: str) -> None:
    assert callable(auto.factory(name))
