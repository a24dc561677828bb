"""What a prompt holds for a small, a large and a slow model."""

from __future__ import annotations

from pathlib import Path

from memagent.agent.model_fit import (
    neighbour_share,
    offers_tools,
    recall_budget,
    refuses,
    slowness,
)
from memagent.engines.openai.engine import VllmEngine
from memagent.engines.openai.speed import ReadingSpeed
from memagent.engines.scripted import ScriptedEngine
from memagent.settings import Settings


def engine(size: float | None, context: int = 32768) -> VllmEngine:
    """An engine that is never connected, with a model of so many billions of parameters."""
    made = VllmEngine("http://127.0.0.1:9", context=context)
    made.size, made._connected = size, True
    return made


def test_a_small_model_gets_little_text_no_tools_and_no_order_to_refuse() -> None:
    small, large = engine(0.5), engine(8.0)
    budgets = [recall_budget(Settings(), engine(size)) for size in (0.5, 1.5, 8.0)]
    assert budgets == sorted(set(budgets))
    assert (offers_tools(small), offers_tools(large)) == (False, True)
    assert (refuses(small), refuses(large)) == (False, True)


def test_a_model_of_unknown_size_is_judged_by_its_context() -> None:
    small, large = engine(None, 8192), engine(None, 32768)
    assert recall_budget(Settings(), small) < recall_budget(Settings(), large)
    assert offers_tools(small)


def test_a_small_budget_has_no_room_for_neighbours() -> None:
    assert neighbour_share(Settings(), 400) == 0
    assert neighbour_share(Settings(), 2000) == Settings().contiguity
    assert neighbour_share(Settings(contiguity=0.2), 400) == 0.2


def test_a_budget_that_is_set_is_kept() -> None:
    assert recall_budget(Settings(budget=1234), engine(0.5)) == 1234
    assert recall_budget(Settings(budget=1234), ScriptedEngine(["x"], context=1000)) == 500


def test_a_slow_server_gets_what_it_reads_in_time() -> None:
    slow = engine(8.0)
    slow.speed = ReadingSpeed(None, "here", "m")
    assert slowness(Settings(), slow) == ""
    slow.speed.measure(500, 25.0)
    assert slow.reading_speed == 20.0
    assert recall_budget(Settings(first_token=30), slow) == 500
    assert "500 tokens" in slowness(Settings(first_token=30), slow)
    assert recall_budget(Settings(first_token=3000), slow) == recall_budget(Settings(), engine(8.0))


def test_the_speed_is_measured_once_a_run_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "state" / "speeds.json"
    first = ReadingSpeed(file, "http://a", "m")
    first.measure(100, 1.0)
    assert first.tokens_per_second is None
    first.measure(400, 4.0)
    first.measure(400, 0.1)
    assert first.tokens_per_second == 100.0
    again = ReadingSpeed(file, "http://a", "m")
    assert again.tokens_per_second == 100.0
    again.measure(400, 2.0)
    assert ReadingSpeed(file, "http://a", "m").tokens_per_second == 150.0
    assert ReadingSpeed(file, "http://b", "m").tokens_per_second is None


def test_a_damaged_file_of_speeds_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "speeds.json"
    file.write_text("{broken")
    speed = ReadingSpeed(file, "http://a", "m")
    speed.measure(400, 4.0)
    assert ReadingSpeed(file, "http://a", "m").tokens_per_second == 100.0
