"""Imports point one way: no cycle, nothing upward, and nothing heavy until it is needed."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from rope.curation.pipeline.engine_local import PRELOAD
from rope.moved import MOVED

ROOT = Path(__file__).parents[1]
PACKAGES = [name for name in ("rope", "baselines", "cope", "leaderboard") if (ROOT / name).is_dir()]
FORBIDDEN = {
    "rope": {"baselines", "cope", "leaderboard"},
    "baselines": {"cope", "leaderboard"},
    "cope": {"baselines", "leaderboard"},
    "leaderboard": {"cope", "baselines"},
}
DATASET = {"rope.dataset", "rope.media"}
SCORES = {"rope.bench.metrics", "rope.bench.one_shot", "rope.bench.score"}
CURATED = {
    "rope.curation.codes",
    "rope.curation.embedded_media",
    "rope.curation.media_rows",
    "rope.curation.pipeline",
    "rope.curation.scattered",
    "rope.curation.wide",
}
ALLOWED = {
    "rope.media": set(),
    "rope.encoders": set(),
    "rope.sources": {"rope.media"},
    "rope.fetch": {"rope.media", "rope.sources"},
    "rope.dataset": {"rope.fetch", "rope.media", "rope.sources"},
    "rope.feed": DATASET,
    "rope.asr": {*DATASET, "rope.encoders"},
    "rope.share": DATASET,
    "rope.synthetic": {"rope.media", "rope.bench.recommend.interactions"},
    "rope.bench.ranking": {"rope.bench.ragged"},
    "rope.bench.io": {"rope.dataset", "rope.bench.ragged", "rope.bench.score"},
    "rope.bench.stats": {"rope.dataset", "rope.bench.io", *SCORES},
    "rope.bench.running": {"rope.dataset", "rope.bench.io", "rope.bench.ragged"},
    "rope.bench.doctor": {"rope.dataset", "rope.bench.io", "rope.bench.ranking", *SCORES},
    "rope.curation.pipeline": {"rope.curation.sampling.keyed_hash", "rope.curation.scattered"},
    "rope.curation.annotation": {*CURATED, "rope.curation.dedup", "rope.bench.stats"},
    "rope.curation.filtering": {*CURATED, "rope.curation.annotation", "rope.bench.stats"},
    "rope.curation.dedup": CURATED,
    "rope.curation.sampling": CURATED,
    "rope.curation.splitting": {*CURATED, "rope.curation.dedup", "rope.curation.sampling"},
    "rope.curation.operations": {
        *CURATED,
        *DATASET,
        "rope.encoders",
        "rope.curation.dedup",
        "rope.curation.sampling",
        "rope.fetch",
    },
}
"""Folder -> the folders and modules that it may import beside itself and the modules at the top of `rope`."""

TOP = {"rope": {"rope.dataset"}, "rope.console": {"rope.dataset"}, "rope.cli": {"rope"}}
"""Modules at the top that import from folders; no other does."""

HEAVY = {"numpy", "pyarrow", "datasets", "duckdb", "PIL", "torch", "pandas"}

Graph = dict[str, set[str]]


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(root: Path, packages: list[str]) -> Graph:
    """Module -> the modules of these packages that it imports anywhere in its text."""
    files = {module_name(path, root): path for package in packages for path in (root / package).rglob("*.py")}
    graph: Graph = {}
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        wanted = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                wanted.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = [*package.split(".")[: len(package.split(".")) - node.level + 1]] if node.level else []
                origin = ".".join([*base, *([node.module] if node.module else [])])
                wanted.update(
                    f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in files else origin for alias in node.names
                )
        graph[module] = wanted & set(files)
    return graph


def find_cycle(graph: Graph) -> list[str]:
    """The modules of one cycle, the first again at the end; empty when there is none."""
    done: set[str] = set()

    def visit(module: str, chain: list[str]) -> list[str]:
        if module in chain:
            return [*chain[chain.index(module) :], module]
        if module in done:
            return []
        for imported in sorted(graph[module]):
            if cycle := visit(imported, [*chain, module]):
                return cycle
        done.add(module)
        return []

    return next((cycle for module in sorted(graph) if (cycle := visit(module, []))), [])


def upward_imports(graph: Graph) -> list[str]:
    return sorted(
        f"{module} -> {imported}"
        for module, all_imported in graph.items()
        for imported in all_imported
        if imported.split(".")[0] in FORBIDDEN[module.split(".")[0]]
    )


def is_in(module: str, folders: set[str]) -> bool:
    return any(module == folder or module.startswith(f"{folder}.") for folder in folders)


def sideways_imports(graph: Graph, folders: set[str]) -> list[str]:
    """Imports that `ALLOWED` and `TOP` do not have; `folders` are those at the top of `rope`."""
    found = []
    for module, all_imported in graph.items():
        own = next((folder for folder in ALLOWED if is_in(module, {folder})), module)
        allowed = ALLOWED.get(own, TOP.get(module, set()))
        if own in ALLOWED or (module.count(".") < 2 and not is_in(module, folders)):
            wrong = {one for one in all_imported if is_in(one, folders) and not is_in(one, {own, *allowed})}
            found += [f"{module} -> {one}" for one in wrong if module.startswith("rope")]
    return sorted(found)


def test_inner_layers_import_what_they_may():
    folders = {f"rope.{path.name}" for path in (ROOT / "rope").iterdir() if (path / "__init__.py").exists()}
    graph = import_graph(ROOT, ["rope"])
    assert sideways_imports(graph, folders) == []
    assert all(is_in(module, {*folders, *TOP}) for module in {*ALLOWED, *TOP}), "a folder of the table is gone"
    graph["rope.media.video"] |= {"rope.dataset.manifest"}
    graph["rope.bench.ranking.engine"] |= {"rope.bench.io.tables", "rope.bench.ranking.blocks", "rope.errors"}
    graph["rope.files"] |= {"rope.media.images"}
    assert sideways_imports(graph, folders) == [
        "rope.bench.ranking.engine -> rope.bench.io.tables",
        "rope.files -> rope.media.images",
        "rope.media.video -> rope.dataset.manifest",
    ]


def test_no_module_imports_itself_over_others():
    assert " -> ".join(find_cycle(import_graph(ROOT, PACKAGES))) == ""


def test_no_package_imports_one_above_it():
    assert upward_imports(import_graph(ROOT, PACKAGES)) == []


@pytest.mark.parametrize(
    ("files", "cycle", "upward"),
    [
        (
            {"rope/a.py": "import rope.b", "rope/b.py": "def f():\n    from rope import a"},
            "rope.a -> rope.b -> rope.a",
            [],
        ),
        ({"rope/a.py": "from . import b", "rope/b.py": "from .a import x"}, "rope.a -> rope.b -> rope.a", []),
        ({"rope/a.py": "import rope.b", "rope/b.py": "import os"}, "", []),
        ({"rope/a.py": "from baselines.c import d"}, "", ["rope.a -> baselines.c"]),
        ({"baselines/c.py": "import rope", "rope/a.py": ""}, "", []),
    ],
)
def test_the_graph_sees_what_it_should(files, cycle, upward, tmp_path):
    for name in ("rope/__init__.py", "baselines/__init__.py", "baselines/c.py", *files):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(files.get(name, ""))
    graph = import_graph(tmp_path, ["rope", "baselines"])
    assert " -> ".join(find_cycle(graph)) == cycle
    assert upward_imports(graph) == upward


@pytest.mark.parametrize("module", ["rope", "rope.console", "rope.cli", "rope.bench.cli"])
def test_nothing_heavy_is_imported_at_first(module):
    program = f"import sys, {module}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_planning_a_run_imports_no_pandas_and_workers_have_it_at_once():
    program = "import sys, rope.curation.pipeline.ingest, rope.curation.pipeline.runner; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"
    assert "pandas" in PRELOAD


def repeated_classes(root: Path, packages: list[str]) -> dict[str, list[str]]:
    """Name of a public class -> the files that define one of that name, where there are several."""
    found: dict[str, list[str]] = {}
    for path in (path for package in packages for path in sorted((root / package).rglob("*.py"))):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(path.relative_to(root).as_posix())
    return {name: files for name, files in found.items() if len(files) > 1}


def test_each_public_class_has_a_name_that_no_other_has():
    assert repeated_classes(ROOT, PACKAGES) == {}


def test_a_repeated_name_is_seen(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "rope").mkdir(exist_ok=True)
        (tmp_path / "rope" / f"{name}.py").write_text("class Row: ...\nclass _Row: ...\n")
    assert repeated_classes(tmp_path, ["rope"]) == {"Row": ["rope/a.py", "rope/b.py"]}


def test_what_workers_preload_is_what_there_is():
    assert {module for module in PRELOAD if importlib.util.find_spec(module) is None or module in MOVED} == set()
