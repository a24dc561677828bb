"""The counters on a server's page /metrics, in the text format of Prometheus."""

from __future__ import annotations

from memagent.serving.http import get

__all__ = ["read_metrics"]

_TIMEOUT = 10.0  # seconds


def read_metrics(url: str, api_key: str | None = None) -> dict[str, float]:
    """The value of each metric, summed over its labels; {} if the server has no such page."""
    page = get(url, "/metrics", timeout=_TIMEOUT, api_key=api_key) or b""
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
