"""One reader for all that a person configures: recipes in TOML, YAML and JSON, and options given as text.

A configuration is a frozen dataclass, and the annotation of a field says what its key may hold. The same rules apply
on every way in (`docs/configuration.md`): a file, which `rope.documents` parses; an option of a command; and a call
from Python, where `check_record` in `__post_init__` applies them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from numbers import Number
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rope.errors import UsageError

__all__ = [
    "Count",
    "Fraction",
    "NonNegative",
    "NumberRange",
    "Positive",
    "PositiveFraction",
    "Seed",
    "check_options",
    "check_record",
    "check_value",
    "make_record",
    "unknown_key",
    "value_of_text",
]

Record = TypeVar("Record")

_SHOWN: Final = 80
"""Characters of a wrong value in a sentence."""


@dataclass(frozen=True, slots=True)
class NumberRange:
    """The numbers that a field may hold; part of an annotation: `Annotated[float, NumberRange(above=0, most=1)]`.

    >>> print(NumberRange(1), NumberRange(0, 1), NumberRange(above=0, below=1), sep="; ")
    at least 1; from 0 to 1; above 0 and below 1
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, number: float) -> bool:
        return (
            (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"from {self.least} to {self.most}"
        limits = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {limit}" for word, limit in limits.items() if limit is not None)


Count = Annotated[int, NumberRange(1)]
Seed = Annotated[int, NumberRange(0, below=2**64)]
"""What every generator here takes."""
Positive = Annotated[float, NumberRange(above=0)]
NonNegative = Annotated[float, NumberRange(0)]
Fraction = Annotated[float, NumberRange(0, 1)]
PositiveFraction = Annotated[float, NumberRange(above=0, most=1)]


def make_record(kind: type[Record], values: object, where: str) -> Record:
    """A record from plain values.

    Args:
        kind: a dataclass whose fields are annotated with bool, int, float, str, Path, Literal, None, lists, tuples and
            dicts of them, other dataclasses, or Any; numbers may have a `NumberRange`.
        values: key -> value, as a file has them. Whole numbers are taken for fields of floats, lists for tuples.
        where: the file, which begins each line of an error.

    >>> @dataclass(frozen=True)
    ... class Cut:
    ...     minimum: Fraction
    ...     column: str = "similarity"
    >>> make_record(Cut, {"minimum": 1}, "cut.toml")
    Cut(minimum=1.0, column='similarity')
    >>> make_record(Cut, {"minimum": True, "colum": "x"}, "cut.toml")
    Traceback (most recent call last):
    rope.errors.UsageError: cut.toml: unknown key 'colum'; did you mean 'column'?
    cut.toml: minimum is True; expected a finite number, from 0 to 1

    Raises:
        UsageError: a line for each mistake.
    """
    mistakes: list[str] = []
    record: Record = _record(kind, values, "", mistakes)
    if mistakes:
        raise UsageError("\n".join(f"{where}: {mistake}" for mistake in mistakes))
    return record


def check_options(kind: type[Any], values: object, where: str) -> list[str]:
    """What keeps values from becoming a record, as `make_record` says it; empty where nothing does."""
    mistakes: list[str] = []
    _record(kind, values, "", mistakes)
    return [f"{where}: {mistake}" for mistake in mistakes]


def check_record(record: object) -> None:
    """Hold the values of a record against its annotations; the first thing that `__post_init__` does.

    Raises:
        UsageError: names each field that does not fit, what it is and what was expected.
    """
    mistakes: list[str] = []
    for name, hint in _hints(type(record)).items():
        _value(hint, getattr(record, name), name, mistakes)
    if mistakes:
        raise UsageError("; ".join(mistakes))


def check_value(hint: Any, value: Any, name: str) -> Any:  # noqa: ANN401  what typing makes of an annotation
    """One value, such as an argument of a function, if an annotation allows it; a scalar of NumPy as Python's own.

    >>> check_value(Seed, 0.5, "seed")
    Traceback (most recent call last):
    rope.errors.UsageError: seed is 0.5; expected a whole number, at least 0 and below 18446744073709551616

    Raises:
        UsageError: it does not fit.
    """
    mistakes: list[str] = []
    plain = value.item() if isinstance(value, Number) and hasattr(value, "item") else value
    taken = _value(hint, plain, name, mistakes)
    if mistakes:
        raise UsageError("; ".join(mistakes))
    return taken


def value_of_text(hint: Any, text: str, name: str) -> Any:  # noqa: ANN401
    """The value of an annotation that a text stands for, such as that of an option; lists are separated by commas.

    >>> value_of_text(Count, "8", "frames"), value_of_text(tuple[str, ...], "page,live", "texts")
    (8, ('page', 'live'))
    >>> value_of_text(bool, "no", "normalize")
    Traceback (most recent call last):
    rope.errors.UsageError: normalize is 'no'; expected true or false

    Raises:
        UsageError: it stands for none; names the option.
    """
    mistakes: list[str] = []
    value = _value(hint, _untexted(hint, text), name, mistakes)
    if mistakes:
        raise UsageError("; ".join(mistakes))
    return value


# -- values -----------------------------------------------------------------------------------------------------------


def _hints(kind: type[Any]) -> dict[str, Any]:
    """Name of a field -> its annotation."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}


def _record(kind: type[Any], values: object, path: str, mistakes: list[str]) -> Any:  # noqa: ANN401
    """A record of `kind`; None, and what is wrong in `mistakes`, where it cannot be made."""
    hints, before = _hints(kind), len(mistakes)
    if not isinstance(values, Mapping):
        mistakes.append(_is_not(path, values, f"some of the keys {', '.join(hints)}"))
        return None
    required = (one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING)
    mistakes += [_at(path, unknown_key(name, hints)) for name in values if name not in hints]
    mistakes += [
        _at(path, f"lacks {name!r}; expected {_named(hints[name])}") for name in required if name not in values
    ]
    made = {
        name: _value(hints[name], value, f"{path}.{name}" if path else name, mistakes)
        for name, value in values.items()
        if name in hints
    }
    if len(mistakes) == before:
        try:
            return kind(**made)
        except (UsageError, ValueError) as error:
            mistakes.append(_at(path, str(error)))
    return None


def _value(hint: Any, value: Any, path: str, mistakes: list[str]) -> Any:  # noqa: ANN401
    """A value as an annotation wants it; what is wrong goes into `mistakes`."""
    base, limits = _without_limits(hint)
    origin, arguments = get_origin(base), get_args(base)
    if origin in (Union, UnionType):
        return _one_of(hint, arguments, value, path, mistakes)
    if isinstance(base, type) and is_dataclass(base):
        return value if isinstance(value, base) else _record(base, value, path, mistakes)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        choices = get_args(arguments[0]) if get_origin(arguments[0]) is Literal else None
        if choices is not None:
            mistakes += [_at(path, unknown_key(key, choices)) for key in value if key not in choices]
        elif arguments[0] is str:
            mistakes += [_at(path, f"the key {key!r} is not a text") for key in value if not isinstance(key, str)]
        return {key: _value(arguments[1], one, f"{path}.{key}", mistakes) for key, one in value.items()}
    if _is_sequence(origin) and isinstance(value, list | tuple):
        items = [_value(arguments[0], one, f"{path}[{i}]", mistakes) for i, one in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if not _fits(base, value) or not all(value in limit for limit in limits):
        mistakes.append(_is_not(path, value, _named(hint)))
        return None
    return float(value) if base is float else Path(value) if base is Path else value


def _one_of(hint: Any, choices: Sequence[Any], value: Any, path: str, mistakes: list[str]) -> Any:  # noqa: ANN401
    """The value as the first of some annotations that it fits."""
    found: list[list[str]] = []
    for choice in choices:
        wrong: list[str] = []
        taken = _value(choice, value, path, wrong)
        if not wrong:
            return taken
        found.append(wrong)
    others = [wrong for choice, wrong in zip(choices, found, strict=True) if choice is not NoneType]
    is_inside = isinstance(value, dict | list) and len(others) == 1  # its own mistakes say more
    mistakes += others[0] if is_inside else [_is_not(path, value, _named(hint))]
    return None


def _fits(base: Any, value: Any) -> bool:  # noqa: ANN401
    """Whether a value that holds no others is of a type. A bool is never a number, and every number is finite."""
    if base is Any:
        return True
    if get_origin(base) is Literal:
        return any(type(choice) is type(value) and choice == value for choice in get_args(base))
    if base is bool or base is int:
        return type(value) is base
    if base is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    if base is Path:
        return isinstance(value, str | Path)
    kind = get_origin(base)
    if kind is None:
        return isinstance(value, base)
    return not issubclass(kind, Sequence | Mapping) and isinstance(value, kind)  # those were looked into before


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond every float
        return False


def _is_sequence(origin: Any) -> bool:  # noqa: ANN401
    return isinstance(origin, type) and issubclass(origin, Sequence) and origin not in (str, bytes)


def _without_limits(hint: Any) -> tuple[Any, list[NumberRange]]:  # noqa: ANN401
    if get_origin(hint) is not Annotated:
        return hint, []
    base, *notes = get_args(hint)
    return base, [note for note in notes if isinstance(note, NumberRange)]


def _untexted(hint: Any, text: str) -> Any:  # noqa: ANN401
    """The value that a text stands for; the text itself where it stands for none, so that it can be shown."""
    base, _ = _without_limits(hint)
    arguments = [one for one in get_args(base) if one is not NoneType]
    if get_origin(base) in (Union, UnionType):
        return _untexted(arguments[0], text)
    if _is_sequence(get_origin(base)):
        return [_untexted(arguments[0], word) for word in text.split(",") if word]
    if base is bool:
        return {"true": True, "false": False}.get(text, text)
    if base in (int, float) and text.isascii() and "_" not in text and text == text.strip():
        try:
            return base(text)
        except ValueError:
            return text
    return text


# -- sentences --------------------------------------------------------------------------------------------------------


def _at(path: str, sentence: str) -> str:
    return f"{path}: {sentence}" if path else sentence


def _is_not(path: str, value: object, expected: str) -> str:
    shown = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}…"
    return f"{path} is {shown}; expected {expected}" if path else f"expected {expected}, got {shown}"


def unknown_key(name: object, known: Sequence[str] | Mapping[str, Any], noun: str = "key") -> str:
    """The sentence for a key that nothing is known of.

    >>> unknown_key("colour", ["frames", "pool"], "option")
    "unknown option 'colour'; expected some of frames, pool"
    """
    near = get_close_matches(str(name), known, 1)
    if near:
        return f"unknown {noun} {name!r}; did you mean {near[0]!r}?"
    choices = f"some of {', '.join(known)}" if known else "none at all"
    return f"unknown {noun} {name!r}; expected {choices}"


_NAMES: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    Path: "a path",
    NoneType: "null",
}


def _named(hint: Any) -> str:  # noqa: ANN401
    """What an annotation takes, in words.

    >>> _named(Count | None), _named(tuple[Fraction, ...]), _named(Literal["a", "b"])
    ('a whole number, at least 1, or null', 'a list, each a finite number, from 0 to 1', 'one of a, b')
    """
    base, limits = _without_limits(hint)
    origin, arguments = get_origin(base), get_args(base)
    if origin in (Union, UnionType):
        return ", or ".join(_named(one) for one in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if _is_sequence(origin):
        return "a list" if arguments[0] is Any else f"a list, each {_named(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table" if arguments[1] is Any else f"a table, each value {_named(arguments[1])}"
    if isinstance(base, type) and is_dataclass(base):
        return f"some of the keys {', '.join(_hints(base))}"
    return ", ".join([_NAMES.get(base, getattr(base, "__name__", str(base))), *map(str, limits)])
