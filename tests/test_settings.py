"""The precedence of settings, and the errors for invalid ones."""

from pathlib import Path

import pytest

from memagent import settings as module
from memagent.errors import UsageError
from memagent.settings import Settings, load


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(__import__("os").environ):
        if name.startswith("MEMAGENT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    project = tmp_path / "project" / "deep"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)
    return tmp_path


def _user_file(text: str) -> None:
    path = module.user_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_flag_beats_environment_beats_project_beats_user(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load()[0].budget == Settings().budget
    _user_file("budget = 100\nmax_tokens = 11\n")
    assert load()[0].budget == 100
    (home / "project" / "memagent.toml").write_text("budget = 200\n")
    assert load()[0].budget == 200
    monkeypatch.setenv("MEMAGENT_BUDGET", "300")
    assert load()[0].budget == 300
    settings, origins = load({"budget": 400, "model": None})
    assert (settings.budget, settings.max_tokens) == (400, 11)
    assert origins["budget"] == "flag"
    assert origins["max_tokens"].endswith("config.toml")


def test_a_path_in_a_file_counts_from_that_file(home: Path) -> None:
    (home / "project" / "memagent.toml").write_text('store = "notes.db"\n')
    assert load()[0].store == home / "project" / "notes.db"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("budgte = 100\n", "unknown setting 'budgte'"),
        ("budget = 'many'\n", "whole number"),
        ("budget = true\n", "whole number"),
        ("budget = 3\n", "at least 50"),
        ("engine = 'gpt'\n", "one of auto, pocket"),
        ("budget = \n", "not valid TOML"),
        ("temperature = nan\n", "between 0 and 2"),
    ],
)
def test_a_bad_setting_is_one_line(home: Path, text: str, says: str) -> None:
    _user_file(text)
    with pytest.raises(UsageError, match=says):
        load()
