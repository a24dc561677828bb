"""Options that several commands share, and opening the workspace with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from memagent.agent.workspace import Workspace
    from memagent.api import Memory

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
    "SourceNames",
    "StorePath",
    "Until",
    "Url",
    "Votes",
    "open_memory",
    "open_workspace",
    "read_file",
]

StorePath = Annotated[
    Path | None,
    typer.Option("--store", help="SQLite file that holds the memory.", show_default=False),
]
NamespaceName = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="Namespace to store in and search; no other is searched."
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine", help="Engine: auto, pocket, vllm, stream or scripted.", show_default="auto"
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Model on the server, or one on this machine: an installed name or a folder.",
    ),
]
Url = Annotated[str | None, typer.Option("--url", help="URL of an OpenAI-compatible server.")]
Segmenter = Annotated[
    str | None,
    typer.Option(
        "--segmenter",
        help="How to split text into events: surprise or sentences.",
        show_default="surprise",
    ),
]
Scorer = Annotated[
    str | None,
    typer.Option(
        "--scorer",
        help="Model that scores surprise: pocket (bundled) or served (on the server).",
        show_default="pocket",
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(
        "--budget", help="Recall at most N tokens of text.", metavar="N", show_default="2000"
    ),
]
Hops = Annotated[
    int | None,
    typer.Option(
        "--hops",
        help="Let the model look up at most N follow-up questions before it answers.",
        metavar="N",
        show_default="0",
    ),
]
Votes = Annotated[
    int | None,
    typer.Option(
        "--votes",
        help="Answer N chunks independently and keep the most confident answer.",
        metavar="N",
        show_default="0",
    ),
]
Outline = Annotated[
    bool | None,
    typer.Option(
        "--outline", help="Select supporting sentences first, answer from them, and show them."
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens", help="Generate at most N tokens.", metavar="N", show_default="512"
    ),
]
SourceNames = Annotated[
    list[str] | None,
    typer.Option("--source", help="Use only this document or session; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Use only text from this time on: a date, or 7d for 7 days ago."),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until", help="Use only text from before this time: a date, or 7d for 7 days ago."
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="Use only what was known and valid then: a time, a date (the end of it), or 7d.",
    ),
]


def open_workspace(**flags: Any) -> Workspace:
    """The parts of `open_memory`, for commands that need more than a user of the library."""
    return open_memory(**flags).workspace


def open_memory(**flags: Any) -> Memory:
    """Open the memory that the settings name, overridden by the flags that are not None."""
    from memagent import api

    return api.open(**flags)


def read_file(path: str) -> str:
    """Read a text file, or stdin for -; NotFoundError or InputError if that fails."""
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
