"""Options that several commands share, and opening a memory with the settings among them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from memagent.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from memagent.agent.workspace import Workspace
    from memagent.api import Memory

__all__ = [
    "ENGINE",
    "AsOf",
    "End",
    "HideThinking",
    "Json",
    "Since",
    "SourceNames",
    "Start",
    "Until",
    "open_memory",
    "open_workspace",
    "read_file",
    "settings",
]

SourceNames = Annotated[
    list[str] | None,
    typer.Option("--source", help="Use only this document or session; repeatable."),
]
Start = Annotated[
    int | None, typer.Option("--start", min=0, help="Position of the first character, from 0.")
]
End = Annotated[int | None, typer.Option("--end", min=0, help="Position after the last character.")]
HideThinking = Annotated[
    bool, typer.Option("--no-thinking", help="Do not show what a reasoning model thinks.")
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
        help="Use only what was known and valid at this time: a date (its end), a time, or 7d.",
    ),
]

# What every command that answers or writes lets its user set.
ENGINE = ("namespace", "engine", "model", "url", "budget", "max_tokens", "thinking", "store")

# One option for each of these settings, in the order of `--help`; None leaves the setting as it is.
_SETTINGS: dict[str, Any] = {
    "namespace": Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            help="Namespace to use; text in other namespaces is never searched.",
        ),
    ],
    "engine": Annotated[
        str | None,
        typer.Option(
            "--engine", help="Engine: auto, pocket, vllm, stream or scripted.", show_default="auto"
        ),
    ],
    "model": Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model on the server, or one on this machine: an installed name or a folder.",
        ),
    ],
    "url": Annotated[str | None, typer.Option("--url", help="URL of an OpenAI-compatible server.")],
    "budget": Annotated[
        int | None,
        typer.Option(
            "--budget",
            help="Recall at most N tokens of text.",
            metavar="N",
            show_default="by model",
        ),
    ],
    "hops": Annotated[
        int | None,
        typer.Option(
            "--hops",
            help="Let the model look up at most N follow-up questions before it answers.",
            metavar="N",
            show_default="0",
        ),
    ],
    "votes": Annotated[
        int | None,
        typer.Option(
            "--votes",
            help="Answer N chunks independently and keep the most confident answer.",
            metavar="N",
            show_default="0",
        ),
    ],
    "outline": Annotated[
        bool | None,
        typer.Option(
            "--outline", help="Select supporting sentences first, answer from them, and show them."
        ),
    ],
    "max_tokens": Annotated[
        int | None,
        typer.Option(
            "--max-tokens", help="Generate at most N tokens.", metavar="N", show_default="512"
        ),
    ],
    "thinking": Annotated[
        str | None,
        typer.Option(
            "--thinking",
            help="How much a reasoning model thinks first: auto, off, low or high.",
            show_default="auto",
        ),
    ],
    "max_mb": Annotated[
        int | None,
        typer.Option(
            "--max-mb", help="Refuse files of more than N MB.", metavar="N", show_default="512"
        ),
    ],
    "segmenter": Annotated[
        str | None,
        typer.Option(
            "--segmenter",
            help="How to split text into events: surprise or sentences.",
            show_default="surprise",
        ),
    ],
    "scorer": Annotated[
        str | None,
        typer.Option(
            "--scorer",
            help="Model that scores surprise: pocket (bundled) or served (on the server).",
            show_default="pocket",
        ),
    ],
    "store": Annotated[
        Path | None,
        typer.Option("--store", help="SQLite file that holds the memory.", show_default=False),
    ],
}


def settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each of these settings; its `**flags` receive their values."""

    def add_options(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        shared = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_SETTINGS[name]
            )
            for name in sorted(names, key=list(_SETTINGS).index)
        ]
        # typer reads the options of a command from its signature.
        cast(Any, command).__signature__ = signature.replace(parameters=[*own, *shared])
        return command

    return add_options


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
