"""The shape of the packages, from their imports: modules, floors, arrows and lines of each folder.

    python docs/structure.py [CHECKOUT]

An *arrow* is a module of the folder that imports another of the same folder, its subfolders included. A module stands
one *floor* above the highest module of the folder that it imports, so the floors are the longest chain of imports.
*From outside* counts the modules of other folders that import any of it.
"""

import sys
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.test_imports import import_graph

PACKAGES = ("rope", "baselines", "cope", "leaderboard")
Graph = Mapping[str, set[str]]


def main(checkout: Path) -> None:
    """Print a table of the folders of a checkout."""
    graph = import_graph(checkout, [name for name in PACKAGES if (checkout / name).is_dir()])
    lines = {module: count_lines(checkout, module) for module in graph}
    print("| folder | modules | floors | arrows | from outside | lines |\n|---|---|---|---|---|---|")
    for folder in sorted(folders(graph)):
        inside = {module for module in graph if module == folder or module.startswith(f"{folder}.")}
        own = {module: graph[module] & inside for module in inside}
        outside = sum(bool(graph[module] & inside) for module in graph.keys() - inside)
        print(
            f"| `{folder.replace('.', '/')}/` | {len(inside)} | {n_floors(own)} | {sum(map(len, own.values()))} "
            f"| {outside} | {sum(lines[module] for module in inside):,} |"
        )
    print(f"\n{len(graph)} modules, {sum(lines.values()):,} lines")


def folders(graph: Graph) -> set[str]:
    """Packages, and the folders inside of them that hold modules."""
    return {
        ".".join(parts[:depth]) for parts in (module.split(".") for module in graph) for depth in range(1, len(parts))
    }


def n_floors(graph: Graph) -> int:
    """The longest chain of imports, in modules."""
    floors: dict[str, int] = {}
    for module in TopologicalSorter(graph).static_order():
        floors[module] = 1 + max((floors[below] for below in graph[module]), default=0)
    return max(floors.values())


def count_lines(checkout: Path, module: str) -> int:
    """Lines of a module's file."""
    place = checkout.joinpath(*module.split("."))
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return len(path.read_text("utf-8").splitlines())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
