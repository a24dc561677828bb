"""Running vLLM as a process: start it, wait until it answers, watch it, stop it with its workers.

Knows processes and signals; knows nothing of engines and requests.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from memagent.errors import EngineError, MemagentError, NotFoundError
from memagent.serving.failure_log import failure_reason, last_line
from memagent.serving.http import get
from memagent.serving.record import Record, began, check_vacant, forget, write
from memagent.serving.server_spec import ServerSpec

__all__ = ["attend", "started", "stop", "stoppable", "wait"]

_POLL_SECONDS = 0.25
# Time for vLLM to stop its workers; on a CPU it takes two seconds.
_PATIENCE_SECONDS = 30.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def started(spec: ServerSpec, state_dir: Path) -> Iterator[tuple[Record, subprocess.Popen[bytes]]]:
    """A block around a server that was started and recorded, but may not answer yet.

    The server keeps running after the block, unless the block raises: then the process and the
    record are removed. Raises MemagentError if a recorded server is still running, the port is
    taken or vLLM is not installed.
    """
    check_vacant(state_dir)
    port = _port(spec)
    _check_python(spec.python)
    log = state_dir / "server.log"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(spec.host, spec.host)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    with _signals_deferred() as signals:
        process = _spawn(spec, port, log)
        record = Record(url, spec.served_name, process.pid, began(process.pid), str(log))
    try:
        if signals:
            raise KeyboardInterrupt
        write(state_dir, record)
        yield record, process
    except BaseException:
        _end(record, process, state_dir)
        raise


def wait(record: Record, process: subprocess.Popen[bytes], show: Callable[[str], None]) -> None:
    """Return when the server answers; meanwhile `show` gets the last line of its log repeatedly.

    Raises EngineError if the server ends.
    """
    log = Path(record.log or "")
    while get(record.url, "/health", timeout=5.0) is None:
        if (code := process.poll()) is not None:
            raise EngineError(f"vLLM cannot serve {record.model}: {_why(code, log)}")
        show(last_line(log))
        time.sleep(_POLL_SECONDS)


def attend(record: Record, process: subprocess.Popen[bytes], state_dir: Path) -> None:
    """Return when the server was stopped, here or elsewhere; EngineError when it fails."""
    try:
        code = process.wait()
    except KeyboardInterrupt:
        code = 0
    _end(record, process, state_dir)
    if code not in (0, -signal.SIGTERM):
        raise EngineError(f"vLLM stopped unexpectedly: {_why(code, Path(record.log or ''))}")


def stop(record: Record, state_dir: Path) -> None:
    """Stop a recorded server and its workers, and remove the record; an attached one keeps running.

    Sends SIGTERM; what is left of the process group once the server has ended, or after 30 seconds,
    is killed. Signals to this process do not interrupt this.
    """
    if record.pid is None or not record.lives():
        forget(state_dir, record)
        return
    with _signals_deferred():
        with suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while record.lives() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS / 5)
        _kill_group(record.pid)
        while record.lives():
            time.sleep(_POLL_SECONDS / 5)
        forget(state_dir, record)


@contextmanager
def stoppable() -> Iterator[None]:
    """A block in which SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextmanager
def _signals_deferred() -> Iterator[list[int]]:
    """A block that signals do not interrupt; the list collects those that arrived."""
    came: list[int] = []
    with _handled(lambda number, frame: came.append(number)):
        yield came


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in _SIGNALS]
    try:
        for number, former in before:
            # A program started with nohup should outlive its terminal.
            if former != signal.SIG_IGN:
                signal.signal(number, handler)
        yield
    finally:
        for number, former in before:
            signal.signal(number, former)


def _end(record: Record, process: subprocess.Popen[bytes], state_dir: Path) -> None:
    """Stop the server, or the processes it left if it has already ended."""
    stop(record, state_dir)
    process.wait()
    _kill_group(process.pid)


def _why(code: int, log: Path) -> str:
    if code == -signal.SIGKILL:
        return f"it was killed, perhaps for want of memory (log: {log})"
    return failure_reason(log)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _check_python(python: Path) -> None:
    look = "from importlib.util import find_spec; raise SystemExit(find_spec('vllm') is None)"
    try:
        code = subprocess.run([python, "-c", look], capture_output=True, check=False).returncode
    except OSError as error:
        raise NotFoundError(f"{python} cannot be run ({error.strerror}): see --python") from error
    if code:
        raise MemagentError(
            f"{python} has no vLLM: pip install 'memagent[vllm]', or name the Python that has it "
            "with --python or MEMAGENT_VLLM_PYTHON"
        )


def _port(spec: ServerSpec) -> int:
    """The port to serve on, free at this moment."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            spec.host, spec.port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            # Recently closed connections must not block the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            return int(listener.getsockname()[1])
    except OSError as error:
        raise MemagentError(
            f"{spec.host} port {spec.port} cannot be served on ({error.strerror}): "
            "choose another with --port, 0 for any that is free"
        ) from error


def _spawn(spec: ServerSpec, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the server in its own process group, out of reach of the terminal's Ctrl-C."""
    command = spec.command(port)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=spec.environment(),
                start_new_session=True,
            )
    except OSError as error:
        raise MemagentError(f"vLLM cannot be started with its log at {log}: {error}") from error
