"""Time of one layer's attention over a history: full, selected, and with other libraries.

Knows nothing of how pages are laid out or of which machine this is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING

from memagent_bench.kernels import rivals
from memagent_bench.kernels.chunk import SUMMARIES, Chunk, History
from memagent_bench.kernels.clock import Times
from memagent_bench.kernels.plain import check_chunk
from memagent_bench.kernels.setup import BUDGETS, Findings, Setup, relative_error
from memagent_bench.report import CheckError

if TYPE_CHECKING:
    import torch

__all__ = ["measure_decode", "measure_prefill"]


def measure_decode(setup: Setup, findings: Findings, history: History) -> None:
    """Decode one token: full list, fastest SDPA, selection and attention, attention mass kept."""
    chunk, keys, metrics = Chunk(setup, history, 1), history.keys, findings.metrics
    sets = len(history.layers)
    full = setup.clock.best(lambda n: chunk.attend(n, chunk.full), sets)
    us = findings.time("decode full list", full, keys=keys, bytes=history.bytes)
    metrics[f"decode_full_us@{keys}"] = round(us, 2)
    if findings.ceiling:
        metrics[f"dense_share@{keys}"] = findings.rows[-1]["share"]
    q, k, v = chunk.dense(0)
    sdpa = _best_dense(setup, findings, "decode", chunk, (q, k, v))
    step = _selected(setup, findings, "decode", chunk)
    check_chunk(setup, findings, chunk, (q, k, v))
    metrics[f"decode_us@{keys}"] = round(step, 2)
    metrics[f"decode_sdpa_us@{keys}"] = round(sdpa, 2)
    metrics[f"decode_over_sdpa@{keys}"] = round(step / sdpa, 4)
    if setup.sizes.flex:
        _flex(setup, findings, "decode", chunk, (q, k, v))
    del q, k, v
    _kept(findings, chunk)


def measure_prefill(setup: Setup, findings: Findings, history: History) -> None:
    """Prefill a chunk at the end of the history, with one selection for all its tokens."""
    chunk, keys, metrics = Chunk(setup, history, setup.sizes.chunk), history.keys, findings.metrics
    q, k, v = chunk.dense(0)
    sdpa = _best_dense(setup, findings, "prefill", chunk, (q, k, v))
    step = _selected(setup, findings, "prefill", chunk)
    check_chunk(setup, findings, chunk, (q, k, v))
    each = setup.clock.best(lambda n: chunk.select(n, reduce="max"), len(history.layers))
    findings.time("prefill selection, best token", each, keys=keys)
    metrics[f"prefill_us@{keys}"] = round(step, 2)
    metrics[f"prefill_sdpa_us@{keys}"] = round(sdpa, 2)
    metrics[f"prefill_speedup@{keys}"] = round(sdpa / step, 3)
    if setup.sizes.flex:
        _flex(setup, findings, "prefill", chunk, (q, k, v))


def _best_dense(
    setup: Setup,
    findings: Findings,
    label: str,
    chunk: Chunk,
    plain: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> float:
    """A row per SDPA backend; the time of the fastest that agrees with the full list."""
    keys = chunk.history.keys
    ours = chunk.attend(0, chunk.full, last=1).out[:, :, 0]
    found: list[tuple[float, str]] = []
    for name, run in rivals.dense(*plain):
        try:
            error = relative_error(run()[:, :, -1], ours)
            if not error <= BUDGETS[setup.sizes.dtype]:
                raise ValueError(f"error {error:.2e} against the full list")
            times = setup.clock.best(_again(run))
        except (RuntimeError, ValueError) as refused:
            reason = rivals.refusal(refused)
            findings.rows.append({"name": f"{label} {name}", "keys": keys, "refused": reason})
            continue
        work = {"bytes": chunk.history.bytes} if label == "decode" else {"flops": _flops(chunk)}
        findings.time(f"{label} {name}", times, keys=keys, more={"error": error}, **work)
        found.append((times.us, name))
    if not found:
        raise CheckError("no SDPA backend gives what the full list gives")
    us, name = min(found)
    findings.rows.append(
        {"name": f"{label} best sdpa", "keys": keys, "us": round(us, 2), "is": name}
    )
    return us


def _again(run: rivals.Run) -> Callable[[int], torch.Tensor]:
    """`run` as a call for the clock; its single set of inputs exceeds any cache."""
    return lambda n: run()


def _flops(chunk: Chunk, pages: int | None = None) -> float:
    """Operations of full attention; with `pages`, of a page list with a causal mask at its end."""
    sizes = chunk.setup.sizes
    if pages is None:
        seen = float(chunk.history.keys)
    else:
        seen = pages * sizes.page - (chunk.tokens - 1) / 2
    return 4.0 * sizes.heads * sizes.dim * chunk.tokens * seen


def _selected(setup: Setup, findings: Findings, label: str, chunk: Chunk) -> float:
    """Time selection, attention and both, by mean and by bound; returns the time by mean."""
    sizes, keys, sets = setup.sizes, chunk.history.keys, len(chunk.history.layers)
    row = sizes.kv_heads * sizes.dim * chunk.q[0].element_size()
    pages = chunk.chosen.pages.shape[-1]
    read = 2 * pages * sizes.page * row
    for n in range(sets):
        chunk.select(n)
    attention = setup.clock.best(lambda n: chunk.attend(n, chunk.chosen), sets)
    us = findings.time(
        f"{label} selected, attention",
        attention,
        keys=keys,
        bytes=read,
        flops=_flops(chunk, pages) if chunk.tokens > 1 else None,
    )
    findings.metrics[f"{label}_attention_us@{keys}"] = round(us, 2)
    together: dict[str, Times] = {}
    for kind in SUMMARIES:
        summary = len(chunk.keys[0][kind]) * chunk.far * row
        select = setup.clock.best(partial(chunk.select, kind=kind), sets)
        us = findings.time(f"{label} selection by {kind}", select, keys=keys, bytes=summary)
        findings.metrics[f"{label}_selection_{kind}_us@{keys}"] = round(us, 2)
        together[kind] = setup.clock.best(partial(chunk.step, kind=kind), sets)
        findings.time(
            f"{label} selected by {kind}", together[kind], keys=keys, bytes=read + summary
        )
    return together["mean"].us


def _kept(findings: Findings, chunk: Chunk) -> None:
    """Share of full attention's mass on the pages read, for random and planted keys."""
    keys = chunk.history.keys
    for data in ("random", "planted"):
        if data == "planted":
            chunk.plant(0)
        for kind in SUMMARIES:
            share = round(chunk.kept(0, kind), 4)
            row = {"name": f"weight kept, {data} keys, by {kind}", "keys": keys, "mass": share}
            findings.rows.append(row)
            suffix = "" if kind == "mean" else "_bound"
            findings.metrics[f"mass_kept_{data}{suffix}@{keys}"] = share


