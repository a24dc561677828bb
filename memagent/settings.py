"""Settings: flag > MEMAGENT_* > project file (memagent.toml) > user file > default.

One immutable model that validates itself; knows nothing of what the settings do. Importing this
module imports pydantic-settings, so the command line imports it inside its commands.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_args

from platformdirs import user_config_path, user_data_path, user_state_path
from pydantic import ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from memagent.errors import UsageError

__all__ = [
    "DEFAULT_BUDGET",
    "ENGINES",
    "PROJECT_FILE",
    "SCORERS",
    "SEGMENTERS",
    "THINKING",
    "Settings",
    "check",
    "load",
    "project_file",
    "user_file",
]

PROJECT_FILE = "memagent.toml"
DEFAULT_BUDGET = 2000  # tokens of recalled text, unless a model is known to do better with fewer
# Each value of the setting `engine`, and the function that makes it: it takes an EngineContext and
# returns the engine with the reason to show. Named by text, so that no engine is imported here.
ENGINES = {
    "auto": "memagent.engines.registry:auto",
    "pocket": "memagent.engines.pocket.engine:make",
    "scripted": "memagent.engines.scripted:make",
    "stream": "memagent.engines.stream.engine:make",
    "vllm": "memagent.engines.registry:served",
}
SCORERS = ("pocket", "served")
SEGMENTERS = ("sentences", "surprise")
THINKING = ("auto", "off", "low", "high")

_WANTED = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


class Settings(BaseSettings):
    """Everything that can be set. Names are those of the files, of `--flags` and MEMAGENT_*.

    `Settings(...)` takes its keywords and the defaults only; `load` also reads the files and the
    environment. Raises UsageError for an unknown name or a value that does not fit.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="MEMAGENT_",
        env_ignore_empty=True,
        coerce_numbers_to_str=True,
    )

    store: Path = user_data_path("memagent") / "memory.db"
    namespace: str = "default"
    engine: str = "auto"
    url: str | None = None
    model: str | None = None
    models: Path = user_data_path("memagent") / "models"
    """Folder of the models that `memagent model get` installs."""
    api_key: str | None = None
    context: int | None = None
    """Size of the model's context window in tokens, for a server that does not report it."""
    timeout: float = 120.0
    """Seconds without a byte from the server after which it counts as hung."""
    first_token: float = 30.0
    """Seconds that the first word of an answer may take; a server that reads slowly gets less
    recalled text."""
    max_tokens: int = 512
    temperature: float = 0.0
    thinking: str = "auto"
    """How much a reasoning model thinks before it answers: auto, off, low or high."""
    budget: int | None = None
    """Tokens of recalled text in a prompt; by default what suits the model."""
    contiguity: float = 0.3
    """Share of the budget reserved for the neighbours of document passages that were found."""
    hops: int = 0
    """Follow-up questions the model may write to look up what an answer still needs."""
    votes: int = 0
    """Answer this many chunks of recalled text independently and keep the most confident answer."""
    verify: bool = False
    """Ask the model whether the text behind an answer to a single question answers it, and if not,
    treat the answer as not found."""
    outline: bool = False
    """Whether the model first marks the sentences that the answer must be based on."""
    working_every: int = 0
    """Rewrite the working memory after this many exchanges of a chat; 0: only on request."""
    embedder: str = "minilm"
    segmenter: str = "surprise"
    """How new text is cut into events: at surprising sentences, or by size alone."""
    scorer: str = "pocket"
    """Model that scores surprise: the bundled one (pocket) or the one on the server (served)."""
    script: Path | None = None
    """Replies of the scripted engine, as JSON Lines."""
    max_mb: int = 512
    """Largest file that may be added, in MB."""
    vllm_python: Path | None = None
    """Python interpreter that has vLLM, if it is not the running one."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UsageError(_explain(error, {})) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keywords only: `load` reads the other sources and records which value is from where."""
        return (init_settings,)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_bool(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic would take true for the number 1."""
        if isinstance(value, bool) and bool not in _kinds(info.field_name or ""):
            raise ValueError("not a number or text")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        rules = (
            (self.engine in ENGINES, "engine", f"one of {', '.join(ENGINES)}"),
            (self.segmenter in SEGMENTERS, "segmenter", f"one of {', '.join(SEGMENTERS)}"),
            (self.thinking in THINKING, "thinking", f"one of {', '.join(THINKING)}"),
            (self.scorer in SCORERS, "scorer", f"one of {', '.join(SCORERS)}"),
            (self.context is None or self.context >= 256, "context", "at least 256 tokens"),
            (self.timeout > 0, "timeout", "more than 0 seconds"),
            (self.first_token > 0, "first_token", "more than 0 seconds"),
            (self.max_tokens >= 1, "max_tokens", "at least 1"),
            (0 <= self.temperature <= 2, "temperature", "between 0 and 2"),
            (self.budget is None or self.budget >= 50, "budget", "at least 50 tokens"),
            (0 <= self.contiguity < 1, "contiguity", "at least 0 and below 1"),
            (self.hops >= 0, "hops", "at least 0"),
            (0 <= self.votes <= 64, "votes", "between 0 and 64"),
            (self.working_every >= 0, "working_every", "at least 0"),
            (self.max_mb >= 1, "max_mb", "at least 1"),
        )
        for holds, name, rule in rules:
            if not holds:
                raise UsageError(f"{name} must be {rule}, not {getattr(self, name)!r}")
        return self

    @property
    def state_dir(self) -> Path:
        """The folder that holds the record of the running server and the command history."""
        return Path(os.environ.get("MEMAGENT_STATE") or user_state_path("memagent"))

    @property
    def index_dir(self) -> Path:
        """The folder of index files, next to the store; it may be deleted at any time."""
        return self.store.with_name(self.store.name + ".index")


def user_file() -> Path:
    """The user's settings file, whether or not it exists."""
    return user_config_path("memagent") / "config.toml"


def project_file() -> Path | None:
    """The nearest memagent.toml in the current folder or one above it."""
    here = Path.cwd()
    return next((p for f in (here, *here.parents) if (p := f / PROJECT_FILE).is_file()), None)


def load(flags: Mapping[str, Any] | None = None) -> tuple[Settings, dict[str, str]]:
    """The settings in force, and the origin of each one that is not a default.

    Raises UsageError that names the file or variable for an unknown name or a bad value.
    """
    here = Path.cwd()
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    layers = [
        *(_file(path) for path in (user_file(), project_file()) if path is not None),
        ("environment", here, EnvSettingsSource(Settings)()),
        ("flag", here, given),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, base, layer in layers:
        for name, value in layer.items():
            values[name] = _prepare(name, value, origin, base)
            origins[name] = origin
    return _validated(values, origins), origins


def check(name: str, value: Any, origin: str) -> Any:
    """One value as its type, for a file. UsageError for an unknown name or a bad value."""
    prepared = _prepare(name, value, origin, Path.cwd())
    return getattr(_validated({name: prepared}, {name: origin}), name)


def _file(path: Path) -> tuple[str, Path, dict[str, Any]]:
    try:
        return str(path), path.parent, TomlConfigSettingsSource(Settings, path)()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _prepare(name: str, value: Any, origin: str, base: Path) -> Any:
    """The value of a known setting; a relative path counts from `base`."""
    if name not in Settings.model_fields:
        raise UsageError(_unknown(name, origin))
    if Path in _kinds(name):
        return base / Path(str(value)).expanduser()
    return value


def _validated(values: dict[str, Any], origins: Mapping[str, str]) -> Settings:
    try:
        return Settings(**values)
    except UsageError as error:
        if isinstance(error.__cause__, ValidationError):
            raise UsageError(_explain(error.__cause__, origins)) from None
        raise


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    if name not in Settings.model_fields:
        return _unknown(name, "Settings")
    wanted = next((text for kind, text in _WANTED.items() if kind in _kinds(name)), "text")
    where = f" in {origins[name]}" if name in origins else ""
    return f"{name}{where} must be {wanted}, not {first['input']!r}"


def _kinds(name: str) -> tuple[Any, ...]:
    annotation = Settings.model_fields[name].annotation
    return get_args(annotation) or (annotation,)


def _unknown(name: str, origin: str) -> str:
    return f"unknown setting {name!r} in {origin}: `memagent config list` shows them"
