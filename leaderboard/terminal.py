"""The board and the verdicts as text for a terminal."""

import re
from collections.abc import Sequence
from typing import Final

from leaderboard.board import HEADLINE, METRICS, Board, BoardCell, BoardRow
from leaderboard.checked_board import CheckedBoard
from leaderboard.verify import Verdict
from rope.bench.stats.compare import MEAN
from rope.errors import UsageError
from rope.table import Table

__all__ = ["board_table", "build_lines", "public_lines", "verdict_lines"]

_OUTCOMES: Final = {(True, False): "rescored", (False, False): "checked ", (False, True): "unscored"}
"""By whether a row was rescored, and whether it should have been."""

_ID: Final = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")


def board_table(board: Board, metric: str = HEADLINE[0]) -> Table:
    """The rows of a board, best first in the mean of the pairs, in percent.

    Raises:
        UsageError: the board has no such metric.
    """
    if metric not in METRICS:
        raise UsageError(f"--metric {metric!r}: expected one of {', '.join(METRICS)}")
    fingerprint = f" ({board.fingerprint[:12]})" if board.fingerprint else ""
    table = Table(f"{metric} in %, {board.dataset}{fingerprint}", n_keys=2)
    seeds = ["seeds"] if board.has_groups else []
    for heading in ("rank", "model", *board.columns, "95 % interval of the mean", *seeds, "status"):
        table.add_column(heading, justify="left" if heading in ("model", "status") else "right")
    rows = sorted(board.rows, key=lambda row: -_value(row, metric))
    for row in rows:
        cells = [row.cells.get((metric, column)) for column in board.columns]
        mean = row.cells.get((metric, MEAN))
        table.add_row(
            "-" if mean is None or mean.rank is None else str(mean.rank),
            row.name,
            *("-" if cell is None else f"{100 * cell.value:.2f}" for cell in cells),
            "-"
            if mean is None or mean.low is None or mean.high is None
            else f"{100 * mean.low:.2f} - {100 * mean.high:.2f}",
            *([_seeds(row, mean)] if board.has_groups else []),
            "reported, may not be comparable" if row.entry.status == "reported" else row.entry.status,
        )
    chances = [board.by_chance.get((metric, column)) for column in board.columns]
    if chances[0] is not None:
        table.add_section()
        values = ["-" if value is None else f"{100 * value:.2f}" for value in chances]
        table.add_row("-", "random order", *values, "-", *(["-"] if board.has_groups else []), "")
    caveats = sorted({f"{row.entry.status}: {row.entry.caveat}" for row in rows if row.entry.caveat is not None})
    if board.has_groups:
        caveats.append(
            "one seed: the interval is over products alone; several: over products and seeds, lowest - highest"
        )
    table.caption = "\n".join(caveats)
    return table


def _seeds(row: BoardRow, mean: BoardCell | None) -> str:
    if mean is None or mean.spread is None:
        return "one seed" if row.entry.score is not None else "-"
    return f"{row.n_seeds} seeds, {100 * mean.spread[0]:.2f} - {100 * mean.spread[1]:.2f}"


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for each row that is sound, a line for each problem of the others, and one that counts."""
    lines = []
    for verdict in verdicts:
        if verdict.problems:
            lines += [f"refused   {problem}" for problem in verdict.problems]
        else:
            lines.append(f"{_OUTCOMES[verdict.is_rescored, verdict.is_unscored]}  {verdict.path}")
    return [*lines, _count_line(verdicts)]


def build_lines(checked: CheckedBoard, *, leave_out: bool) -> list[str]:
    """Notes on how a board was made: rows left out, and rows not scored again."""
    lines = [f"left out  {problem}" for verdict in checked.refused for problem in verdict.problems if leave_out]
    if waiting := sum(verdict.is_unscored for verdict in checked.verdicts):
        lines.append(
            f"rows not scored again: {waiting}, as their datasets were not given with --data; they are ranked by the "
            "numbers that leaderboard verify has to have passed"
        )
    return lines


def public_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """The same without the sentences, for a log that anyone may read.

    They can hold ids of samples, and texts that whoever submitted a file chose. Here a row is named by the id of its
    model if that is what its folder is called, and a problem by the check that found it.
    """
    lines = []
    for verdict in verdicts:
        name = verdict.path.parent.name
        shown = name if _ID.fullmatch(name) else "a folder of another name"
        if verdict.problems:
            noun = "problem" if len(verdict.problems) == 1 else "problems"
            lines.append(f"refused   {shown}: {len(verdict.problems)} {noun}, found in: {verdict.stage}")
        else:
            lines.append(f"{_OUTCOMES[verdict.is_rescored, verdict.is_unscored]}  {shown}")
    return [*lines, _count_line(verdicts)]


def _count_line(verdicts: Sequence[Verdict]) -> str:
    refused = sum(bool(verdict.problems) for verdict in verdicts)
    rescored = sum(verdict.is_rescored for verdict in verdicts)
    unscored = sum(verdict.is_unscored for verdict in verdicts)
    sound = len(verdicts) - refused - unscored
    waiting = f"; {unscored} not scored, as their datasets were not given" if unscored else ""
    return f"{sound} sound, {rescored} of them scored again; {refused} refused{waiting}"


def _value(row: BoardRow, metric: str) -> float:
    cell = row.cells.get((metric, MEAN))
    return -1.0 if cell is None else cell.value
