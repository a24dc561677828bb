"""Edit text in the editor that VISUAL or EDITOR names."""

from __future__ import annotations

import os

from memagent.errors import InputError

__all__ = ["edit_text", "has_editor"]


def has_editor() -> bool:
    """Whether the environment names an editor; click would otherwise pick one itself."""
    return bool(os.environ.get("VISUAL") or os.environ.get("EDITOR"))


def edit_text(text: str) -> str | None:
    """The text as it was saved, None if it was not saved. InputError if the editor failed."""
    import click

    try:
        return click.edit(text)
    except (click.ClickException, OSError, ValueError) as error:
        reason = error.message if isinstance(error, click.ClickException) else error
        raise InputError(
            f"{reason}: nothing was changed; check VISUAL and EDITOR in the environment"
        ) from error
