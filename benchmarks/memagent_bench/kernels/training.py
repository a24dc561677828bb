"""Time of a training step through landmark attention, compared with causal attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from memagent_bench.kernels import rivals
from memagent_bench.kernels.clock import Times
from memagent_bench.kernels.setup import Findings, Setup
from memagent_bench.report import CheckError

if TYPE_CHECKING:
    import torch

__all__ = ["measure_training"]


def measure_training(setup: Setup, findings: Findings) -> None:
    """Forward and backward of one layer, and forward alone; SDPA by its fastest backend."""
    import torch

    from memagent.kernels import api

    sizes, tokens = setup.sizes, setup.sizes.trained
    inputs = [
        setup.random(1, heads, tokens, sizes.dim).requires_grad_()
        for heads in (sizes.heads, sizes.kv_heads, sizes.kv_heads)
    ]
    back = setup.random(1, sizes.heads, tokens, sizes.dim)
    q, k, v = inputs

    def landmark() -> torch.Tensor:
        return api.landmark_attention(q, k, v, sizes.page, sizes.dim**-0.5, impl=setup.impl)

    def trained(forward: Callable[[], torch.Tensor]) -> Times:
        def step(n: int) -> None:
            with torch.enable_grad():
                torch.autograd.grad(forward(), inputs, back)

        return setup.clock.eager(step)

    # A causal product is half of the square; backward is two and a half times forward.
    flops = 2.0 * sizes.heads * sizes.dim * tokens**2
    forward = setup.clock.eager(lambda n: landmark())
    findings.time("landmark forward", forward, keys=tokens, flops=flops)
    times = trained(landmark)
    ours = findings.time("landmark training", times, keys=tokens, flops=3.5 * flops)
    found: list[float] = []
    for name, run in rivals.causal(q, k, v):
        try:
            times = trained(run)
        except (RuntimeError, ValueError) as refused:
            reason = rivals.refusal(refused)
            findings.rows.append({"name": f"{name} training", "keys": tokens, "refused": reason})
            continue
        found.append(findings.time(f"{name} training", times, keys=tokens, flops=3.5 * flops))
    if not found:
        raise CheckError("no SDPA backend trains: there is nothing to compare with")
    findings.metrics["landmark_training_us"] = round(ours, 2)
    findings.metrics["landmark_over_sdpa"] = round(ours / min(found), 3)
