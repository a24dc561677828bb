"""The table of `memagent bench answers`: counts, means and intervals from the rows of answers."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from memagent_bench.bootstrap import mean_interval, paired_gain

__all__ = ["figures", "gains", "metrics"]

Row = Mapping[str, Any]

VERDICTS = (
    "right", "wrong", "answered", "refused", "right_refusal", "false_answer", "failed",
)  # fmt: skip
_ENDINGS = ("length", "empty", "repetition", "thinking", "refused", "lost")


def figures(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line per set, arm and kind of question, with the kind "all" first."""
    table = []
    for name, arm in dict.fromkeys((row["set"], row["arm"]) for row in rows):
        own = [row for row in rows if (row["set"], row["arm"]) == (name, arm)]
        for kind in ("all", *dict.fromkeys(row["kind"] for row in own)):
            chosen = [row for row in own if kind in ("all", row["kind"])]
            table.append(
                {"measure": "answers", "set": name, "arm": arm, "kind": kind} | _line(chosen)
            )
    return table


def gains(rows: Sequence[Row], base: str) -> list[dict[str, Any]]:
    """What `base` gains over each other arm in right answers and right refusals, or in word F1
    where right answers cannot be told; paired by question."""
    import numpy as np

    table = []
    for name in dict.fromkeys(row["set"] for row in rows):
        scores: dict[str, dict[str, float]] = {}
        for row in rows:
            if row["set"] == name and row["verdict"] != "failed":
                scores.setdefault(row["arm"], {})[row["id"]] = _quality(row)
        for arm in scores:
            both = sorted(scores.get(base, {}).keys() & scores[arm].keys())
            if arm == base or not both:
                continue
            own, other = (np.array([scores[each][key] for key in both]) for each in (base, arm))
            gain, low, high = paired_gain(own, other)
            table.append(
                {"measure": "gain", "set": name, "of": base, "over": arm, "questions": len(both)}
                | {"gain": gain, "low": low, "high": high}
            )
    return table


def metrics(table: Sequence[Row]) -> dict[str, float]:
    """Flat figures of the lines for all questions and of the gains."""
    found: dict[str, float] = {}
    for line in table:
        if line["measure"] == "gain":
            found[f"{line['of']}_over_{line['over']}_{line['set']}"] = line["gain"]
        elif line["kind"] == "all":
            prefix = f"{line['arm']}_{line['set']}"
            for key in (
                "questions", "right", "wrong", "refused", "right_refusal", "false_answer", "failed",
                "exact", "f1", "right_and_cited", "cited", "shown", "prompt_tokens",
                "answer_tokens", "seconds",
            ):  # fmt: skip
                if line.get(key) is not None:
                    found[f"{prefix}_{key}"] = line[key]
    return found


def _line(rows: Sequence[Row]) -> dict[str, Any]:
    counts = Counter(row["verdict"] for row in rows)
    judged = 0 if counts["answered"] else counts["right"] + counts["wrong"] + counts["refused"]
    unanswerable = counts["right_refusal"] + counts["false_answer"]
    answered = [row for row in rows if row["verdict"] != "failed"]
    line: dict[str, Any] = {"questions": len(rows)}
    line |= {verdict: counts[verdict] for verdict in VERDICTS}
    line |= _share("right", counts["right"], judged)
    line |= _share("false_answer", counts["false_answer"], unanswerable)
    for key in ("exact", "f1"):
        values = [row[key] for row in rows if key in row]
        if values:
            mean, low, high = mean_interval(values)
            line |= {key: mean, f"{key}_low": low, f"{key}_high": high}
    for key in ("cited", "shown"):
        values = [row[key] for row in rows if key in row]
        line[key] = sum(values) if values else None
    cited = [row["cited"] for row in rows if row["verdict"] == "right" and "cited" in row]
    line["right_and_cited"] = sum(cited) if cited else None
    if cited:
        line |= _share("right_and_cited", sum(cited), len(cited))
    line |= {f"ended_{how}": sum(row["ended"] == how for row in answered) for how in _ENDINGS}
    for key, name in (
        ("prompt", "prompt_tokens"), ("completion", "answer_tokens"), ("seconds", "seconds"),
    ):  # fmt: skip
        line[name] = statistics.median(row[key] for row in answered) if answered else None
    return line


def _share(name: str, count: int, total: int) -> dict[str, float]:
    """The share with its 95 % interval (Wilson, JASA 1927)."""
    from scipy import stats

    if not total:
        return {}
    found = stats.binomtest(count, total).proportion_ci(method="wilson")
    return {
        f"{name}_share": round(count / total, 4),
        f"{name}_low": round(float(found.low), 4),
        f"{name}_high": round(float(found.high), 4),
    }


def _quality(row: Row) -> float:
    if row["verdict"] == "answered":
        return float(row["f1"])
    return float(row["verdict"] in ("right", "right_refusal"))
