"""The history of a row: the versions of a model on one board, and what changed from each to the next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leaderboard.board import HEADLINE, BoardRow

__all__ = ["Change", "HistoryStep", "history_of"]

_FIELDS: Final = ("version", "parameters", "training_data", "licence", "paper", "code", "weights", "command")


@dataclass(frozen=True, slots=True)
class Change:
    """A field in which a version differs from the one before it; a dash where it is unknown."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One version of a model.

    Attributes:
        row: of the board.
        changes: against the version that it follows; none of the first.
        gains: column -> R@1 less that of the version that it follows, where both are known.
        follows: id of that version; None of the first.
    """

    row: BoardRow
    changes: tuple[Change, ...]
    gains: Mapping[str, float]
    follows: str | None


def history_of(row: BoardRow, rows: Sequence[BoardRow]) -> tuple[HistoryStep, ...]:
    """All versions that lead to a row or come from it, the earliest first; none where it stands alone.

    Args:
        row: of the board, or one of several runs.
        rows: of the board.
    """
    by_id = {one.id: one for one in rows} | {run.id: one for one in rows for run in one.runs}
    own = by_id[row.id]
    line, seen = [own], {own.id}
    while (earlier := by_id.get(line[0].follows or "")) is not None and earlier.id not in seen:
        line.insert(0, earlier)
        seen.add(earlier.id)
    for one in line[line.index(own) :]:
        line += _later(one, rows, by_id, seen)
    if len(line) == 1:
        return ()
    return tuple(_step(one, by_id.get(one.follows or "")) for one in line)


def _later(
    row: BoardRow, rows: Sequence[BoardRow], by_id: Mapping[str, BoardRow], seen: set[str]
) -> Iterator[BoardRow]:
    for one in sorted(rows, key=lambda one: one.id):
        if one.id not in seen and one.follows is not None and by_id.get(one.follows) is row:
            seen.add(one.id)
            yield one
            yield from _later(one, rows, by_id, seen)


def _step(row: BoardRow, before: BoardRow | None) -> HistoryStep:
    if before is None:
        return HistoryStep(row, (), {}, None)
    old, new = _told(before), _told(row)
    changes = tuple(Change(what, old[what], new[what]) for what in new if old[what] != new[what])
    views = [(HEADLINE[0], column) for column in row.entry.columns]
    gains = {
        view[1]: row.cells[view].value - before.cells[view].value
        for view in views
        if view in row.cells and view in before.cells
    }
    return HistoryStep(row, changes, gains, before.id)


def _told(row: BoardRow) -> dict[str, str]:
    """The fields of a version, as texts."""
    card, told = row.entry.card, dict[str, str]()
    for name in _FIELDS:
        value = getattr(card, name)
        told[name] = "–" if value in (None, ()) else "; ".join(value) if isinstance(value, tuple) else str(value)
    for domain in row.entry.domains:
        told[f"sees of a {domain}"] = ", ".join(card.modalities[domain])
    notes = (row.entry.score or {}).get("embeddings", {}).get(row.entry.domains[0], {})
    told["dimensions"], told["stored as"] = str(notes.get("dim", "–")), str(notes.get("stored_dtype", "–"))
    told["seeds"], told["status"] = str(row.n_seeds), row.entry.status
    return told
