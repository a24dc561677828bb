"""Finding files from paths, folders and patterns."""

import pytest

from memagent.documents import discover
from memagent.errors import NotFoundError, UsageError

FILES = [
    "a.md",
    "b.txt",
    "docs/a.md",
    "docs/z.txt",
    "docs/deep/er/c.md",
    ".hidden.md",
    ".git/config.md",
    "docs/.secret/s.md",
    "docs/node_modules/n.md",
    "docs/__pycache__/p.md",
    ".venv/v.md",
]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*arguments, **options):
    return [path.as_posix() for path in discover(arguments, **options)]


def test_a_folder_gives_its_files_sorted_without_hidden_ones_and_caches(tree):
    assert found(".") == ["a.md", "b.txt", "docs/a.md", "docs/z.txt", "docs/deep/er/c.md"]
    assert found(str(tree / "docs"))[0] == (tree / "docs/a.md").as_posix()


def test_a_hidden_file_is_added_if_it_is_named(tree):
    assert found(".hidden.md") == [".hidden.md"]
    assert found(".git") == [".git/config.md"]


def test_patterns(tree):
    assert found("*.md") == ["a.md"]
    assert found("**/*.md") == ["a.md", "docs/a.md", "docs/deep/er/c.md"]
    assert found("d?cs") == ["docs/a.md", "docs/z.txt", "docs/deep/er/c.md"]
    assert found("docs/**") == found("docs")
    assert found(f"{tree}/docs/[az].*") == [f"{tree}/docs/a.md", f"{tree}/docs/z.txt"]
    assert found(".*.md") == [".hidden.md"]


def test_a_name_that_looks_like_a_pattern_is_taken_for_the_file_it_is(tree):
    (tree / "a[1].md").write_text("x")
    assert found("a[1].md") == ["a[1].md"]


def test_every_file_is_given_once_in_the_order_of_the_arguments(tree):
    (tree / "link.md").symlink_to(tree / "a.md")
    assert found("docs/z.txt", "docs", "docs/../docs/a.md", "link.md", "a.md") == [
        "docs/z.txt",
        "docs/a.md",
        "docs/deep/er/c.md",
        "link.md",
    ]


def test_links_to_folders_are_not_followed_so_loops_end(tree):
    (tree / "docs/loop").symlink_to(tree / "docs")
    (tree / "docs/broken").symlink_to(tree / "nowhere")
    assert found("docs") == ["docs/a.md", "docs/z.txt", "docs/deep/er/c.md"]
    assert found("docs/**/*.md") == ["docs/a.md", "docs/deep/er/c.md"]
    assert found("docs/loop")[0] == "docs/loop/a.md"


def test_what_is_missing_or_matches_nothing_is_an_error_that_names_it(tree):
    (tree / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"c\.md does not exist"):
        next(discover(["a.md", "c.md"]))
    with pytest.raises(NotFoundError, match=r"\*\.pdf matches no files"):
        found("*.pdf")
    with pytest.raises(NotFoundError, match="empty holds no files"):
        found("empty")
    with pytest.raises(UsageError, match=r"docs/\*\*a is not a pattern"):
        found("docs/**a")
    assert found("c.md", "*.pdf", "empty", "a.md", strict=False) == ["a.md"]
