"""The kernel benchmark on small sizes: its report, and that it rejects wrong results."""

import builtins
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

import memagent_bench
from memagent.errors import InputError
from memagent.kernels import vectorised
from memagent_bench import plots
from memagent_bench.kernels import rivals
from memagent_bench.kernels.chunk import Chunk, History
from memagent_bench.kernels.clock import HostClock, Times
from memagent_bench.kernels.measure import measure
from memagent_bench.kernels.setup import GPU, TINY, Findings, Setup, relative_error
from memagent_bench.report import CheckError
from tests.conftest import Run

SCHEMA = json.loads((Path(memagent_bench.__file__).parent / "schemas" / "bench.json").read_text())
AT_EACH = (
    "decode_us",
    "decode_full_us",
    "decode_sdpa_us",
    "decode_over_sdpa",
    "decode_attention_us",
    "decode_selection_mean_us",
    "decode_selection_bound_us",
    "dense_share",
    "mass_kept_random",
    "mass_kept_planted",
    "mass_kept_planted_bound",
    "prefill_us",
    "prefill_sdpa_us",
    "prefill_speedup",
)


@pytest.fixture
def setup() -> Setup:
    """The smallest sizes on the CPU."""
    return Setup.of("tiny", "torch", seed=1)


def test_the_bench_reports_its_figures(run: Run, tmp_path: Path) -> None:
    done = run(
        *("bench", "kernels", "--size", "tiny", "--json"),
        *("--out", tmp_path / "results", "--plot", tmp_path / "plots"),
    )
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    jsonschema.validate(value, SCHEMA)
    assert json.loads((tmp_path / "results" / "kernels.json").read_text()) == value
    assert (tmp_path / "plots" / "kernels.png").read_bytes().startswith(b"\x89PNG")
    metrics = value["metrics"]
    wanted = {f"{name}@{keys}" for name in AT_EACH for keys in TINY.histories}
    wanted |= {"dense_share", "copy_gb_s", "matmul_tflops", "error_fp32", "landmark_training_us"}
    assert wanted <= set(metrics)
    assert all(number > 0 for number in metrics.values())
    for keys in TINY.histories:
        assert metrics[f"mass_kept_planted@{keys}"] > 0.85
        assert metrics[f"mass_kept_random@{keys}"] < 0.7
    timed = [row for row in value["rows"] if "us_p10" in row]
    assert timed and all(row["us_p10"] <= row["us"] <= row["us_p90"] for row in timed)
    errors = [row for row in value["rows"] if "budget" in row]
    assert errors and all(row["error"] <= row["budget"] for row in errors)


def test_an_unknown_size_is_one_line(run: Run) -> None:
    done = run("bench", "kernels", "--size", "huge")
    assert done.returncode == 1
    assert done.stderr == "memagent: no size 'huge': choose tiny or full\n"


@pytest.mark.parametrize("spoil", ("attend", "score", "select"))
def test_a_wrong_result_reports_no_figure(spoil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[..., Any] = getattr(vectorised, spoil)

    def wrong(*arguments: Any, **options: Any) -> Any:
        found = right(*arguments, **options)
        if spoil == "attend":
            return found._replace(out=found.out * 1.02)
        return found * 1.02 if spoil == "score" else found.flip(-1)

    monkeypatch.setattr(vectorised, spoil, wrong)
    with pytest.raises(CheckError, match=spoil):
        measure("tiny")


def test_nothing_passes_that_is_not_a_number() -> None:
    findings = Findings(lambda line: None)
    ours, expected = torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 2.0])
    with pytest.raises(CheckError, match="error nan"):
        findings.check("x", "bfloat16", relative_error(ours, expected))
    infinite = torch.tensor([1.0, float("-inf")])
    assert relative_error(infinite, infinite) == 0
    assert not relative_error(expected, infinite) <= 1
    with pytest.raises(CheckError, match="not"):
        relative_error(ours, ours[None])


@pytest.mark.parametrize("tokens", (1, 128))
def test_a_chunk_is_the_same_attention_for_every_rival(setup: Setup, tokens: int) -> None:
    history = History(setup, 1024)
    chunk = Chunk(setup, history, tokens)
    q, k, v = chunk.dense(0)
    full = chunk.attend(0, chunk.full).out
    names = []
    for name, call in rivals.dense(q, k, v):
        try:
            assert relative_error(call()[:, :, -1], full[:, :, -1]) < 1e-5, name
        except RuntimeError as refused:
            assert rivals.refusal(refused).startswith("RuntimeError: ")
            continue
        names.append(name)
    assert {"sdpa math", "sdpa math, heads as queries"} <= set(names)


def test_blocks_for_flex_attention_are_the_listed_pages() -> None:
    pages = torch.tensor([0, 3, 7, 12, 13, 14, 15])
    one = rivals.flex_mask(1, 1024, pages, 64, own=0)
    assert one.to_dense()[0, 0].nonzero()[:, 1].tolist() == pages.tolist()
    chunk = rivals.flex_mask(256, 1024, pages, 64, own=4)
    seen = chunk.to_dense()[0, 0]
    assert seen[0].nonzero()[:, 0].tolist() == [0, 3, 7, 12, 13]
    assert seen[1].nonzero()[:, 0].tolist() == pages.tolist()
    query, key = torch.arange(256)[:, None], torch.arange(1024)
    causal = chunk.mask_mod(0, 0, query, key)
    assert torch.equal(causal, key <= query + 768)


def test_selecting_everything_keeps_all_attention(setup: Setup) -> None:
    setup.sizes = replace(TINY, top=5)
    chunk = Chunk(setup, History(setup, 512), 1)
    assert chunk.far == 5
    assert chunk.kept(0, "mean") == pytest.approx(1)


def test_goals_say_what_was_met() -> None:
    share, ratio = GPU.goals[0], GPU.goals[1]
    assert [share.row(value)["met"] for value in (0.7, 0.85, 0.9)] == ["no", "must", "aim"]
    assert [ratio.row(value)["met"] for value in (0.4, 0.25, 0.1)] == ["no", "must", "aim"]


def test_layers_exceed_the_cache_and_fit_the_memory() -> None:
    for keys in GPU.histories:
        pages = 2 * keys * GPU.kv_heads * GPU.dim * 2
        assert 1 < GPU.sets(keys) <= GPU.held / pages
    assert TINY.sets(1024) == 1


def test_a_clock_visits_every_set_and_counts_little_of_what_is_slow() -> None:
    seen: list[int] = []
    times = HostClock(0.001).eager(seen.append, sets=3)
    assert set(seen) == {0, 1, 2}
    assert times.samples == len(seen) - 1
    assert Times.of([3.0, 1.0, 2.0]).us == 2.0


def test_plotting_without_matplotlib_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"pip install memagent\[plot\]"):
        plots.lines(tmp_path / "x.png", {"a": [(1, 1)]}, title="t", x="x", y="y")


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose --plot"):
        plots.lines(tmp_path / "file" / "x.png", {"a": [(1, 1)]}, title="t", x="x", y="y")
