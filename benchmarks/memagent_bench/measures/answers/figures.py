"""The table of `memagent bench answers`: counts, means and intervals from the rows of answers."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from memagent_bench.bootstrap import mean_interval, paired_gain

__all__ = ["figures", "gains", "metrics", "summary"]

Row = Mapping[str, Any]

VERDICTS = (
    "right", "wrong", "answered", "refused", "right_refusal", "false_answer", "failed",
)  # fmt: skip
_ENDINGS = ("length", "empty", "repetition", "thinking", "refused", "lost")


def figures(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line per model, set, arm and kind of question, with the kind "all" first."""
    table = []
    for model, name, arm in dict.fromkeys(map(_group, rows)):
        own = [row for row in rows if _group(row) == (model, name, arm)]
        for kind in ("all", *dict.fromkeys(row["kind"] for row in own)):
            chosen = [row for row in own if kind in ("all", row["kind"])]
            about = {"measure": "answers", "model": model, "set": name, "arm": arm, "kind": kind}
            table.append(about | _line(chosen))
    return table


def gains(rows: Sequence[Row], base: str) -> list[dict[str, Any]]:
    """What `base` gains over each other arm in right answers and right refusals, or in word F1
    where right answers cannot be told; paired by question."""
    import numpy as np

    table = []
    for model, name in dict.fromkeys((row["model"], row["set"]) for row in rows):
        scores: dict[str, dict[str, float]] = {}
        for row in rows:
            if (row["model"], row["set"]) == (model, name) and row["verdict"] != "failed":
                scores.setdefault(row["arm"], {})[row["id"]] = _quality(row)
        for arm in scores:
            both = sorted(scores.get(base, {}).keys() & scores[arm].keys())
            if arm == base or not both:
                continue
            own, other = (np.array([scores[each][key] for key in both]) for each in (base, arm))
            gain, low, high = paired_gain(own, other)
            table.append(
                {"measure": "gain", "model": model, "set": name, "of": base, "over": arm}
                | {"questions": len(both), "gain": gain, "low": low, "high": high}
            )
    return table


def summary(table: Sequence[Row]) -> list[dict[str, Any]]:
    """The lines for all questions with few columns, for a page."""
    return [
        {
            "measure": "summary",
            "model": line["model"],
            "set": line["set"],
            "arm": line["arm"],
            "right": _count(line, "right", "wrong", "refused") if "right_share" in line else None,
            "refused": line["refused"],
            "false_answers": _count(line, "false_answer", "right_refusal"),
            "right_and_cited": line["right_and_cited"],
            "f1": line.get("f1"),
            "prompt_tokens": line["prompt_tokens"],
        }
        for line in table
        if line["measure"] == "answers" and line["kind"] == "all"
    ]


def metrics(table: Sequence[Row]) -> dict[str, float]:
    """Flat figures of the lines for all questions and of the gains; with the model's name where
    there are several."""
    found: dict[str, float] = {}
    several = len({line["model"] for line in table}) > 1
    for line in table:
        model = f"{line['model']}_" if several else ""
        if line["measure"] == "gain":
            found[f"{model}{line['of']}_over_{line['over']}_{line['set']}"] = line["gain"]
        elif line["measure"] == "answers" and line["kind"] == "all":
            prefix = f"{model}{line['arm']}_{line['set']}"
            for key in (
                "questions", "right", "wrong", "refused", "right_refusal", "false_answer", "failed",
                "exact", "f1", "right_and_cited", "cited", "shown", "prompt_tokens",
                "answer_tokens", "seconds",
            ):  # fmt: skip
                if line.get(key) is not None:
                    found[f"{prefix}_{key}"] = line[key]
    return found


def _group(row: Row) -> tuple[str, str, str]:
    return row["model"], row["set"], row["arm"]


def _count(line: Row, verdict: str, *others: str) -> str | None:
    """How many answers have a verdict, among those that have it or one of the others."""
    total = sum(line[name] for name in (verdict, *others))
    return f"{line[verdict]} of {total}" if total else None


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
