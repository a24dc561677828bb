"""The machine's limits, measured with PyTorch calls: bytes and operations per second."""

from __future__ import annotations

from memagent_bench.kernels.setup import Findings, Setup

__all__ = ["measure_machine"]


def measure_machine(setup: Setup, findings: Findings) -> None:
    """Rates of a large copy, of a sum of the same size, and of a matrix product."""
    import torch

    sizes, clock, metrics = setup.sizes, setup.clock, findings.metrics
    # Of random numbers: zeros can be faster than any data.
    source = torch.randn(sizes.copied // 4, device=setup.device, generator=setup.generator)
    target = torch.empty_like(source)
    copy = clock.eager(lambda n: target.copy_(source))
    findings.time("copy", copy, bytes=2 * source.nbytes)
    total = clock.eager(lambda n: source.sum())
    findings.time("sum", total, bytes=source.nbytes)
    metrics["copy_gb_s"], metrics["sum_gb_s"] = (row["gb_s"] for row in findings.rows[-2:])
    one, other = (setup.random(sizes.product, sizes.product) for _ in range(2))
    times = clock.eager(lambda n: one @ other)
    findings.time("matrix product", times, flops=2.0 * sizes.product**3)
    metrics["matmul_tflops"] = findings.rows[-1]["tflops"]
    findings.ceiling = max(metrics["copy_gb_s"], metrics["sum_gb_s"])
    findings.tflops = metrics["matmul_tflops"]
