"""Render the prompt templates of this folder with Jinja."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render"]


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("memagent.prompts", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        autoescape=False,  # the output is a prompt, not a page
    )


def render(name: str, **values: Any) -> str:
    """Fill the template `name` with `values`. A missing value raises jinja2.UndefinedError."""
    return _environment().get_template(name).render(**values).strip()
