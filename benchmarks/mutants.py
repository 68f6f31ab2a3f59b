"""Plants one small fault at a time in the code that numbers and decisions come from: which does no test notice?

    python benchmarks/mutants.py [--sample 20] [--seed 0] [--only rope/bench/stats] [--limit 120]

`benchmarks/mutants.toml` lists the modules, the tests that each group of them has to pass, and the faults that change
nothing, each with the reason. A fault is one of mutmut's, in a function or in a number of the module, unless mypy sees
it; texts of errors and headings of tables are left alone. A sample of each module is tried: the seed orders its faults,
so a larger sample holds the smaller one, and a change of one function leaves the sample of the others.

Each group's tests run once without a fault, which tells what every test runs. Then each fault gets a process of its
own, one at a time, that imports the faulty source instead of the module, tries the tests that run the faulty line
first, quick ones before slow ones and no more than fill half the limit, and ends at the first failure. Times are CPU
times, so a busy machine changes no outcome.

mutmut's own runner is not used: it runs a copy of the tree in which all faults of a module stand beside each other,
leaves out decorated functions, and takes no sample.

Results are kept in `mutants/`: a run that was broken off goes on where it was, and when tests have changed, only what
survived is tried again. Exits with 1 if a fault survives for which the list has no reason.
"""

import argparse
import ast
import builtins
import contextlib
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import tomllib  # from Python 3.11, as mutmut
from faults import Fault, sample
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
KEPT = Path("mutants")
OURS = ("rope", "baselines", "cope", "leaderboard", "tests", "benchmarks")
PYTEST = [
    *("-q", "-x", "-p", "no:cacheprovider", "--tb=line", "-m", "not slow and not gpu and not network"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of what was imported before
]
BROKEN = 70


@dataclass(frozen=True)
class Group:
    """Modules that the same tests hold to their contracts."""

    name: str
    modules: Sequence[str]
    tests: Sequence[str]
    uncached: bool = False  # compiled: no line can tell that it is run

    def test_files(self) -> dict[str, str]:
        """The tests and the modules, whose doctests are tests too, each with a hash of its text."""
        paths = [Path(module) for module in self.modules]
        for path in map(Path, self.tests):
            paths += sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
        return {str(path): _hash(path) for path in paths}


@dataclass(frozen=True)
class Clean:
    """A run of a group's tests without a fault.

    Attributes:
        files: of tests, each with a hash of its text.
        seconds: of CPU time that each test took.
        lines: for each test, the lines of each module that it ran.
        imported: what the tests import that is not ours.
    """

    files: Mapping[str, str]
    seconds: Mapping[str, float]
    lines: Mapping[str, Mapping[str, Sequence[int]]]
    imported: Sequence[str]


def _hash(*paths: Path) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:12]


# A run of the tests, with other sources instead of some modules.


class _Instead(importlib.abc.MetaPathFinder):
    """Imports the given code instead of modules; a plugin too, to stay before what pytest imports tests with."""

    def __init__(self, code: Mapping[str, ast.Module | str]) -> None:
        self._code = {path.removesuffix(".py").replace("/", "."): (path, code) for path, code in code.items()}
        sys.meta_path.insert(0, self)

    def pytest_collection(self) -> None:
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name not in self._code:
            return None
        file, code = self._code[name]

        class Loader(importlib.machinery.SourceFileLoader):
            def get_code(self, fullname: str):
                return compile(code, self.path, "exec", dont_inherit=True)

        full = str(Path(file).resolve())
        return importlib.util.spec_from_file_location(name, full, loader=Loader(name, full))


def _telling(source: str, module: str) -> ast.Module:
    """The module, telling `builtins.ran` of each statement of its functions before it is run."""
    tree = ast.parse(source)
    done: set[int] = set()
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]:
        for node in ast.walk(function):
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if not isinstance(block, list) or isinstance(node, ast.ClassDef) or id(block) in done:
                    continue
                told: list[ast.stmt] = []
                for statement in block:
                    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                    if not is_text:  # a docstring stays first
                        told += ast.parse(f"ran({module!r}, {statement.lineno})").body
                    told.append(statement)
                block[:] = told
                done.add(id(block))
    return ast.fix_missing_locations(tree)


