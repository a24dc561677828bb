"""What is installed: a wheel, a wheel made from the source archive, an editable checkout.

Each has every package and data file, runs the program, and is followed by type checkers from
outside the checkout.
"""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The mistake proves that the types are followed: an unresolved import would be Any.
USES_TYPES = """\
from memagent.memory.events import Filter
from memagent.types import Event

def read(event: Event) -> str:
    return event.text

Filter(since=1)
"""
USES_FILES = """\
import memagent
from importlib.resources import files
from pathlib import Path
from memagent.kernels import attend_pages
from memagent.memory.events import Filter
from memagent.models import bundled
from memagent.prompts.load import render

assert Path(memagent.__file__).is_relative_to({where!r}), memagent.__file__
assert (files("memagent") / "schemas" / "answer.json").is_file()
assert (files("memagent") / "py.typed").is_file()
assert (files("memagent.memory.index") / "token_codes.safetensors").is_file()
assert (bundled.pocket_reader() / "model.safetensors").is_file()
assert render("system.md")
"""


def _python(code: str, python: Path, folder: Path) -> None:
    done = subprocess.run(
        [python, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _check_types(python: Path, folder: Path) -> None:
    (folder / "uses_types.py").write_text(USES_TYPES)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "uses_types.py"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 'Argument "since" to "Filter" has incompatible type "int"' in done.stdout, done.stdout
    assert "Found 1 error" in done.stdout, done.stdout


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["wheel", "source archive"])
def test_an_installed_wheel_is_whole(way: str, tmp_path: Path) -> None:
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist")
    # By default `build` makes the wheel from the source archive.
    _run(*build, *(["--wheel"] if way == "wheel" else []), ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")}))
    _run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, wheel
    )
    # Its own .pth files are not read, so the editable install stays out.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _python(USES_FILES.format(where=str(packages)), python, tmp_path)
    _python("from memagent.cli.app import main; import sys; sys.argv[1:] = ['--version']; main()",
            python, tmp_path)  # fmt: skip
    _check_types(python, tmp_path)


@pytest.mark.slow
def test_an_editable_checkout_is_whole(tmp_path: Path) -> None:
    _python(USES_FILES.format(where=str(ROOT)), Path(sys.executable), tmp_path)
    _check_types(Path(sys.executable), tmp_path)


@pytest.mark.slow
def test_pytest_may_be_started_as_a_module() -> None:
    """The checkout is then on the path, where its folders must hide no distribution."""
    _run(sys.executable, "-m", "pytest", "-q", "tests/test_architecture.py", "-k", "foreign")
