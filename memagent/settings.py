"""Settings: flag > MEMAGENT_* > project file (memagent.toml) > user file > default.

One frozen dataclass that validates itself; knows nothing of what the settings do.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from platformdirs import user_config_path, user_data_path, user_state_path

from memagent.errors import UsageError

__all__ = [
    "ENGINES",
    "PROJECT_FILE",
    "SCORERS",
    "SEGMENTERS",
    "Settings",
    "load",
    "project_file",
    "user_file",
]

PROJECT_FILE = "memagent.toml"
ENGINES = ("auto", "pocket", "scripted", "stream", "vllm")
SCORERS = ("pocket", "served")
SEGMENTERS = ("sentences", "surprise")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Names are those of the files, of `--flags` and MEMAGENT_*."""

    store: Path = user_data_path("memagent") / "memory.db"
    namespace: str = "default"
    engine: str = "auto"
    url: str | None = None
    model: str | None = None
    api_key: str | None = None
    context: int | None = None
    """Tokens of the model's window, where the server does not tell."""
    timeout: float = 120.0
    """Seconds without a byte from the server before it counts as hanging."""
    max_tokens: int = 512
    temperature: float = 0.0
    budget: int = 2000
    """Tokens of recalled text in a prompt."""
    contiguity: float = 0.3
    """Share of the budget kept for the neighbours of what was found in documents."""
    hops: int = 0
    """Further questions that the model may write to look up what an answer still needs."""
    votes: int = 0
    """Chunks of recalled text, a budget each, that answer alone; the surest one is heard."""
    outline: bool = False
    """Whether the model first marks the sentences that an answer must rest on."""
    working_every: int = 0
    """Exchanges of a chat after which the model rewrites the working memory; 0: only when asked."""
    embedder: str = "minilm"
    segmenter: str = "surprise"
    """How new text is cut into events: at surprising sentences, or by size alone."""
    scorer: str = "pocket"
    """Whose surprise that is: the bundled model's, or that of the model on the server."""
    script: Path | None = None
    """Replies of the scripted engine, JSON lines."""
    max_mb: int = 512
    """Largest file that is added, in MB."""
    vllm_python: Path | None = None
    """The Python interpreter that has vLLM, where it is not this one."""

    def __post_init__(self) -> None:
        rules = (
            (self.engine in ENGINES, "engine", f"one of {', '.join(ENGINES)}"),
            (self.segmenter in SEGMENTERS, "segmenter", f"one of {', '.join(SEGMENTERS)}"),
            (self.scorer in SCORERS, "scorer", f"one of {', '.join(SCORERS)}"),
            (self.context is None or self.context >= 256, "context", "at least 256 tokens"),
            (self.timeout > 0, "timeout", "more than 0 seconds"),
            (self.max_tokens >= 1, "max_tokens", "at least 1"),
            (0 <= self.temperature <= 2, "temperature", "between 0 and 2"),
            (self.budget >= 50, "budget", "at least 50 tokens"),
            (0 <= self.contiguity < 1, "contiguity", "at least 0 and below 1"),
            (self.hops >= 0, "hops", "at least 0"),
            (0 <= self.votes <= 64, "votes", "between 0 and 64"),
            (self.working_every >= 0, "working_every", "at least 0"),
            (self.max_mb >= 1, "max_mb", "at least 1"),
        )
        for holds, name, rule in rules:
            if not holds:
                raise UsageError(f"{name} must be {rule}, not {getattr(self, name)!r}")

    @property
    def state_dir(self) -> Path:
        """Where running servers are recorded and histories kept."""
        return Path(os.environ.get("MEMAGENT_STATE") or user_state_path("memagent"))

    @property
    def index_dir(self) -> Path:
        """The folder of index files, beside the store; it may be deleted at any time."""
        return self.store.with_name(self.store.name + ".index")


_TYPES: dict[str, type] = {
    "store": Path,
    "script": Path,
    "vllm_python": Path,
    "context": int,
    "max_tokens": int,
    "budget": int,
    "hops": int,
    "votes": int,
    "outline": bool,
    "working_every": int,
    "max_mb": int,
    "timeout": float,
    "temperature": float,
    "contiguity": float,
}

_SWITCH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def user_file() -> Path:
    """The user's settings file, whether or not it exists."""
    return user_config_path("memagent") / "config.toml"


def project_file() -> Path | None:
    """The nearest memagent.toml in this folder or one above it."""
    here = Path.cwd()
    return next((p for f in (here, *here.parents) if (p := f / PROJECT_FILE).is_file()), None)


def load(flags: Mapping[str, Any] | None = None) -> tuple[Settings, dict[str, str]]:
    """The settings in force, and for each one that is not a default where it comes from.

    Raises UsageError that names the file or variable for an unknown name or a bad value.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers: list[tuple[str, Mapping[str, Any], Path]] = []
    for path in (user_file(), project_file()):
        if path is not None and path.is_file():
            layers.append((str(path), _read(path), path.parent))
    layers.append(("environment", _environment(), Path.cwd()))
    layers.append(("flag", {k: v for k, v in (flags or {}).items() if v is not None}, Path.cwd()))
    for origin, layer, base in layers:
        for name, value in layer.items():
            values[name] = convert(name, value, origin, base)
            origins[name] = origin
    return replace(Settings(), **values), origins


def convert(name: str, value: Any, origin: str, base: Path) -> Any:
    """One value as its type; relative paths count from `base`. UsageError if it does not fit."""
    if name not in {field.name for field in fields(Settings)}:
        raise UsageError(f"unknown setting {name!r} in {origin}: `memagent config list` shows them")
    kind = _TYPES.get(name, str)
    try:
        if kind is Path:
            return base / Path(str(value)).expanduser()
        if kind is bool:
            return _SWITCH[str(value).lower()]
        if isinstance(value, bool):
            raise ValueError
        return kind(value)
    except (KeyError, TypeError, ValueError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
        raise UsageError(f"{name} in {origin} must be {wanted}, not {value!r}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _environment() -> dict[str, str]:
    names = {field.name for field in fields(Settings)}
    prefixed = {
        key.removeprefix("MEMAGENT_").lower(): value
        for key, value in os.environ.items()
        if key.startswith("MEMAGENT_") and value
    }
    return {name: value for name, value in prefixed.items() if name in names}
