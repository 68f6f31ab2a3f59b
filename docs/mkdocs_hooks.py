"""Hooks of MkDocs: the API reference from each module's `__all__`, and links that lead out of docs/.

Sources are read, not imported, so that the site builds without any extra.
"""

import ast
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGES = ("rope", "baselines", "cope", "leaderboard")
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)((?:#[^)]*)?)\)")
"""A link to another file: the file, and the place in it."""

COPIES = "repository/"
"""Where the site keeps files that are not of docs/."""


def public_names(path: Path) -> list[str]:
    """What the `__all__` of a source file lists; empty where it has none."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def packages() -> dict[str, list[Path]]:
    """Package -> its source files that have public names, the package's own first."""
    found = {}
    for init in (path for name in PACKAGES for path in sorted((ROOT / name).rglob("__init__.py"))):
        files = [init, *sorted(path for path in init.parent.glob("*.py") if path != init)]
        public = [path for path in files if public_names(path)]
        if public:
            found[".".join(init.parent.relative_to(ROOT).parts)] = public
    return found


def module_name(path: Path) -> str:
    """The name that a source file is imported by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def page_of(package: str, files: list[Path]) -> str:
    """The page of a package: each module with exactly the names that its `__all__` lists."""
    lines = [f"# {package}", ""]
    for path in files:
        members = ", ".join(f'"{name}"' for name in public_names(path))
        lines += [f"::: {module_name(path)}", f"    options: {{members: [{members}]}}", ""]
    return "\n".join(lines)


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """Put the pages of the API reference at the end of the navigation."""
    assert config.nav is not None
    api: list[Any] = [{package: f"api/{package}.md"} for package in packages()]
    config.nav = [*config.nav, {"API": api}]
    return config


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the API reference, and a copy of each file of the repository that a page links to."""
    from mkdocs.structure.files import File

    for target in copied():
        files.append(File.generated(config, COPIES + target, content=(ROOT / target).read_text("utf-8")))
    for package, sources in packages().items():
        files.append(File.generated(config, f"api/{package}.md", content=page_of(package, sources)))
    return files


def copied() -> list[str]:
    """The files outside docs/ that a page there leads to, directly or through another of them.

    A link to no file is left for MkDocs to report.
    """
    found: set[Path] = set()
    todo = list((ROOT / "docs").rglob("*.md"))
    while todo:
        page = todo.pop()
        targets = {(page.parent / link[1]).resolve() for link in LINK.finditer(page.read_text("utf-8"))}
        new = {target for target in targets - found if target.is_file() and not target.is_relative_to(ROOT / "docs")}
        found |= new
        todo += [target for target in new if target.suffix == ".md"]
    return sorted(target.relative_to(ROOT).as_posix() for target in found if target.is_relative_to(ROOT))


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Point links between docs/ and the rest of the repository at where both are in the site."""
    here = page.file.src_uri
    source = ROOT / here.removeprefix(COPIES) if here.startswith(COPIES) else ROOT / "docs" / here

    def rewritten(link: re.Match[str]) -> str:
        target = (source.parent / link[1]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            place = target.relative_to(ROOT / "docs").as_posix()
        elif target.is_relative_to(ROOT):
            place = COPIES + target.relative_to(ROOT).as_posix()
        else:
            return link[0]
        return f"]({posixpath.relpath(place, posixpath.dirname(here))}{link[2]})"

    return LINK.sub(rewritten, markdown)
