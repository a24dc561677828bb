"""The walls of the code: import layers, sizes, names. Reads source; runs nothing of it."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "memagent": ROOT / "memagent",
    "memagent.memory": ROOT / "memory",
    "memagent.kernels": ROOT / "kernels",
    "memagent.prompts": ROOT / "prompts",
}
HEAVY = {
    "torch", "transformers", "sentence_transformers", "faiss", "langgraph", "openai", "vllm",
    "triton", "pypdfium2", "docx", "bs4", "lxml", "sentencex",
}  # fmt: skip
LANGGRAPH_FILES = {
    "memagent.agent.steps", "memagent.agent.strategies.follow_up",
    "memagent.agent.strategies.outline", "memagent.agent.strategies.vote",
}  # fmt: skip
# Tensor code imports its tensors at the top; in return it is imported only where it is used.
TENSOR_CODE = ("memagent.kernels.", "memagent.engines.pocket.network", "memagent.streaming.")


def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = _modules()
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
SOURCES = [
    path
    for folder in (*PACKAGES.values(), ROOT / "tests", ROOT / "examples", ROOT / "benchmarks")
    for path in folder.rglob("*.py")
]


def _imports(tree: ast.AST, *, top: bool = False) -> set[str]:
    """Names of imported modules; with `top`, only those imported when the module is."""
    found: set[str] = set()
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if top and (typing_only or inner):
            continue
        stack.extend(ast.iter_child_nodes(node))
    return found


def _own(names: set[str]) -> set[str]:
    return {name for name in names if name in MODULES}


def _layer(module: str) -> str:
    return next(
        (p for p in PACKAGES if p != "memagent" and f"{module}.".startswith(f"{p}.")), "memagent"
    )


@pytest.mark.parametrize("module", sorted(MODULES))
def test_memory_kernels_and_prompts_know_only_themselves(module: str) -> None:
    layer = _layer(module)
    if layer == "memagent":
        return
    others = {name for name in _own(_imports(TREES[module])) if _layer(name) != layer}
    assert not others, f"{module} imports {sorted(others)}"


def test_no_import_cycles() -> None:
    graph = {name: _own(_imports(tree, top=True)) - {name} for name, tree in TREES.items()}
    # Importing a submodule runs its package's __init__; a package that only carries a docstring
    # cannot close a cycle.
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name in done:
            return
        for other in graph[name]:
            visit(other, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_tests_examples_benchmarks_or_bare_folders(module: str) -> None:
    forbidden = {"tests", "examples", "benchmarks", "training", "kernels", "memory", "prompts"}
    roots = {name.split(".")[0] for name in _imports(TREES[module])}
    assert not roots & forbidden


@pytest.mark.parametrize("module", sorted(MODULES))
def test_heavy_libraries_are_imported_where_they_are_used(module: str) -> None:
    imported = _imports(TREES[module], top=True)
    if module.startswith(TENSOR_CODE):
        return
    heavy = {name.split(".")[0] for name in imported} & HEAVY
    allowed = {"langgraph"} if module in LANGGRAPH_FILES else set()
    assert heavy <= allowed
    assert not [name for name in imported if name.startswith(TENSOR_CODE)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    limit = 90 if ROOT / "kernels" in path.parents else 60
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= limit, f"{node.name} has {length} lines"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_says_what_it_is_and_what_it_offers(module: str) -> None:
    tree = TREES[module]
    assert ast.get_docstring(tree), "a docstring says what the file is"
    if MODULES[module].name == "__init__.py" and len(tree.body) == 1:
        return
    names = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert names, "__all__ names the public surface"
    assert names[0] == sorted(names[0], key=_isort_order)


def _isort_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as the linter sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_every_package_is_built() -> None:
    """Import names are mapped to folders, so packages are listed by hand."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join((package, *path.parent.relative_to(folder).parts))
        for package, folder in PACKAGES.items()
        for path in (*folder.rglob("*.py"), *folder.rglob("*.json"))
    }
    assert sorted(listed) == sorted(found)


def test_examples_are_short() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        assert len(path.read_text().splitlines()) < 40, path.name


def test_a_foreign_distribution_named_kernels_does_not_collide(tmp_path: Path) -> None:
    """Transformers imports a distribution of that name; ours lives inside memagent only."""
    fake = tmp_path / "kernels"
    fake.mkdir()
    (fake / "__init__.py").write_text("MARK = 'the other one'\n")
    program = (
        "import kernels, memagent.kernels, memagent.memory, memagent.prompts\n"
        "assert kernels.MARK == 'the other one'\n"
        "assert not hasattr(memagent.kernels, '__version__')\n"
        "import transformers.models.llama.modeling_llama\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
