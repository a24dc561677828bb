"""Print why each event was recalled or left out: its ranks, score and tokens."""

from __future__ import annotations

from typing import Any

from memagent.cli.render.output import console, visible

__all__ = ["print_explain"]

_LEFT_OUT_SHOWN = 10
_PARTS_SHOWN = 3


def print_explain(report: dict[str, Any], *, stderr: bool = True) -> None:
    """Print the report of a recall (`Recalled.report`) as a table."""
    if "chosen" not in report:
        return
    from rich.table import Table
    from rich.text import Text

    channels = list(report["channels"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("n", "via", *channels, "score", "because of", "tokens", "place"):
        table.add_column(column, overflow="fold")
    shown = [*report["chosen"], *report["left_out"][:_LEFT_OUT_SHOWN]]
    for line in shown:
        table.add_row(
            str(line["number"] or "–"),
            line["via"] if line["number"] else "left out",
            *(str(line["ranks"].get(channel, "–")) for channel in channels),
            f"{line['score']:.2f}",
            _because(line.get("why", {})),
            str(line["tokens"]),
            Text(visible(f"{line['place']} [{line['start']}-{line['end']}]{_until(line)}")),
        )
    found = ", ".join(f"{name} {count}" for name, count in report["channels"].items())
    out = console(stderr=stderr)
    out.print(table)
    out.print(
        f"{report['spent']} of {report['budget']} tokens spent on {len(report['chosen'])} events; "
        f"{len(report['left_out'])} left out; found by {found}",
        markup=False,
    )
    for step in report.get("trace", []):
        out.print(visible(_step(step)), markup=False)
    for line in report.get("attention", []):
        place = visible(f"{line['place']} [{line['start']}-{line['end']}]")
        out.print(f"{line['share']:6.1%} of the attention  {place}", markup=False)


def _until(line: dict[str, Any]) -> str:
    """The periods in which statements of an event were valid, if that changed."""
    valid = line.get("valid", ())
    return "".join(
        f" · [{v['start']}-{v['end']}] valid {v['from'][:10]} to {(v['until'] or 'now')[:10]}"
        for v in valid
    )


def _because(why: dict[str, float]) -> str:
    """The parts that add most to a score."""
    best = sorted(why.items(), key=lambda part: -part[1])[:_PARTS_SHOWN]
    return ", ".join(f"{name} {part:+.1f}" for name, part in best if part > 0)


def _step(step: dict[str, Any]) -> str:
    """A step of an answering strategy, as a line."""
    if step["step"] == "follow_up":
        return f"looked up: {step['question']}"
    if step["step"] == "verify":
        result = "answers" if step["found"] else "does not answer"
        return f"verified: the cited text {result} the question"
    if step["step"] == "vote":
        sure = "–" if step["uncertainty"] is None else f"{step['uncertainty']:.2f} nats"
        result = "answered" if step["answers"] else "found no answer"
        chosen = ", chosen" if step["chosen"] else ""
        return f"chunk {step['chunk']}, {step['events']} events: {sure}, {result}{chosen}"
    if step["step"] == "repetition":
        return "stopped because the answer kept repeating itself"
    if step["failed"]:
        return f"no outline after {step['calls']} calls: {step['failed']}"
    return f"outline: {step['points']} points of {step['sentences']} sentences"
