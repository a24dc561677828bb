"""The served benchmark on a real server, and how much its prefix cache reuses."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import memagent_bench
from tests.conftest import Run
from tests.vllm.serving import CONTEXT, RealServer

pytestmark = pytest.mark.vllm

SCHEMA = Path(memagent_bench.__file__).parent / "schemas" / "bench.json"


def test_a_small_run_is_whole_and_its_prompts_are_cached(server: RealServer, run: Run) -> None:
    flags = ("--rows", "32", "--max-tokens", "16", "--json")
    done = run("bench", "served", "--url", server.url, *flags)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report["metrics"]["throughput_ratio@32"] > 0
    turns = [row for row in report["rows"] if row.get("window") == CONTEXT]
    assert len(turns) == 20
    # By the server's own counters. A prompt that no longer fits starts its log again, seldom.
    assert report["metrics"][f"cached_share@{CONTEXT}"] >= 0.6
    assert len({row["log_begun"] for row in turns}) < 6


def test_a_server_of_another_kind_is_refused(run: Run) -> None:
    refused = run("bench", "served", "--url", "http://127.0.0.1:9")
    assert refused.returncode == 4
    assert refused.stderr.count("\n") == 1
