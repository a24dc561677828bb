"""`memagent doctor`: what works here, and what each missing thing would take."""

from __future__ import annotations

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json

__all__ = ["doctor"]


def doctor(
    json: options.Json = False,
    engine: options.Engine = None,
    url: options.Url = None,
    model: options.Model = None,
    store: options.StorePath = None,
) -> None:
    """Check GPU, FAISS, embedder, model, server, store and disk. Exit 1 if something is broken."""
    from memagent.cli.diagnosis import diagnose

    with options.open_workspace(engine=engine, url=url, model=model, store=store) as workspace:
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
