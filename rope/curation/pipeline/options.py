"""Plain values of a recipe to a frozen dataclass of options, with a sentence for each mistake."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rope.errors import UsageError

__all__ = ["check_options"]


def check_options(kind: type[Any], given: Mapping[str, Any], place: str) -> list[str]:
    """The mistakes in the options of a dataclass; empty where it can be made of them.

    Args:
        kind: a dataclass with fields of plain types: bool, int, float, str, lists and dicts of them, and None.
        given: name -> value, as TOML has them.
        place: begins each sentence.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Cut:
    ...     minimum: float
    ...     column: str = "similarity"
    >>> check_options(Cut, {"minimum": 1}, "stage 'cut'")
    []
    >>> check_options(Cut, {"colum": "x"}, "stage 'cut'")
    ["stage 'cut': unknown option 'colum'; expected one of minimum, column", "stage 'cut': lacks option 'minimum'"]
    >>> check_options(Cut, {"minimum": "high"}, "stage 'cut'")
    ["stage 'cut': option 'minimum' is 'high'; expected float"]
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    mistakes = [
        f"{place}: unknown option {name!r}; expected one of {', '.join(fields) or 'none at all'}"
        for name in given
        if name not in fields
    ]
    mistakes += [f"{place}: lacks option {name!r}" for name, field in fields.items() if _lacks(field, given)]
    mistakes += [
        f"{place}: option {name!r} is {value!r}; expected {_named(hints[name])}"
        for name, value in given.items()
        if name in fields and not _fits(value, hints[name])
    ]
    if mistakes:
        return mistakes
    try:
        kind(**given)
    except (UsageError, ValueError) as error:
        return [f"{place}: {error}"]
    return []


def _lacks(field: "dataclasses.Field[Any]", given: Mapping[str, Any]) -> bool:
    has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    return field.name not in given and not has_default


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401  a type, or what typing makes of one
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is dict:
        return isinstance(value, dict) and all(_fits(one, arguments[1]) for one in value.values())
    if origin in (list, tuple):
        return isinstance(value, list | tuple) and all(_fits(one, arguments[0]) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is Path:
        return isinstance(value, str | Path)
    return isinstance(value, hint)


def _named(hint: Any) -> str:  # noqa: ANN401  a type, or what typing makes of one
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
