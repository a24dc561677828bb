"""`memagent chat`: a conversation in the terminal or over a pipe."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from memagent.cli.commands import options
from memagent.errors import UsageError

__all__ = ["chat"]


@options.settings("hops", *options.ENGINE)
def chat(
    session: Annotated[
        str | None,
        typer.Option("--session", "-s", help="Session to continue, or the name of a new one."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--continue", "-c", help="Continue the newest session.")
    ] = False,
    as_of: options.AsOf = None,
    **flags: Any,
) -> None:
    """Chat in a session that remembers every turn; /help lists the commands.

    Turns can also be piped in, one per line. Answers go to stdout, everything else to stderr.
    """
    if session is not None and follow:
        raise UsageError("--session and --continue both choose the session: give one of them")
    with options.open_workspace(**flags) as workspace:
        from memagent.cli.chat.loop import converse

        code = converse(workspace, session, follow=follow, as_of=as_of)
    raise typer.Exit(code)
