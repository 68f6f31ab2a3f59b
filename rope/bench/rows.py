"""Rows of a table for CSV and data frames: each names what it belongs to, and holds no nested value."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

__all__ = ["ScoredOn", "flat", "named", "number_rows", "provenance_json"]


class ScoredOn(Protocol):
    """What says which model was scored on what, such as `Provenance` and `RanksProvenance`."""

    @property
    def model(self) -> str:
        """Name of the model."""
        ...

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of the dataset."""
        ...

    @property
    def split(self) -> str:
        """That was scored."""
        ...


def named(of: ScoredOn) -> dict[str, Any]:
    """The first columns of a row."""
    return {"model": of.model, "dataset": of.dataset, "fingerprint": of.fingerprint, "split": of.split}


def provenance_json(of: ScoredOn) -> dict[str, Any]:
    """The same as results in JSON have it."""
    dataset = {"name": of.dataset, "fingerprint": of.fingerprint, "split": of.split}
    return {"model": of.model, "dataset": dataset}


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of a JSON as a row: ends of intervals and what is nested get columns of their own, lists are left out.

    >>> flat({"R@1": 0.5, "ci95": {"R@1": [0.4, 0.6], "MRR": None}, "by_chance": {"R@1": 0.1}, "draws": [1, 2]})
    {'R@1': 0.5, 'R@1_low': 0.4, 'R@1_high': 0.6, 'MRR_low': None, 'MRR_high': None, 'by_chance_R@1': 0.1}
    """
    row: dict[str, Any] = {}
    for key, value in record.items():
        if key == "ci95":
            ends = value if isinstance(value, Mapping) else {"": value}
            for metric, both in ends.items():
                low, high = both or (None, None)
                prefix = f"{metric}_" if metric else ""
                row |= {f"{prefix}low": low, f"{prefix}high": high}
        elif isinstance(value, Mapping):
            row |= {f"{key}_{inner}": one for inner, one in flat(value).items()}
        elif not isinstance(value, list | tuple):
            row[key] = value
    return row


def number_rows(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every number in a nested JSON by its place: the part, what of it, and the rest of the way.

    >>> list(number_rows({"gaps": {"P-V": {"distance": 0.5}}, "version": 1}))
    [{'part': 'gaps', 'of': 'P-V', 'number': 'distance', 'value': 0.5}]
    """
    for part, inside in value.items():
        for (of, *rest), number in ((way, number) for way, number in _numbers(inside, ()) if way):
            where = {"of": of, "number": ".".join(rest)} if rest else {"of": "", "number": of}
            yield {"part": part, **where, "value": number}


def _numbers(value: Any, way: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401  a JSON value
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _numbers(one, (*way, str(key)))
    elif isinstance(value, list | tuple):
        for i, one in enumerate(value):
            yield from _numbers(one, (*way, str(i)))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield tuple(way), value
