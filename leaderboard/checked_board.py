"""The board as one checked object: whatever is shown, ranked or built comes from here.

Rows are checked one by one, then against each other: what is sound by itself can still take another row's name, address
or place in a comparison.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from leaderboard.entry import LeaderboardEntry, entry_paths
from leaderboard.known import KnownDataset, known_datasets
from leaderboard.release import changed_rows, kept_rows, stray_files
from leaderboard.schema import read_json
from leaderboard.text import skeleton
from leaderboard.verify import Verdict, verify_entry
from rope.bench.ranking.engine import ComputeSettings
from rope.errors import RopeError, UsageError

__all__ = ["CheckedBoard", "CheckedRow", "check"]

_FOLDER: Final = re.compile(r"[a-z0-9.-]{1,64}")
_SHOWN: Final = 10
_MADE_HERE: Final = object()


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row that passed all checks.

    Attributes:
        entry: the row.
        dataset: what it is of; its name and address are those of the board.
        is_ranked: whether it has vectors, from which its numbers follow; a claimed or reported row is only shown.
    """

    entry: LeaderboardEntry
    dataset: KnownDataset
    is_ranked: bool


@dataclass(frozen=True, slots=True)
class CheckedBoard:
    """All rows of a folder of results, checked one by one and against each other. Only `check` makes one.

    Attributes:
        root: the folder.
        rows: those that passed, by path.
        verdicts: on every row, stray file, and lost or changed row of the last release, by path.
    """

    root: Path
    rows: tuple[CheckedRow, ...]
    verdicts: tuple[Verdict, ...]
    made_by: object

    def __post_init__(self) -> None:
        if self.made_by is not _MADE_HERE:
            raise TypeError("a CheckedBoard comes from leaderboard.checked_board.check, which checks what is in it")

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """The verdicts with a problem."""
        return tuple(verdict for verdict in self.verdicts if verdict.problems)

    def require_sound(self) -> None:
        """Whether nothing was refused.

        Raises:
            RopeError: something was; begins with how many, and names the first ten.
        """
        problems = [text for verdict in self.refused for text in verdict.problems]
        if problems:
            more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
            listed = "".join(f"\n  {text}" for text in problems[:_SHOWN] + more)
            raise RopeError(
                f"{self.root}: {len(self.refused)} rows or files are refused; take them out, or build with "
                f"--leave-out, which leaves out only these:{listed}"
            )


