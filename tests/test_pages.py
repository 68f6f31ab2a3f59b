"""What README, CONTRIBUTING and docs/ tell a reader to type exists: commands, options, files, extras, imports, names.

Almost nothing is run here, so it takes a second or two; tests/test_tutorials.py follows whole pages.
"""

import ast
import builtins
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import yaml
from typer.main import get_command

import baselines.learn.cli
import cope.cli
import leaderboard.cli
import rope.bench.cli
import rope.cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OURS = ("rope", "cope", "baselines", "leaderboard")
NOT_OURS = {"--use-flash-attention"}
"""Options on the pages that belong to other programs."""


class Block(NamedTuple):
    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*kinds: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in re.finditer(r"^( *)```(\w+)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            lines = [line.removeprefix(match[1]) for line in match[3].splitlines(keepends=True)]
            if match[2] in kinds:
                found.append(Block(page, text[: match.start()].count("\n") + 1, match[2], "".join(lines)))
    return found


@cache
def programs() -> dict[str, Any]:
    """The first word, or words, of a command line -> its command."""
    leaderboard.cli.add_commands(rope.bench.cli.app)
    apps = {
        "rope": rope.cli.app,
        "rope-bench": rope.bench.cli.app,
        "cope": cope.cli.app,
        "leaderboard": leaderboard.cli.app,
        "baselines.learn": baselines.learn.cli.app,
    }
    return {name: get_command(app) for name, app in apps.items()}


def option_names(command: Any) -> set[str]:
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return names.union(*(option_names(child) for child in getattr(command, "commands", {}).values()))


def choices_of(parameter: Any) -> list[str]:
    """The values that a parameter takes, if they are listed; typer 0.29 keeps them elsewhere than those before it."""
    if hasattr(parameter, "type_descriptor"):
        listed = get_args(parameter.type_descriptor.annotation)
    else:
        listed = getattr(parameter.type, "choices", ())
    return [choice for choice in listed if isinstance(choice, str)]


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and the words behind its name.

    Raises:
        ValueError: a group does not have the command.
    """
    command, rest = programs()[words[0]], words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            raise ValueError(f"{words[0]} has no command {rest[0]!r}; it has {', '.join(command.commands)}")
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def wrong_with_ours(words: list[str]) -> str | None:
    """Why one of our commands would refuse a line before it looks at any file; None if it would not."""
    try:
        command, rest = find_command(words)
        context = command.context_class(command)
        values, unread, _ = command.make_parser(context).parse_args(rest)
    except ValueError as error:
        return str(error)
    except Exception as error:  # a UsageError of click, of which typer may bring its own copy
        return str(getattr(error, "message", error))
    if "help" in values or hasattr(command, "commands"):
        return None
    for parameter in command.params:
        value = values.get(parameter.name)
        if parameter.required and value in (None, ()):
            return f"{parameter.name} is missing"
        choices = choices_of(parameter)
        if choices and isinstance(value, str) and value not in choices:
            return f"{value!r} is not one of {', '.join(choices)}"
    return f"nobody reads {unread}" if unread else None


def extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])


def wrong_with_script(words: list[str], written: set[str]) -> str | None:
    """What is wrong with `python FILE ...`: its options must stand in the file."""
    script = ROOT / words[1]
    if words[1].startswith("-") or words[1] in written:
        return None
    if not script.is_file():
        return f"there is no file {words[1]}"
    text = script.read_text("utf-8")
    return next(
        (f"{words[1]} has no {word}" for word in words if word.startswith("--") and f'"{word}"' not in text), None
    )


def wrong_with(words: list[str], written: set[str]) -> str | None:
    """What is wrong with a command line, ours or not; `written` holds the files that the page tells to write."""
    if "-m" in words and words[words.index("-m") + 1] in programs():
        words = words[words.index("-m") + 1 :]
    if words[0] in programs():
        return wrong_with_ours(words)
    if words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        return next(
            (f"make has no target {word}" for word in words[1:] if "=" not in word and word not in targets), None
        )
    if words[0] == "python":
        return wrong_with_script(words, written)
    if "pip" in words:
        asked = {name for word in words for name in re.findall(r"(?:^\.|^rope-bench)\[([\w,]+)\]", word)}
        unknown = {name for names in asked for name in names.split(",")} - extras()
        return f"there is no extra {unknown}" if unknown else None
    return None


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of each line of a shell snippet; what may be left out, in brackets, counts as given."""
    for line in text.replace("\\\n", " ").splitlines():
        plain = re.sub(r"\s\[(-[^]]*|[A-Z]+)\]", r" \1", line)
        words = shlex.split(plain.split(" > ")[0], comments=True)
        if words and words[0] not in ("for", "done", "printf", "cd", "git"):
            yield words


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_every_command_exists_and_takes_its_options(block):
    written = {
        name
        for other in blocks("python")
        if other.page == block.page
        for name in re.findall(r"^# (\S+\.py)$", other.text, re.MULTILINE)
    }
    wrong = [
        f"{shlex.join(words)}: {said}" for words in command_lines(block.text) if (said := wrong_with(words, written))
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_in_running_text_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    known = NOT_OURS.union(*(option_names(command) for command in programs().values()))
    wrong = []
    for quoted in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        words = re.sub(r"[\[\]…]", " ", quoted).split()
        if words[:1] == ["python"] and words[-1] != "python":
            wrong += [f"{quoted}: {said}" for said in [wrong_with(words, set())] if said is not None]
            continue
        if words and words[0] in programs() and len(words) > 1:
            try:
                command, rest = find_command(words)
            except ValueError as error:
                wrong.append(f"{quoted}: {error}")
                continue
            words, known_here = rest, option_names(command) | {"--help"}
        else:
            known_here = known
        names = [word.split("=")[0] for word in words if re.match(r"--[a-z]", word)]
        wrong += [f"{quoted}: there is no {name}" for name in names if name not in known_here]
    assert wrong == []


def module_file(name: str) -> Path | None:
    base = ROOT.joinpath(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def names_in(path: Path) -> set[str]:
    """The names at the top of a module, and what its `__all__` promises."""
    tree = ast.parse(path.read_text("utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            names |= set(ast.literal_eval(node.value))
    return names


def wrong_imports(tree: ast.Module) -> list[str]:
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wrong += [a.name for a in node.names if a.name.split(".")[0] in OURS and module_file(a.name) is None]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            path = module_file(node.module)
            missing = [
                a.name
                for a in node.names
                if path is None or (a.name not in names_in(path) and module_file(f"{node.module}.{a.name}") is None)
            ]
            wrong += [f"{node.module}.{name}" for name in missing]
    return wrong


def defined_in(tree: ast.Module) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return names


def read_in(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles_and_imports_what_exists(block):
    tree = ast.parse(block.text, str(block))
    assert wrong_imports(tree) == []


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_name_is_defined_on_the_page_or_explained_in_its_text(block):
    before = [other for other in blocks("python") if other.page == block.page and other.line <= block.line]
    defined = set(dir(builtins)).union(*(defined_in(ast.parse(other.text)) for other in before))
    prose = re.sub(r"```.*?```", "", block.page.read_text("utf-8"), flags=re.DOTALL)
    explained = set(re.findall(r"`(\w+)`", prose))
    assert read_in(ast.parse(block.text)) - defined - explained == set()


def test_the_example_of_merging_prints_what_its_comments_say(capsys):
    page = next(block for block in blocks("python") if block.page.name == "curation-merging.md")
    exec(compile(page.text, str(page), "exec"), {})
    stated = re.findall(r"^print\(.*?\)\s+# (\[.*?\])", page.text, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == stated
    assert len(stated) == 2


@pytest.mark.parametrize("block", blocks("toml", "yaml", "json"), ids=str)
def test_settings_parse(block):
    assert tomllib.loads(block.text) if block.kind == "toml" else yaml.safe_load(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:|#|mailto:", link)]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


@cache
def headings_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    plain = [
        re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    ]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_heading_leads_to_one(page):
    links = re.findall(r"\]\(([^)\s:#]*)#([^)\s]+)\)", page.read_text("utf-8"))
    pages = [((page.parent / file).resolve() if file else page, anchor) for file, anchor in links]
    lost = [f"{target.name}#{anchor}" for target, anchor in pages if anchor not in headings_of(target)]
    assert lost == []


def missing_name(dotted: str) -> bool:
    """Whether a dotted name begins with a module that is there, and goes on with a name that it lacks."""
    words = dotted.split(".")
    for n in range(len(words), 0, -1):
        path = module_file(".".join(words[:n]))
        if path is not None:
            return n < len(words) and words[n] not in names_in(path) | {"__version__"}
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_named_in_running_text_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    quoted = re.findall(r"(?<!`)`([\w./-]+)`(?!`)", text)
    paths = [name for name in quoted if re.match(rf"({'|'.join(OURS)}|tests|benchmarks|docs)/.*(\.\w+|/)$", name)]
    names = [
        name
        for name in quoted
        if re.match(rf"({'|'.join(OURS)})\.[a-z]", name) and not re.search(r"\.(csv|html|json|toml|yml)$", name)
    ]
    assert [name for name in paths if not (ROOT / name).exists()] == []
    assert [name for name in names if missing_name(name)] == []


class TestTheSite:
    """What `make docs` checks by building is checked here as far as it goes without MkDocs."""

    def test_every_page_is_in_the_navigation(self):
        nav = re.findall(r"\S+\.md$", (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2], re.MULTILINE)
        pages = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.is_relative_to(ROOT / "docs")]
        assert sorted(name for name in nav if not name.startswith("repository/")) == sorted(pages)
        assert len(nav) == len(set(nav))

    def test_every_public_name_is_in_the_api_reference(self):
        hooks = runpy.run_path(str(ROOT / "docs" / "mkdocs_hooks.py"))
        text = "".join(hooks["page_of"](package, files) for package, files in hooks["packages"]().items())
        shown = dict(re.findall(r"^::: (\S+)\n +options: \{members: (.*)\}$", text, re.MULTILINE))
        sources = [
            path for name in OURS for path in (ROOT / name).rglob("*.py") if "__all__ =" in path.read_text("utf-8")
        ]
        assert len(shown) == len(sources) > 300
        for name, members in shown.items():
            path = module_file(name)
            assert path is not None
            assert set(ast.literal_eval(members)) <= names_in(path)
        assert '"load_dataset"' in shown["rope"]


class TestTheChecks:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("rope bild RELEASE OUT", "rope has no command 'bild'"),
            ("rope curate frob R", "rope has no command 'frob'"),
            ("rope build RELEASE OUT --image-rot X", "--image-rot"),
            ("rope build RELEASE", "out is missing"),
            ("rope build RELEASE OUT --media inside", "'inside' is not one of embed, reference"),
            ("rope-bench score --json", "--json"),
            ("make dmeo", "no target dmeo"),
            ("python benchmarks/sorce.py", "no file"),
            ("pip install 'rope-bench[copee]'", "copee"),
            ("accelerate launch -m cope trian D", "no command 'trian'"),
        ],
    )
    def test_a_line_that_does_not_work_is_found(self, line, said):
        (words,) = command_lines(line)
        assert said in str(wrong_with(words, set()))

    @pytest.mark.parametrize("line", ["rope build A B --strict  # all", "rope-bench leaderboard [RESULTS] [--serve]"])
    def test_a_line_that_works_is_not(self, line):
        (words,) = command_lines(line)
        assert wrong_with(words, set()) is None

    def test_an_import_that_does_not_resolve_is_found(self):
        assert wrong_imports(ast.parse("import rope.nowhere\nfrom rope.domain import Pair, Pear")) == [
            "rope.nowhere",
            "rope.domain.Pear",
        ]


def test_every_file_that_the_walks_name_exists():
    files = [f"/{path.relative_to(ROOT)}" for package in OURS for path in (ROOT / package).rglob("*.py")]
    files += [f"/{path.relative_to(ROOT)}" for folder in ("tests", "docs") for path in (ROOT / folder).glob("*.py")]
    named = set(re.findall(r"[\w/]+\.py", (ROOT / "docs" / "architecture.md").read_text("utf-8")))
    assert len(named) > 40
    assert {name for name in named if not any(file.endswith(f"/{name}") for file in files)} == set()


def test_the_page_of_results_is_that_of_the_result_files():
    page = runpy.run_path(str(ROOT / "benchmarks" / "results_page.py"))["render"]()
    assert (ROOT / "docs" / "results.md").read_text("utf-8") == page
