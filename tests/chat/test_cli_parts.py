"""Logging, plugins and the editor of the command line."""

import io
import logging
import os
import sys
from pathlib import Path

import pytest

from memagent.cli.editing import edit_text, has_editor
from memagent.cli.log import configure_logging
from memagent.errors import InputError
from tests.conftest import Run


def test_log_messages_are_single_lines_on_the_current_stderr(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = logging.getLogger("memagent.memory.test")
    root = logging.getLogger("memagent")
    handlers, level = list(root.handlers), root.level
    try:
        configure_logging()
        stderr = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stderr)
        logger.debug("not shown")
        logger.info("the index of %s\nwas rebuilt", "default")
        configure_logging(verbose=True)
        logger.debug("shown")
        expected = "memagent: the index of default was rebuilt\nmemagent: shown\n"
        assert stderr.getvalue() == expected
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_a_broken_plugin_is_reported_in_one_line(run: Run, tmp_path: Path) -> None:
    info = tmp_path / "plugins" / "bad.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[memagent.commands]\nbad = no_such_module:app\n")

    path = f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{info.parent}".lstrip(os.pathsep)
    done = run("--version", PYTHONPATH=path)
    assert done.returncode == 0 and done.stdout.startswith("memagent ")
    (line,) = done.stderr.splitlines()
    assert line.startswith("memagent: the command bad (no_such_module:app) cannot be loaded: ")


@pytest.mark.parametrize(
    ("editor", "says"), [("false", "false"), ("no-such-editor", "no-such-editor"), ("'", "quot")]
)
def test_an_editor_that_fails_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, editor: str, says: str
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    with pytest.raises(InputError, match="nothing was changed") as raised:
        edit_text("a line")
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_an_editor_returns_the_saved_text_and_visual_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "an editor"
    script.write_text('#!/bin/sh\necho "more" >> "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", f"'{script}'")
    monkeypatch.setenv("EDITOR", "false")
    assert edit_text("a line") == "a line\nmore\n"
    monkeypatch.setenv("VISUAL", "true")
    assert edit_text("a line") is None, "nothing was saved"
    monkeypatch.delenv("VISUAL")
    monkeypatch.delenv("EDITOR")
    assert not has_editor()