def check(
    root: Path,
    datasets: Sequence[Path],
    *,
    base: Path | None = None,
    allow_changed: Collection[str] = (),
    allow_unscored: bool = False,
    compute: ComputeSettings | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> CheckedBoard:
    """Check every row in a folder of results, every file, and all rows together.

    Args:
        root: a folder of results, or the folder of one model.
        datasets: dataset directories to score vectors on, found by their fingerprints.
        base: the results of the last release; each of its rows must still be there, with the same bytes.
        allow_changed: ids of models whose rows in `base` may be changed or lost.
        allow_unscored: let rows of a dataset that is not given pass, as not scored; they are a problem otherwise.
        compute: how to spend the machine; it changes no number.
        advance: called after each row that is done.

    Raises:
        UsageError: the folder does not exist, two datasets would have one address, or `allow_changed` names no row.
        DatasetError: a directory is not a dataset.
    """
    known = known_datasets(datasets)
    strays = [Verdict(path, False, (f"{path}: {why}",), "names") for path, why in stray_files(root)]
    rows = []
    for path in _entries(root):
        rows.append(verify_entry(path, known, compute or ComputeSettings(), allow_unscored=allow_unscored))
        advance(1)
    kept: set[Path] = set()
    if base is not None:
        _check_allowed(allow_changed, base)
        changed = list(changed_rows(root, base))
        kept = kept_rows(root, base) - {path for _, path, _ in changed}
        rows = _with_changes(rows, [one for one in changed if one[0] not in allow_changed])
    rows = _together(rows, kept, allow_changed)
    verdicts = sorted([*strays, *rows], key=lambda verdict: (str(verdict.path), verdict.problems))
    passed = tuple(
        CheckedRow(row.entry, row.dataset, row.entry.status == "recomputed")
        for row in rows
        if row.entry is not None and row.dataset is not None and not row.problems
    )
    return CheckedBoard(root, passed, tuple(verdicts), _MADE_HERE)


def _entries(root: Path) -> list[Path]:
    """The entries that lie where a row can lie; `stray_files` names the others."""
    found = entry_paths(root)
    if all(path.parent == root for path in found):
        return found
    return [path for path in found if path.parent != root and _is_folder_of_model(path.parent)]


def _is_folder_of_model(folder: Path) -> bool:
    return _FOLDER.fullmatch(folder.name) is not None and not folder.is_symlink()


def _with_changes(rows: Sequence[Verdict], changed: Sequence[tuple[str, Path, str]]) -> list[Verdict]:
    """The verdicts with those on rows of the last release that are lost or changed."""
    found = {row.path: row for row in rows}
    for name, path, what in changed:
        row = found.get(path, Verdict(path, False, ()))
        text = f"{path}: a row of the last release {what}; if that is meant, --allow-changed {name}"
        found[path] = replace(row, is_rescored=False, problems=(*row.problems, text), stage="last release")
    return list(found.values())


def _check_allowed(allow_changed: Collection[str], base: Path) -> None:
    paths = entry_paths(base)
    known = {path.parent.name for path in paths}
    known |= {run["of"] for path in paths if (run := read_json(path)["card"].get("run")) is not None}
    if unknown := sorted(set(allow_changed) - known):
        raise UsageError(f"--allow-changed {unknown[0]}: the last release has no row of that id")


def _together(rows: Sequence[Verdict], kept: Collection[Path], allow_changed: Collection[str] = ()) -> list[Verdict]:
    """The verdicts after the checks of rows against each other.

    Where rows are at odds, those of the last release keep their place; where none is, nobody can tell which is right,
    and all are refused.
    """
    sound = [row for row in rows if row.entry is not None and row.dataset is not None and not row.problems]
    found: dict[Path, list[str]] = defaultdict(list)
    for group, text in _conflicts(sound):
        blamed = [row for row in group if row.path not in kept] or group
        for row in blamed:
            others = sorted({str(other.path) for other in group} - {str(row.path)})
            found[row.path].append(f"{row.path}: {text} {', '.join(others[:3])}")
    for path, text in _history_problems(rows, sound, kept, allow_changed):
        found[path].append(f"{path}: {text}")
    refused = {row.path for row in rows if row.problems} | set(found)
    for row, first in _second_stages(sound):
        if first in refused:
            found[row.path].append(f"{row.path}: its first stage, {first}, is refused")
    for row, of in _joining(sound, kept):
        if of not in allow_changed:
            found[row.path].append(
                f"{row.path}: joins the runs of {of} in the last release, whose row it changes; if that is meant, "
                f"--allow-changed {of}"
            )
    return [
        replace(row, stage="board", problems=tuple(found[row.path]), is_rescored=False) if row.path in found else row
        for row in rows
    ]


def _history_problems(
    rows: Sequence[Verdict], sound: Sequence[Verdict], kept: Collection[Path], allow_changed: Collection[str]
) -> Iterator[tuple[Path, str]]:
    """Rows that follow what is not there, or themselves in the end; or, unasked, a row of the last release.

    What follows a row is shown on its page: nobody becomes the next version of another's model by saying so.
    """
    cards = {row.path: row.entry.card for row in sound if row.entry is not None}
    ids = {row.path.parent.name for row in rows} | {card.row for card in cards.values()}
    row_of = {card.id: card.row for card in cards.values()} | {card.row: card.row for card in cards.values()}
    before = {card.row: row_of.get(card.follows, card.follows) for card in cards.values() if card.follows is not None}
    held = {card.row for path, card in cards.items() if path in kept}
    for path, card in cards.items():
        if card.follows is None:
            continue
        line, earlier = {card.row}, before[card.row]
        while earlier in before and earlier not in line:
            line.add(earlier)
            earlier = before[earlier]
        if earlier in line:
            yield path, f"follows {card.follows}, which follows it in turn; one of them is the first version"
        elif card.follows not in ids and len(ids) > 1:
            yield path, f"follows {card.follows}, and no row is called so; name the id of the version before it"
        elif path not in kept and row_of.get(card.follows) in held and card.follows not in allow_changed:
            yield (
                path,
                f"follows {card.follows} of the last release, whose page it changes; if that is meant, "
                f"--allow-changed {card.follows}",
            )


def _second_stages(rows: Sequence[Verdict]) -> Iterator[tuple[Verdict, Path]]:
    """Rows of two stages, and the entry of the row that each starts from."""
    for row in rows:
        if row.entry is not None and row.entry.first_stage is not None:
            yield row, row.path.parent.parent / row.entry.first_stage / row.path.name


def _joining(rows: Sequence[Verdict], kept: Collection[Path]) -> Iterator[tuple[Verdict, str]]:
    """New rows that are runs of a recipe of the last release, and its id."""
    runs = [
        (row, row.entry.card.run.of)
        for row in rows
        if row.entry is not None and row.entry.card.run is not None and row.entry.status == "recomputed"
    ]
    held = {(row.dataset.key, of) for row, of in runs if row.dataset is not None and row.path in kept}
    for row, of in runs:
        if row.dataset is not None and row.path not in kept and (row.dataset.key, of) in held:
            yield row, of


def _conflicts(rows: Sequence[Verdict]) -> Iterator[tuple[list[Verdict], str]]:
    """Groups of rows that cannot stand together, with what each has in common or at odds with the others."""
    names: dict[str, list[tuple[str, Verdict]]] = defaultdict(list)
    recipes: dict[str, list[Verdict]] = defaultdict(list)
    boards: dict[str, list[Verdict]] = defaultdict(list)
    pages: dict[str, list[Verdict]] = defaultdict(list)
    for row in rows:
        assert row.entry is not None
        assert row.dataset is not None
        for name in {skeleton(row.entry.card.name), skeleton(row.entry.card.id)}:
            names[name].append((row.entry.card.id, row))
        if row.entry.card.run is not None:
            of = row.entry.card.run.of
            names[skeleton(of)].append((f"the runs of {of}", row))
            recipes[f"{row.dataset.key}/{of}"].append(row)
        boards[row.dataset.key].append(row)
        pages[f"{row.dataset.key}/{row.entry.card.id}"].append(row)
    for found in names.values():
        if len({identity for identity, _ in found}) > 1:
            yield [row for _, row in found], "its name or id reads like that of"
    for group in recipes.values():
        yield from _run_conflicts(group)
    for group in pages.values():
        if len(group) > 1:
            yield group, "has the same page as"
    for group in boards.values():
        if len({tuple(row.dataset.samples.items()) for row in group if row.dataset is not None}) > 1:
            yield group, "has other samples of its dataset than"
        ranked = [row for row in group if row.entry is not None and row.entry.status == "recomputed"]
        if len({row.task for row in ranked}) > 1:
            yield ranked, "has other queries or products of its dataset than"


def _run_conflicts(rows: Sequence[Verdict]) -> Iterator[tuple[list[Verdict], str]]:
    """Runs of one recipe that do not sample its seeds: one counted twice, or a model of another card."""
    seeds: dict[int, list[Verdict]] = defaultdict(list)
    vectors: dict[str, list[Verdict]] = defaultdict(list)
    cards = set()
    for row in rows:
        assert row.entry is not None
        assert row.entry.card.run is not None
        seeds[row.entry.card.run.seed].append(row)
        notes = (row.entry.score or {}).get("embeddings", {})
        if notes:
            vectors[" ".join(notes[domain]["sha256"] for domain in sorted(notes))].append(row)
        card = replace(row.entry.card, id="", name="", weights=None, command=None, run=None)
        cards.add(repr(card))
    for group in seeds.values():
        if len(group) > 1:
            yield group, "is of the same training seed as"
    for group in vectors.values():
        if len(group) > 1:
            yield group, "is a training run with the same vectors as"
    if len(cards) > 1:
        yield list(rows), "is a run of one recipe, but its card differs in more than id, name, weights and command from"
