"""YAML that means what a reader sees: the part that model cards need, and nothing that surprises.

A value is a text, null, a list or a mapping. `no` is the text "no" and not false, `1.10` does not lose a digit,
a date is the text as written; whoever needs a number makes one of the text. What could mean something else than it
shows is refused: a key given twice, aliases, tags, a second document, and nesting beyond what a card has.
"""

from collections.abc import Iterator
from typing import Any, Final

from rope.errors import RopeError
from rope.extras import needed_by

__all__ = ["parse_yaml"]

_MAX_DEPTH: Final = 8
_NULLS: Final = ("null", "~", "")


def parse_yaml(text: str, where: str) -> Any:  # noqa: ANN401 (whatever the YAML holds; the schema tells)
    r"""The value of one document of YAML.

    >>> parse_yaml("licence: no\nversion: 1.10\npaper: null\ntags: [a, 'null']", "card.yaml")
    {'licence': 'no', 'version': '1.10', 'paper': None, 'tags': ['a', 'null']}
    >>> parse_yaml("id: a\nid: b", "card.yaml")
    Traceback (most recent call last):
    ...
    rope.errors.RopeError: card.yaml:2: the key 'id' is given twice

    Raises:
        RopeError: it is not YAML, or more than this part of it; begins with `where` and the line.
        UsageError: PyYAML is not installed.
    """
    with needed_by("a model card", "leaderboard"):
        import yaml
    try:
        events = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        kinds = (yaml.StreamStartEvent, yaml.DocumentStartEvent)
        first = next(event for event in events if not isinstance(event, kinds))
        if isinstance(first, yaml.StreamEndEvent):
            return None
        value = _value(first, events, where, 0)
        rest = [event for event in events if isinstance(event, yaml.DocumentStartEvent)]
    except yaml.YAMLError as error:
        raise RopeError(f"{where}: not YAML: {' '.join(str(error).split())}") from error
    if rest:
        raise RopeError(f"{where}: holds more than one document; expected one mapping")
    return value


def _value(event: Any, events: Iterator[Any], where: str, depth: int) -> Any:  # noqa: ANN401 (events of PyYAML)
    """The value that begins with an event; takes from `events` what belongs to it."""
    import yaml

    line = f"{where}:{event.start_mark.line + 1}"
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise RopeError(f"{line}: uses an alias (&name, *name); write the value out")
    if event.tag is not None:
        raise RopeError(f"{line}: uses the tag {event.tag[:60]!r}; a value is a text, null, a list or a mapping")
    if isinstance(event, yaml.ScalarEvent):
        return None if event.style is None and event.value in _NULLS else event.value
    if depth == _MAX_DEPTH:
        raise RopeError(f"{line}: lists or mappings nested more than {_MAX_DEPTH} deep")
    if isinstance(event, yaml.SequenceStartEvent):
        ended = yaml.SequenceEndEvent
        return [_value(one, events, where, depth + 1) for one in iter(lambda: _next(events, ended), None)]
    found: dict[str, Any] = {}
    for key in iter(lambda: _next(events, yaml.MappingEndEvent), None):
        place = f"{where}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarEvent):
            raise RopeError(f"{place}: a key is not a text; expected one such as id")
        if key.value in found:
            raise RopeError(f"{place}: the key {key.value[:60]!r} is given twice")
        found[key.value] = _value(next(events), events, where, depth + 1)
    return found


def _next(events: Iterator[Any], end: type) -> Any:  # noqa: ANN401 (an event, or None at the end)
    event = next(events)
    return None if isinstance(event, end) else event
