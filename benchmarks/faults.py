"""The faults that `benchmarks/mutants.py` plants: mutmut's, less those that mypy sees and those in texts."""

import ast
import difflib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import libcst as cst
from libcst import matchers, metadata
from mutmut.mutation.mutators import (
    mutation_operators,
    operator_arg_removal,
    operator_assignment,
    operator_string,
)

_IS_INSTANCE = matchers.Call(matchers.Name("isinstance"))
_UNTOUCHED = (cst.Annotation, cst.Decorator, cst.Raise, cst.Assert, cst.Import, cst.ImportFrom)


@dataclass(frozen=True)
class Fault:
    """A change of one place in a module: its line, what stood there, and what stands there now."""

    module: str
    line: int
    was: str
    became: str


@dataclass(frozen=True)
class _Place:
    """A node, what may stand there instead, and the function or functions around it."""

    line: int
    function: str
    node: cst.CSTNode
    changed: cst.CSTNode


class _Planter(cst.CSTVisitor):
    """Collects the places of faults."""

    METADATA_DEPENDENCIES = (metadata.PositionProvider,)

    def __init__(self) -> None:
        self.found: list[_Place] = []
        self._functions: list[cst.FunctionDef] = []
        self._in_table = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, _UNTOUCHED) or _is_strict(node) or matchers.matches(node, _IS_INSTANCE):
            return False
        if self._in_table and isinstance(node, cst.BaseString):
            return False
        if isinstance(node, cst.FunctionDef):
            self._functions.append(node)
            self._in_table += _makes_table(node)
        if self._functions or isinstance(node, cst.BaseNumber):
            line = self.get_metadata(metadata.PositionProvider, node).start.line
            function = ".".join(function.name.value for function in self._functions)
            if not (self._in_table and isinstance(node, cst.Call)):
                self.found += [_Place(line, function, node, changed) for changed in _faults_of(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef):
            self._functions.pop()
            self._in_table -= _makes_table(original_node)


def _makes_table(node: cst.FunctionDef) -> bool:
    """Whether its strings and options are headings and the like, which no test needs to pin."""
    return matchers.matches(node.returns, matchers.Annotation(matchers.Name("Table"))) if node.returns else False


def _is_strict(node: cst.CSTNode) -> bool:
    """Whether this is `strict=True`, which is an assertion."""
    return isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value == "strict"


def _faults_of(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Those of mutmut but None instead of a value and calls that lack what has no default, which mypy sees."""
    for kind, operator in mutation_operators:
        if not isinstance(node, kind) or operator is operator_assignment:
            continue
        for changed in operator(node):
            if operator is operator_arg_removal and len(changed.args) == len(node.args):
                continue  # None instead of an argument
            if operator is operator_arg_removal:
                left_out = set(node.args) - set(changed.args)
                if not all(arg.keyword or arg is node.args[-1] for arg in left_out) or any(map(_is_strict, left_out)):
                    continue
            yield changed
            if operator is operator_string:
                break  # the others change its case


def plant(source: str, seed: int) -> list[Callable[[], tuple[int, str] | None]]:
    """The faults of a module in the order of the seed, which no change elsewhere in the module touches.

    Each is a function that returns the line and the faulty source; None if the fault is void.
    """
    wrapper = metadata.MetadataWrapper(cst.parse_module(source))
    planter = _Planter()
    wrapper.visit(planter)
    clean, code = ast.dump(ast.parse(source)), wrapper.module.code_for_node

    def faulty(place: _Place) -> tuple[int, str] | None:
        text = wrapper.module.deep_replace(place.node, place.changed).code  # type: ignore[arg-type]
        try:
            compile(text, "", "exec")
        except SyntaxError:
            return None
        return None if ast.dump(ast.parse(text)) == clean else (place.line, text)

    def order(place: _Place) -> bytes:
        parts = (str(seed), place.function, code(place.node), code(place.changed))
        return hashlib.sha256("\0".join(parts).encode()).digest()

    return [partial(faulty, place) for place in sorted(planter.found, key=order)]


def describe(module: str, line: int, source: str, faulty: str) -> Fault:
    """The lines that differ, joined."""
    sides: dict[str, list[str]] = {"-": [], "+": []}
    for text in difflib.unified_diff(source.splitlines(), faulty.splitlines(), lineterm="", n=0):
        if text[0] in sides and text[:3] not in ("---", "+++"):
            sides[text[0]].append(text[1:].strip())
    return Fault(module, line, " ".join(sides["-"]), " ".join(sides["+"]))


def sample(module: str, n: int, seed: int) -> tuple[int, list[tuple[Fault, str]]]:
    """How many faults a module has, and `n` of them with the faulty source."""
    source = Path(module).read_text(encoding="utf-8")
    places = plant(source, seed)
    made = islice(filter(None, (place() for place in places)), n)
    return len(places), [(describe(module, line, source, faulty), faulty) for line, faulty in made]
