"""What a server counts, from its page /metrics in Prometheus' text format."""

from __future__ import annotations

from memagent.serving.http import get

__all__ = ["read_metrics"]

_SECONDS = 10.0


def read_metrics(url: str, api_key: str | None = None) -> dict[str, float]:
    """Every metric's samples, summed over their labels; {} where the server has no such page."""
    page = get(url, "/metrics", timeout=_SECONDS, api_key=api_key) or b""
    totals: dict[str, float] = {}
    for line in page.decode(errors="replace").splitlines():
        sample, _, value = line.rpartition(" ")
        if sample.startswith("#"):
            continue
        try:
            number = float(value)
        except ValueError:
            continue
        name = sample.partition("{")[0].strip()
        totals[name] = totals.get(name, 0.0) + number
    return totals
