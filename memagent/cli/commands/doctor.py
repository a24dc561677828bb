"""`memagent doctor`: what works on this machine, and how to get what does not."""

from __future__ import annotations

from typing import Any

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json

__all__ = ["doctor"]


@options.settings("engine", "url", "model", "store")
def doctor(
    json: options.Json = False,
    **flags: Any,
) -> None:
    """Check GPU, FAISS, embedder, engine, server, store and disk. Exit code 1 if one is broken."""
    from memagent.cli.diagnosis import diagnose

    with options.open_workspace(**flags) as workspace:
        findings = diagnose(workspace)
    if json:
        print_json([{"check": f.check, "status": f.status, "text": f.text} for f in findings])
    else:
        marks = {"ok": ("ok", "green"), "absent": ("–", "yellow"), "broken": ("broken", "red")}
        for finding in findings:
            mark, style = marks[finding.status]
            out = console()
            out.print(f"{mark:7}", style=style, end="")
            out.print(f"{finding.check:9} {finding.text}", markup=False)
    if any(finding.status == "broken" for finding in findings):
        raise typer.Exit(1)
