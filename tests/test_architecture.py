"""The architecture: import layers, cycles, sizes, names. Reads the source; runs none of it.

Each test collects all violations, so that one run reports everything there is to fix.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "memagent": ROOT / "memagent",
    "memagent.memory": ROOT / "memory",
    "memagent.kernels": ROOT / "kernels",
    "memagent.prompts": ROOT / "prompts",
}
# Lower floors first. A room may import itself and the rooms on lower floors; rooms on one floor
# import one another only where `SIDEWAYS` says so.
FLOORS = (
    {"types", "errors", "settings"},
    {"kernels", "memory", "prompts"},
    {"documents", "scorers", "streaming", "models"},
    {"serving"},
    {"engines"},
    {"agent"},
    {"writing"},
    {"batch"},
    {"api"},
    {"cli", "__main__"},
)
SIDEWAYS = {("settings", "errors"), ("types", "errors"), ("scorers", "streaming"),
            ("scorers", "models"), ("__main__", "cli")}  # fmt: skip
LAZY = {"memagent"}  # the package's own __init__ maps public names to where they live
HEAVY = {
    "torch", "transformers", "sentence_transformers", "faiss", "langgraph", "httpx2", "vllm",
    "triton", "pypdfium2", "docx", "bs4", "lxml", "sentencex",
}  # fmt: skip
# Steps of the graph name the runtime in their signatures.
LANGGRAPH = ("memagent.agent.steps", "memagent.agent.strategies.")
# Tensor code imports its tensors at the top; in return it is imported only where it is used.
TENSOR_CODE = ("memagent.kernels.", "memagent.engines.pocket.network", "memagent.streaming.")
PLAIN = ("memagent.streaming.token_ranges",)


@cache
def modules() -> dict[str, Path]:
    """Every module of the product by its import name."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            if package == "memagent" and parts[0] in ("memory", "kernels", "prompts"):
                continue  # reached through the links
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def sources() -> Iterator[Path]:
    """Every Python file of the repository."""
    yield from modules().values()
    for folder in ("tests", "examples", "benchmarks"):
        yield from (ROOT / folder).rglob("*.py")


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """Imported names; with `at_import`, only those imported when the module itself is."""
    found: set[str] = set()
    stack: list[ast.AST] = [tree(path)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(names)
            # `from package import module` needs the module; the package's own names are not used.
            if not names <= set(modules()):
                found.add(node.module or "")
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            if at_import:
                continue
        elif at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        stack.extend(ast.iter_child_nodes(node))
    return found


def own_imports(module: str) -> set[str]:
    """The modules of the product that a module imports, lazily or for its types alone too."""
    return {name for name in imports(modules()[module]) if name in modules()} - {module, "memagent"}


def room(module: str) -> str:
    """The part of a module's name after `memagent`; '' for the package itself."""
    return module.split(".")[1] if "." in module else ""


def test_rooms_import_only_lower_floors() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    assert {room(name) for name in modules()} - {""} <= set(floor), "a room without a floor"
    offenders = [
        f"{module} imports {other}"
        for module in sorted(set(modules()) - LAZY)
        for other in sorted(own_imports(module))
        if room(module) != room(other)
        and floor[room(other)] >= floor[room(module)]
        and (room(module), room(other)) not in SIDEWAYS
    ]
    assert not offenders, "\n".join(offenders)


def test_no_import_cycles() -> None:
    graph = {name: own_imports(name) for name in set(modules()) - LAZY}
    done: set[str] = set()
    cycles: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycles.append(" -> ".join((*path[path.index(name) :], name)))
        elif name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    assert not cycles, "\n".join(cycles)


def test_the_product_imports_no_tests_examples_benchmarks_or_bare_folders() -> None:
    forbidden = {"tests", "examples", "benchmarks", "memagent_bench", "kernels", "memory",
                 "prompts"}  # fmt: skip
    offenders = [
        f"{module} imports {name}"
        for module, path in sorted(modules().items())
        for name in sorted(imports(path))
        if name.split(".")[0] in forbidden
    ]
    assert not offenders, "\n".join(offenders)


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    offenders = [
        f"{module} imports {name}"
        for module, path in sorted(modules().items())
        if not module.startswith(TENSOR_CODE)
        for name in sorted(imports(path, at_import=True))
        if name.split(".")[0] in HEAVY
        or (name.startswith(TENSOR_CODE) and not name.startswith(PLAIN))
        if not (name.startswith("langgraph") and module.startswith(LANGGRAPH))
    ]
    assert not offenders, "\n".join(offenders)


def test_only_the_command_line_prints() -> None:
    offenders = [
        f"{module} line {node.lineno}"
        for module, path in sorted(modules().items())
        if room(module) != "cli" and path.name != "entry.py"
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo"))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rich")
    ]
    assert not offenders, "\n".join(offenders)


def test_files_and_functions_are_short() -> None:
    offenders = []
    for path in sources():
        name = path.relative_to(ROOT)
        lines = len(path.read_text().splitlines())
        if lines > 300:
            offenders.append(f"{name} has {lines} lines")
        limit = 90 if name.parts[0] == "kernels" else 60
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length > limit:
                    offenders.append(f"{name}: {node.name} has {length} lines")
    for path in (ROOT / "examples").glob("*.py"):
        if len(path.read_text().splitlines()) >= 40:
            offenders.append(f"{path.name} is no short example")
    assert not offenders, "\n".join(offenders)


def test_every_module_says_what_it_is_and_what_it_offers() -> None:
    offenders = []
    for module, path in sorted(modules().items()):
        body = tree(path).body
        if not ast.get_docstring(tree(path)):
            offenders.append(f"{module} has no docstring")
        if path.name == "__init__.py" and len(body) == 1:
            continue
        names = [
            ast.literal_eval(node.value)
            for node in body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        if not names:
            offenders.append(f"{module} has no __all__")
        elif names[0] != sorted(names[0], key=_isort_order):
            offenders.append(f"{module}: __all__ is not sorted")
    assert not offenders, "\n".join(offenders)


def _isort_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as the linter sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_every_folder_of_modules_is_a_package() -> None:
    """`packages.find` leaves out folders without an __init__.py."""
    missing = {
        str(path.parent.relative_to(ROOT))
        for path in modules().values()
        if not (path.parent / "__init__.py").exists()
    }
    assert not missing, sorted(missing)


def test_a_foreign_distribution_named_kernels_does_not_collide(tmp_path: Path) -> None:
    """Transformers imports a distribution of that name; ours is memagent.kernels."""
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
