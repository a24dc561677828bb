"""Two hundred mixed rows, killed twice: each id once, and the same store as one full run."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.batch.batches import results_of
from tests.conftest import PROGRAM, Run


def _rows() -> list[dict[str, object]]:
    kinds = ("add", "chat", "ask", "search", "chat", "ask", "search", "chat", "ask", "forget")
    rows: list[dict[str, object]] = []
    for n in range(200):
        kind = kinds[n % 10]
        fields = {
            "add": {"name": f"doc {n}", "text": f"Ship {n} carries {n + 3} crates of lemons."},
            "chat": {"session": f"talk {n % 3}", "text": f"I saw ship {n} in the harbour."},
            "ask": {"question": f"What does ship {n - n % 10} carry?"},
            "search": {"query": f"ship {n} lemons", "limit": 3},
            "forget": {"source": f"doc {n - 9}"},
        }[kind]
        rows.append({"id": f"row-{n}", "op": kind, **fields})
    return rows


def test_two_hundred_mixed_rows_killed_and_resumed(
    run: Run, env: dict[str, str], tmp_path: Path
) -> None:
    rows = _rows()
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out.jsonl"
    command = ["run", "in.jsonl", "--out", "out.jsonl", "--resume", "--concurrency", "2"]
    for behind in (57, 131):
        process = subprocess.Popen([PROGRAM, *command], env=env, cwd=tmp_path, stderr=-3)
        deadline = time.monotonic() + 240
        while not out.exists() or out.read_bytes().count(b"\n") < behind:
            assert process.poll() is None, "the batch ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    last = run(*command)
    assert last.returncode == 0, last.stderr
    results = results_of(out)
    assert Counter(result["id"] for result in results) == Counter(row["id"] for row in rows)
    assert {result["status"] for result in results} == {"ok"}
    for talk in range(3):
        turns = json.loads(run("sessions", "show", f"talk {talk}", "--json").stdout)
        said = [t["text"] for t in turns if t["role"] == "user" and not t["withdrawn"]]
        assert said == [r["text"] for r in rows if r.get("session") == f"talk {talk}"]
    names = [source["name"] for source in json.loads(run("memory", "list", "--json").stdout)]
    assert not [name for name in names if name.startswith("doc")]
    assert run("memory", "check").returncode == 0
