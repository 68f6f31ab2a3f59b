"""What a card, an entry and a score must look like: strict parsing, JSON Schemas, and migrations between versions.

The schemas are JSON Schema and not code because they are published: a tool in any language can check a file before it
is submitted.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from rope.errors import RopeError
from rope.extras import needed_by

__all__ = ["MIGRATIONS", "SCHEMA_VERSION", "check", "migrate", "parse_json", "read_json", "read_small"]

SCHEMA_VERSION: Final = 2
"""Version of `schemas/entry.schema.json`."""

Raw = dict[str, Any]


def _from_1(raw: Raw) -> Raw:
    """Version 1 knew only float16, and whole vectors."""
    renamed = {"rounding_change" if key == "float16_change" else key: value for key, value in raw.items()}
    return renamed | {"schema_version": 2, "cut_from": None}


MIGRATIONS: Final[Mapping[int, Callable[[Raw], Raw]]] = {1: _from_1}
"""Version -> what makes an entry of the next version from it."""

_MAX_TEXT_BYTES: Final = 4 << 20
_MAX_DEPTH: Final = 12
_LARGEST: Final = 2**53
_SHOWN: Final = 5
_SCHEMAS: Final = {
    "card": ("leaderboard", "schemas/card.schema.json"),
    "entry": ("leaderboard", "schemas/entry.schema.json"),
    "score": ("rope.bench", "result.schema.json"),
}


def read_small(path: Path, max_bytes: int = _MAX_TEXT_BYTES) -> str:
    """The text of a file of UTF-8 that is not larger than `max_bytes`.

    Raises:
        RopeError: it is missing, a link, larger, or not UTF-8.
    """
    if path.is_symlink() or not path.is_file():
        raise RopeError(f"{path}: expected a plain file, found none")
    if path.stat().st_size > max_bytes:
        raise RopeError(f"{path}: {path.stat().st_size:,} bytes, expected {max_bytes:,} at most")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RopeError(f"{path}: not UTF-8: {error}") from error


def parse_json(text: str, where: str) -> Raw:
    """A JSON object, strictly: no NaN, no infinity, no key given twice, no number that float64 does not hold.

    >>> parse_json('{"a": NaN}', "x.json")
    Traceback (most recent call last):
    ...
    rope.errors.RopeError: x.json: not strict JSON: NaN is not a number in JSON

    Raises:
        RopeError: it is anything else; begins with `where`.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number in JSON")

    def unique(items: list[tuple[str, Any]]) -> Raw:
        found = dict(items)
        if len(found) < len(items):
            raise ValueError("a key is given twice")
        return found

    def bounded(digits: str) -> float:
        if abs(number := float(digits)) > _LARGEST:
            raise ValueError(f"the number {digits[:20]} is beyond 2**53")
        return number

    def whole(digits: str) -> int:
        bounded(digits)
        if abs(number := int(digits)) > _LARGEST:
            raise ValueError(f"the number {digits} is beyond 2**53")
        return number

    try:
        raw = json.loads(text, parse_constant=refuse, object_pairs_hook=unique, parse_float=bounded, parse_int=whole)
    except (ValueError, RecursionError) as error:
        raise RopeError(f"{where}: not strict JSON: {error}") from error
    if _is_deep(raw):
        raise RopeError(f"{where}: more than {_MAX_DEPTH} nested objects or lists")
    if not isinstance(raw, dict):
        raise RopeError(f"{where}: expected an object at the top")
    return raw


def _is_deep(value: Any) -> bool:  # noqa: ANN401 (a JSON value)
    """Whether a value nests beyond `_MAX_DEPTH`, found without recursion."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        inside = (one.values() if isinstance(one, dict) else one for one in level)
        level = [one for values in inside for one in values if isinstance(one, dict | list)]
    return bool(level)


def read_json(path: Path) -> Raw:
    """The object in a file of strict JSON of 4 MiB at most.

    Raises:
        RopeError: as `read_small` and `parse_json`.
    """
    return parse_json(read_small(path), str(path))


def check(raw: Mapping[str, Any], kind: Literal["card", "entry", "score"], where: str) -> None:
    """Compare an object with its schema.

    Raises:
        RopeError: it does not fit; names the first five places, each with what was expected.
        UsageError: jsonschema is not installed.
    """
    errors = sorted(_validator(kind).iter_errors(raw), key=lambda error: (error.json_path, error.message))
    if errors:
        listed = "".join(f"\n  {error.json_path}: {_message(error)}" for error in errors[:_SHOWN])
        more = f"\n  and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        raise RopeError(f"{where}: not what {_SCHEMAS[kind][1].rpartition('/')[2]} describes:{listed}{more}")


def _message(error: Any) -> str:  # noqa: ANN401 (jsonschema ships no types)
    """What was expected in words where the schema has them, and else what jsonschema says."""
    if error.validator in ("pattern", "maxLength", "oneOf") and (expected := error.schema.get("description")):
        return f"{ascii(error.instance)[:80]} is not {expected}"
    return str(error.message)[:200]


def migrate(raw: Raw, where: str, migrations: Mapping[int, Callable[[Raw], Raw]] = MIGRATIONS) -> Raw:
    """Bring an entry of an older version to this one.

    Raises:
        RopeError: it is of a version that is not known.
    """
    while raw.get("schema_version") != SCHEMA_VERSION:
        version = raw.get("schema_version")
        if type(version) is not int or version not in migrations:
            raise RopeError(f"{where}: schema_version {version!r}, expected {SCHEMA_VERSION}")
        raw = migrations[version](raw)
    return raw


@lru_cache
def _validator(kind: str) -> Any:  # noqa: ANN401 (jsonschema ships no types)
    with needed_by("the leaderboard", "leaderboard"):
        from jsonschema import Draft202012Validator
    package, name = _SCHEMAS[kind]
    return Draft202012Validator(json.loads((files(package) / name).read_text("utf-8")))
