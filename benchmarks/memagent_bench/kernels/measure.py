"""Measure the page kernels on this device: time, bandwidth, error, attention mass kept.

Every operation is first compared with the float64 reference, and at the sizes that are timed with
plain PyTorch: no figure is reported if one is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memagent_bench.kernels.attention import measure_decode, measure_prefill
from memagent_bench.kernels.checks import check
from memagent_bench.kernels.chunk import History
from memagent_bench.kernels.machine import measure_machine
from memagent_bench.kernels.setup import Findings, Impl, Setup
from memagent_bench.kernels.training import measure_training
from memagent_bench.report import Report, sha256_of

__all__ = ["measure", "plot"]


def measure(
    size: str = "full",
    *,
    impl: Impl = "auto",
    seed: int | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run the benchmark. Raises CheckError if a check fails."""
    import torch

    setup = Setup.of(size, impl, seed)
    findings = Findings(tell)
    with torch.no_grad():
        tell("checks against float64")
        check(setup, findings)
        tell("ceilings of the machine")
        measure_machine(setup, findings)
        for keys in setup.sizes.histories:
            tell(f"{keys:,} keys")
            history = History(setup, keys)
            measure_prefill(setup, findings, history)
            measure_decode(setup, findings, history)  # last: it plants keys
            del history
            _empty(setup)
        tell("training step")
        measure_training(setup, findings)
    _conclude(setup, findings)
    return Report("kernels", _data(), findings.metrics, findings.rows, findings.notes)


def _empty(setup: Setup) -> None:
    import torch

    if setup.device.type == "cuda":
        torch.cuda.empty_cache()


def _conclude(setup: Setup, findings: Findings) -> None:
    """Add the goals, and the notes that explain the figures."""
    sizes, metrics = setup.sizes, findings.metrics
    metrics["dense_share"] = metrics[f"dense_share@{sizes.histories[0]}"]
    findings.rows.extend(goal.row(metrics[goal.metric]) for goal in sizes.goals)
    findings.notes[:0] = [
        f"{setup.impl} on {setup.device.type}, {sizes.dtype}, seed {setup.seed}: {sizes.heads} "
        f"query heads, {sizes.kv_heads} kv heads of {sizes.dim}, pages of {sizes.page}, one layer",
        f"selected: sinks (1 page), the best {sizes.top} pages of all far ones for each kv head, "
        f"a window of {sizes.window}; selection runs at every call and its time is included",
        "us: the median, from replays of a CUDA graph where `how` says so; each call works on "
        "another layer, and the layers together exceed the cache"
        if setup.device.type == "cuda"
        else "us: the median of plain calls",
        "share: of the larger of the rates measured for a copy (bytes read and written) and a sum",
        "SDPA of a prefill chunk sees all keys, without the mask inside the chunk",
        "weight kept: random keys have nothing to find; planted ones hold some 95 % of the weight "
        f"in {max(1, sizes.top // 2)} far pages",
    ]


def _data() -> dict[str, str]:
    """Provenance: the inputs are random, and the reference implementation is hashed."""
    from memagent.kernels import reference

    return {"file": "kernels/reference.py", "sha256": sha256_of(Path(str(reference.__file__)))}


def plot(value: Mapping[str, Any], folder: Path) -> Path:
    """Draw the time of a decoded token against the length of the history."""
    from memagent_bench.plots import lines

    metrics: Mapping[str, float] = value["metrics"]
    series: dict[str, list[tuple[float, float]]] = {}
    for metric, label in (
        ("decode_sdpa_us", "all keys, best SDPA"),
        ("decode_full_us", "all pages"),
        ("decode_us", "selected pages, selection included"),
        ("decode_attention_us", "selected pages, attention alone"),
    ):
        found = [(name.rpartition("@"), number) for name, number in metrics.items()]
        series[label] = [(float(at), number) for (name, _, at), number in found if name == metric]
    return lines(
        folder / "kernels.png",
        series,
        title="One decoded token, one layer",
        x="keys of history",
        y="microseconds",
        log=True,
    )
