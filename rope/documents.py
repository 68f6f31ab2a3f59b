"""Configuration files as plain values, strictly: TOML, YAML and JSON mean what a reader sees, or are refused."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal

from rope.errors import FileError
from rope.extras import needed_by
from rope.files import check_file, reading_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Syntax", "parse_document", "read_document"]

Syntax = Literal["JSON", "TOML", "YAML"]


def read_document(path: Path, syntax: Syntax, what: str) -> dict[str, Any]:
    """The keys and values of a configuration file.

    Args:
        path: the file, of UTF-8 with or without a byte order mark.
        syntax: its language.
        what: what the file is to be, for error texts: `a recipe`.

    Raises:
        UsageError: the file does not exist.
        FileError: it is anything else; one sentence that names it.
    """
    check_file(path, f"{what} in {syntax}")
    with reading_file(path, syntax):
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise FileError(f"{path}: is UTF-16; save it as UTF-8") from error
            raise
    if not text.strip():
        raise FileError(f"{path}: is empty; expected {what} in {syntax}")
    return parse_document(text, syntax, str(path))


def parse_document(text: str, syntax: Syntax, where: str) -> dict[str, Any]:
    r"""The keys and values in the text of a configuration.

    No key may be given twice. YAML is read by the core schema of its version 1.2, in which `1e-4` is a number, and `no`
    and `on` are texts.

    Args:
        text: the text.
        syntax: its language.
        where: the file, for error texts.

    >>> parse_document("rate: 1e-4\nanswer: no", "YAML", "here")
    {'rate': 0.0001, 'answer': 'no'}
    >>> parse_document('{"seed": 1, "seed": 2}', "JSON", "here")
    Traceback (most recent call last):
    rope.errors.FileError: here: not readable as JSON: the key 'seed' is given twice

    Raises:
        FileError: it is not this language, or not a mapping at the top.
    """
    with reading_file(Path(where), syntax):
        values = _PARSERS[syntax](text)
    if not isinstance(values, dict):
        raise FileError(f"{where}: expected keys with values at the top, got {_kind(values)}")
    return values


def _parse_json(text: str) -> object:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f"the key {key!r} is given twice")
            found[key] = value
        return found

    return json.loads(text, object_pairs_hook=distinct)


def _parse_yaml(text: str) -> object:
    with needed_by("a recipe in YAML"):
        import yaml
    try:
        return yaml.load(text, _yaml_loader())  # noqa: S506  a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        told = ", ".join(text for text in (error.context, error.problem) if text)
        raise ValueError(f"{place}{told}") from error


@lru_cache
def _yaml_loader() -> Any:  # noqa: ANN401  PyYAML ships no types
    """A safe loader with the core schema of YAML 1.2, except for octal and hexadecimal numbers, which stay texts."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers: Final[dict[str, Any]] = {}

        def compose_mapping_node(self, anchor: str | None) -> Any:  # noqa: ANN401
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        raise yaml.MarkedYAMLError(
                            problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                        )
                    seen.add(key.value)
            return node

    exponent = "[eE][-+]?[0-9]+"
    number = rf"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)({exponent})?|[-+]?[0-9]+{exponent}"
    for tag, pattern, beginnings in (
        ("null", "~|null|Null|NULL|", "~nN"),
        ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", "[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
        ("float", rf"{number}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789"),
        ("merge", "<<", "<"),
    ):
        first = [*beginnings, *([""] if tag == "null" else [])]
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), first)
    return Loader


_PARSERS: Final[Mapping[Syntax, Callable[[str], object]]] = {
    "JSON": _parse_json,
    "TOML": tomllib.loads,
    "YAML": _parse_yaml,
}


def _kind(value: object) -> str:
    names = {list: "a list", NoneType: "nothing", str: "a text", bool: "true or false"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
