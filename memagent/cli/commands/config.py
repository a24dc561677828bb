"""`memagent config`: show the settings and where each comes from, and change them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json, say
from memagent.errors import UsageError

__all__ = ["app"]

app = typer.Typer(help="Show and change settings.", no_args_is_help=True)

Project = Annotated[
    bool,
    typer.Option("--project", help="Change memagent.toml in this folder instead."),
]
_SECRET = "api_key"


def _shown(name: str, value: object) -> str | int | float | None:
    if name == _SECRET and value:
        return "********"
    return str(value) if isinstance(value, Path) else value  # type: ignore[return-value]


@app.command("list")
def list_settings(json: options.Json = False) -> None:
    """List every setting with its value and where it comes from."""
    from memagent.settings import load

    settings, origins = load()
    rows = {
        name: {"value": _shown(name, value), "from": origins.get(name, "default")}
        for name, value in settings
    }
    if json:
        print_json(rows)
        return
    for name, row in rows.items():
        value = "–" if row["value"] is None else row["value"]
        console().print(f"{name} = {value}  ({row['from']})", markup=False)


@app.command()
def get(name: Annotated[str, typer.Argument(help="Name of the setting.")]) -> None:
    """Print the value of a setting."""
    from memagent.settings import Settings, load

    settings, _ = load()
    if name not in Settings.model_fields:
        raise UsageError(f"unknown setting {name!r}: `memagent config list` shows them")
    value = _shown(name, getattr(settings, name))
    console().print("" if value is None else str(value), markup=False)


@app.command("set")
def set_value(
    name: Annotated[str, typer.Argument(help="Name of the setting.")],
    value: Annotated[str, typer.Argument(help="New value.")],
    project: Project = False,
) -> None:
    """Change a setting in the user's file, or with --project in the project file."""
    from memagent.settings import check

    path = _settings_file(project)
    checked = check(name, value, "the command line")
    _edit(path, name, str(checked) if isinstance(checked, Path) else checked)
    say(f"{path}: {name} = {_shown(name, checked)}")


@app.command()
def unset(
    name: Annotated[str, typer.Argument(help="Name of the setting.")], project: Project = False
) -> None:
    """Remove a setting from the file, which restores the default."""
    path = _settings_file(project)
    _edit(path, name, None)
    say(f"{path}: {name} is no longer set")


@app.command()
def path() -> None:
    """Print the paths of the settings files and of the store."""
    from memagent.settings import PROJECT_FILE, load, user_file

    settings, _ = load()
    for file in (user_file(), Path.cwd() / PROJECT_FILE):
        console().print(f"{file}{'' if file.is_file() else '  (none)'}", markup=False)
    console().print(f"{settings.store}  (store)", markup=False)


def _settings_file(project: bool) -> Path:
    from memagent.settings import PROJECT_FILE, user_file

    return Path(PROJECT_FILE) if project else user_file()


def _edit(path: Path, name: str, value: str | float | None) -> None:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    document = document if document is not None else tomlkit.document()
    if value is None:
        document.pop(name, None)
    else:
        document[name] = value
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tomlkit.dumps(document), encoding="utf-8")
        path.chmod(0o600)  # it may hold an API key
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