def _flex(
    setup: Setup,
    findings: Findings,
    label: str,
    chunk: Chunk,
    plain: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    """Time FlexAttention over one head's page list for all heads, or add a note if it fails."""
    keys, page = chunk.history.keys, setup.sizes.page
    own = chunk.local - setup.sizes.window // page
    chunk.select(0)
    first = {f.name: getattr(chunk.chosen, f.name)[:, :1] for f in fields(chunk.chosen)}
    page_list = replace(chunk.chosen, **{name: part.contiguous() for name, part in first.items()})
    try:
        mask = rivals.flex_mask(chunk.tokens, keys, page_list.pages[0, 0], page, own)
        run = rivals.flex(*plain, mask)
        error = relative_error(run(), chunk.attend(0, page_list).out)
        findings.check(f"{label} flex", setup.sizes.dtype, error)
        times = setup.clock.best(_again(run))
    except Exception as refused:  # any compiler error: a missing rival is not a failure
        findings.note(f"FlexAttention, {label} at {keys:,} keys: {rivals.refusal(refused)}")
        return
    us = findings.time(f"{label} flex, same list", times, keys=keys)
    findings.metrics[f"{label}_flex_us@{keys}"] = round(us, 2)
    ours = setup.clock.best(lambda n: chunk.attend(0, page_list))
    findings.time(f"{label} selected, attention, one list for all heads", ours, keys=keys)
