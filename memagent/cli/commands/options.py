"""Options that several commands share, and the workspace they open."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.render.output import say
from memagent.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from memagent.agent.workspace import Workspace

__all__ = [
    "AsOf",
    "Budget",
    "Engine",
    "Hops",
    "Json",
    "MaxTokens",
    "Model",
    "NamespaceName",
    "Outline",
    "Scorer",
    "Segmenter",
    "Since",
    "StorePath",
    "Until",
    "Url",
    "Votes",
    "open_workspace",
    "read_file",
]

StorePath = Annotated[
    Path | None, typer.Option("--store", help="The store, one SQLite file.", show_default=False)
]
NamespaceName = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Keep and find only in this namespace.")
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", help="auto, pocket, vllm, stream or scripted.", show_default="auto"),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Model of the server; for stream, a model's folder."),
]
Url = Annotated[str | None, typer.Option("--url", help="An OpenAI-compatible server.")]
Segmenter = Annotated[
    str | None,
    typer.Option(
        "--segmenter",
        help="How text is cut into events: surprise or sentences.",
        show_default="surprise",
    ),
]
Scorer = Annotated[
    str | None,
    typer.Option(
        "--scorer",
        help="Whose surprise cuts it: that of pocket, the bundled model, or of the one served.",
        show_default="pocket",
    ),
]
Budget = Annotated[
    int | None, typer.Option("--budget", help="Tokens of recalled text.", show_default="2000")
]
Hops = Annotated[
    int | None,
    typer.Option(
        "--hops",
        help="Further questions that the model may look up before it answers.",
        show_default="0",
    ),
]
Votes = Annotated[
    int | None,
    typer.Option(
        "--votes",
        help="Chunks of recalled text that answer by themselves; the surest is heard.",
        show_default="0",
    ),
]
Outline = Annotated[
    bool | None,
    typer.Option("--outline", help="Mark the sentences to rest on first, and show them."),
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", help="Longest answer, in tokens.", show_default="512")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Only what was said from then on: a date, or 7d.")
]
Until = Annotated[
    str | None, typer.Option("--until", help="Only what was said before then: a date, or 7d.")
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="What was known and valid then: a date (its end), a time, or 7d."),
]


def open_workspace(**flags: Any) -> Workspace:
    """The workspace of the settings in force, with the flags that were given on top.

    A server named on the command line is meant, whatever engine the files or variables name.
    """
    from memagent.agent.workspace import Workspace
    from memagent.settings import load

    if flags.get("url") and not flags.get("engine"):
        flags["engine"] = "auto"
    settings, _ = load(flags)
    return Workspace(settings, say)


def read_file(path: str) -> str:
    """The text of a file, or of stdin for -; NotFoundError or InputError where it has none."""
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {str(error.strerror).lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.start + 1}): save it as text"
        ) from error