class _Recorder:
    """Notes how long each test takes and what it runs."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, dict[str, list[int]]] = {}
        self._ran: set[tuple[str, int]] = set()
        builtins.ran = lambda module, line: self._ran.add((module, line))  # type: ignore[attr-defined]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        started = time.process_time()
        result = yield
        self.seconds[item.nodeid] = time.process_time() - started
        return result

    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        of_test: dict[str, list[int]] = {}
        for module, line in sorted(self._ran):
            of_test.setdefault(module, []).append(line)
        self.lines[item.nodeid] = of_test
        self._ran.clear()


class _Chosen:
    """Runs the given tests alone, in their order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._place = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self._place), key=lambda i: self._place[i.nodeid])


def in_process(work: Callable[[], int], limit_s: float, log: Path) -> int | None:
    """What `work` returns, run in its own process; None if it took more than `limit_s` of CPU time.

    A process that waits forever is killed after ten times as long.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.setsid()
        if math.isfinite(limit_s):
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit_s), math.ceil(limit_s) + 5))
        with log.open("wb", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            code = BROKEN
            try:
                code = work()
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(code)
    end = time.monotonic() + 10 * limit_s
    while time.monotonic() < end:
        if (ended := os.waitpid(pid, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(ended[1])
            return None if code == -signal.SIGXCPU else code
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def run_clean(group: Group) -> Clean:
    """The run without a fault; of files that have not changed since the last time, what was found then."""
    kept = KEPT / "clean" / f"{group.name}-{_hash(*map(Path, group.modules))}.json"
    last = Clean(**json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else Clean({}, {}, {}, ())
    files = group.test_files()
    stale = [file for file, text in files.items() if last.files.get(file) != text]
    if not stale:
        return last

    def work() -> int:
        sources = {module: Path(module).read_text(encoding="utf-8") for module in group.modules}
        told: dict[str, ast.Module | str] = {
            module: text if group.uncached else _telling(text, module) for module, text in sources.items()
        }
        recorder = _Recorder()
        code = int(pytest.main([*PYTEST, *stale], plugins=[_Instead(told), recorder]))
        imported = {name for name, module in sys.modules.items() if _is_installed(name, module)}
        old = [test for test in last.seconds if test.split("::")[0] in files and test.split("::")[0] not in stale]
        clean = Clean(
            files,
            {test: last.seconds[test] for test in old} | recorder.seconds,
            {test: last.lines[test] for test in old} | recorder.lines,
            sorted(imported | set(last.imported)),
        )
        if code in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            kept.write_text(json.dumps(asdict(clean)), encoding="utf-8")
        return code

    code = in_process(work, math.inf, log := KEPT / "clean" / f"{group.name}.log")
    if code not in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        sys.exit(f"the tests of {group.name} fail without a fault (exit code {code}): see {log}")
    return Clean(**json.loads(kept.read_text(encoding="utf-8")))


def _is_installed(name: str, module: object) -> bool:
    return name.split(".")[0] not in OURS and "site-packages" in (getattr(module, "__file__", None) or "")


def tests_of(fault: Fault, clean: Clean, budget_s: float, is_compiled: bool) -> tuple[list[str], bool]:
    """The tests to try a fault with, in order, and whether one of them runs its line; if it is compiled, each may.

    Those that run the line come before others that run the module, and quick ones before slow ones until the budget is
    spent. What is chosen runs file by file, so that no fixture is made twice.
    """
    statements = [
        node
        for node in ast.walk(ast.parse(Path(fault.module).read_text(encoding="utf-8")))
        if isinstance(node, ast.stmt) and node.lineno <= fault.line <= (node.end_lineno or node.lineno)
    ]
    innermost = max(statements, key=lambda node: node.lineno)
    if isinstance(innermost, ast.FunctionDef | ast.AsyncFunctionDef):  # its head
        wanted = set(range(innermost.lineno, (innermost.end_lineno or 0) + 1))
    else:
        wanted = {innermost.lineno}
    told = {test: lines.get(fault.module, ()) for test, lines in clean.lines.items()}
    ran = {test: set(lines) for test, lines in told.items() if lines or is_compiled}
    in_function = any(isinstance(node, ast.FunctionDef) for node in statements) and not is_compiled
    near = {test for test, lines in ran.items() if not in_function or lines & wanted}
    by_worth = sorted(ran, key=lambda test: (test not in near, clean.seconds[test], test))
    spent = accumulate(clean.seconds[test] for test in by_worth)
    chosen = [test for test, seconds in zip(by_worth, spent, strict=True) if seconds < budget_s or test == by_worth[0]]
    rank = {test.split("::")[0]: place for place, test in reversed(list(enumerate(chosen)))}
    return sorted(chosen, key=lambda test: (test not in near, rank[test.split("::")[0]])), bool(near)


def attempt(module: str, source: str, tests: Sequence[str], limit_s: float) -> tuple[str, str]:
    """Try a source instead of a module: what became of it, and the test that failed."""

    def work() -> int:
        files = sorted({test.split("::")[0] for test in tests})
        return int(pytest.main([*PYTEST, *files], plugins=[_Instead({module: source}), _Chosen(tests)]))

    log = KEPT / "last.log"
    code = in_process(work, limit_s, log)
    if code == BROKEN:
        sys.exit(f"a run of the tests broke off: see {log}")
    if code is None:
        return "timed out", ""
    if code == 0:
        return "survived", ""
    lines = log.read_text(errors="replace").splitlines()
    return "killed", next((line for line in lines if line.startswith(("FAILED", "ERROR"))), f"exit code {code}")[:200]


# The whole of it.


def run_group(group: Group, arguments: argparse.Namespace) -> int:
    """Try a sample of each module; its own process, since a compiler is changed for good."""
    if group.uncached:
        from numba.core.dispatcher import Dispatcher

        Dispatcher.enable_caching = lambda _: None
    clean = run_clean(group)
    for name in clean.imported:  # once, not again for each fault
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    quickest = sorted(clean.seconds, key=lambda test: clean.seconds[test])[:3]
    for module in group.modules:
        if not module.startswith(arguments.only):
            continue
        if attempt(module, Path(module).read_text(encoding="utf-8"), quickest, arguments.limit)[0] != "survived":
            sys.exit(f"{module} fails its tests without a fault: see {KEPT}/last.log")
        known = results_of(module)
        tests_now = _hash(*map(Path, clean.files))
        for fault, source in sample(module, arguments.sample, arguments.seed)[1]:
            last = known.get(fault)
            if last and (last["outcome"] == "killed" or last["tests"] == tests_now):
                continue
            started = time.monotonic()
            tests, is_run = tests_of(fault, clean, arguments.limit / 2, group.uncached)
            outcome, note = attempt(module, source, tests, arguments.limit) if tests else ("survived", "")
            row = {
                "outcome": outcome,
                "note": note if is_run else "no test runs this line",
                "tests": tests_now,
                "seconds": round(time.monotonic() - started, 1),
            }
            with results_path(module).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(fault) | row) + "\n")
    return 0


def results_path(module: str) -> Path:
    """Where the results of a module are kept, as long as it does not change."""
    return KEPT / f"{module.removesuffix('.py').replace('/', '.')}-{_hash(Path(module))}.jsonl"


def results_of(module: str) -> dict[Fault, dict[str, Any]]:
    """The last result of each fault."""
    path = results_path(module)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {Fault(row.pop("module"), row.pop("line"), row.pop("was"), row.pop("became")): row for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=20, metavar="N", help="faults of each module (20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which ones (0)")
    parser.add_argument("--only", default="", metavar="PATH", help="modules whose path starts so")
    parser.add_argument("--limit", type=float, default=120, metavar="SECONDS", help="of CPU time for each fault (120)")
    arguments = parser.parse_args()
    settings = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))
    table = Table("module", *(("faults", "sampled", "killed", "timed out", "explained", "survived")), box=None)
    unexplained = []
    for group in (Group(**one) for one in settings["group"]):
        modules = [module for module in group.modules if module.startswith(arguments.only)]
        if not modules:
            continue
        code = in_process(lambda group=group: run_group(group, arguments), math.inf, KEPT / f"{group.name}.log")
        if code != 0:
            sys.exit(f"{group.name} could not be run: see {KEPT}/{group.name}.log")
        reasons = {(one["module"], one["was"], one["became"]) for one in settings.get("same", ())}
        for module in modules:
            n_faults, faults = sample(module, arguments.sample, arguments.seed)
            known = results_of(module)
            count: Counter[object] = Counter()
            for fault, _ in faults:
                row = known[fault]
                is_explained = row["outcome"] != "killed" and (fault.module, fault.was, fault.became) in reasons
                count["explained" if is_explained else row["outcome"]] += 1
                if row["outcome"] != "killed" and not is_explained:
                    unexplained.append((fault, row))
            shown = (len(faults), *(count[name] for name in ("killed", "timed out", "explained", "survived")))
            table.add_row(module, str(n_faults), *map(str, shown))
    console = Console(width=160, highlight=False, markup=False)
    console.print(table)
    for fault, row in unexplained:
        console.print(
            f"\n{fault.module}:{fault.line}  {row['outcome']}  {row['note']}\n- {fault.was}\n+ {fault.became}"
        )
    sys.exit(any(row["outcome"] == "survived" for _, row in unexplained))


if __name__ == "__main__":
    main()
