"""The boards as files for programs and papers: JSON, CSV and LaTeX, at addresses that stay."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from leaderboard.board import HEADLINE, METRICS, Board, BoardCell, BoardRow
from leaderboard.entry import REPORTED_CAVEAT, RERANKED_CAVEAT, LeaderboardEntry, Status

__all__ = ["as_atom", "as_csv", "as_json", "as_latex", "write_parquet"]

_JSON_VERSION: Final = 1
_EPOCH: Final = "1970-01-01T00:00:00Z"
_NOTES: Final[Mapping[Status, tuple[str, str]]] = {
    "recomputed": ("", ""),
    "claimed": (r"$^{\ast}$", "not recomputed from the vectors"),
    "reranked": (r"$^{\ddagger}$", RERANKED_CAVEAT),
    "reported": (r"$^{\dagger}$", f"as published; {REPORTED_CAVEAT}"),
}
"""The mark of a row in a table of a paper, and the note below the table."""

_SPECIAL: Final = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def as_json(boards: Sequence[Board]) -> dict[str, Any]:
    """Every number of every board, as fractions in full precision; null where it is not known."""
    return {
        "schema_version": _JSON_VERSION,
        "boards": [
            {
                "key": board.key,
                "dataset": board.dataset,
                "fingerprint": board.fingerprint,
                "by_chance": {
                    column: {metric: board.by_chance.get((metric, column)) for metric in METRICS}
                    for column in board.columns
                },
                "rows": [_row_json(row, board.columns) for row in board.rows],
            }
            for board in boards
        ],
    }


def as_csv(boards: Sequence[Board]) -> str:
    """One line a number: board, model, status, column, metric, value, low, high, rank, caveat, seeds.

    A name that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(
        ["board", "id", "model", "status", "column", "metric", "value", "low", "high", "rank", "caveat", "seeds"]
    )
    for board in boards:
        for row in board.rows:
            for (metric, column), cell in row.cells.items():
                numbers = ["" if number is None else number for number in (cell.low, cell.high, cell.rank)]
                about = [board.key, row.id, _no_formula(row.name), row.entry.status, column, metric]
                writer.writerow([*about, cell.value, *numbers, row.entry.caveat or "", row.n_seeds])
    return lines.getvalue()


def write_parquet(boards: Sequence[Board], path: Path) -> None:
    """The rows of the CSV with types; what is not known is null, and names are as they are."""
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("board", "id", "model", "status", "column", "metric")),
            *((name, pa.float64()) for name in ("value", "low", "high")),
            ("rank", pa.int64()),
            ("caveat", pa.string()),
            ("seeds", pa.int64()),
        ]
    )
    rows = [
        (board.key, row.id, row.name, row.entry.status, column, metric, *_numbers(cell), row.entry.caveat, row.n_seeds)
        for board in boards
        for row in board.rows
        for (metric, column), cell in row.cells.items()
    ]
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.table(arrays, schema), path, compression="zstd")


def _numbers(cell: BoardCell) -> tuple[float, float | None, float | None, int | None]:
    return cell.value, cell.low, cell.high, cell.rank


def as_atom(boards: Sequence[Board]) -> str:
    """A feed with an entry for each row, the newest first; its date is that of the row's file.

    Addresses are relative to the feed, as the site works from any host.
    """
    dated = sorted(
        ((_modified(row.entry.path), board, row) for board in boards for row in board.rows),
        key=lambda one: (one[0], one[1].key, one[2].id),
        reverse=True,
    )
    entries = [_atom_entry(time, board, row) for time, board, row in dated]
    newest = dated[0][0] if dated else _EPOCH
    return "\n".join(
        [
            '<?xml version="1.0" encoding="utf-8"?>',
            '<feed xmlns="http://www.w3.org/2005/Atom">',
            "<title>ROPE leaderboard</title>",
            "<id>urn:rope-bench:leaderboard</id>",
            '<link rel="self" href="feed.xml"/>',
            '<link rel="alternate" href="index.html"/>',
            f"<updated>{newest}</updated>",
            "<author><name>rope-bench</name></author>",
            *entries,
            "</feed>",
            "",
        ]
    )


def _atom_entry(time: str, board: Board, row: BoardRow) -> str:
    cell = row.cells.get(HEADLINE)
    value = "" if cell is None else f": mean {HEADLINE[0]} {100 * cell.value:.2f} %"
    follows = "" if row.follows is None else f", version {row.entry.card.version}, follows {row.follows}"
    told = escape(f"{row.name} on {board.dataset}{value}, {row.entry.status}{follows}")
    place = escape(f"models/{board.key}/{row.id}.html", quote=True)
    return (
        f"<entry><title>{told}</title><id>urn:rope-bench:{escape(board.key)}:{escape(row.id)}</id>"
        f'<link href="{place}"/><updated>{time}</updated><summary>{told}</summary></entry>'
    )


def _modified(path: Path) -> str:
    return datetime.fromtimestamp(int(path.stat().st_mtime), timezone.utc).isoformat().replace("+00:00", "Z")


def as_latex(board: Board, metric: str = HEADLINE[0]) -> str:
    """The pairs and their mean in percent, for a paper that loads booktabs; what is not recomputed has a note."""
    lines = [
        f"% {metric} in %, {board.dataset}" + (f" ({board.fingerprint[:12]})" if board.fingerprint else ""),
        r"\begin{tabular}{l" + "r" * len(board.columns) + "}",
        r"\toprule",
        " & ".join(["Model", *(column.replace("2", r"$\to$") for column in board.columns)]) + r" \\",
        r"\midrule",
    ]
    for row in board.rows:
        cells = [row.cells.get((metric, column)) for column in board.columns]
        values = ["--" if cell is None else f"{100 * cell.value:.2f}" for cell in cells]
        mark = _NOTES[row.entry.status][0]
        lines.append(" & ".join([_escape(_with_seeds(row)) + mark, *values]) + r" \\")
    chances = [board.by_chance.get((metric, column)) for column in board.columns]
    if chances[0] is not None:
        cells_of_chance = ["--" if value is None else f"{100 * value:.2f}" for value in chances]
        lines += [r"\midrule", " & ".join(["Random order", *cells_of_chance]) + r" \\"]
    notes = [_NOTES[status] for status in _NOTES if any(row.entry.status == status for row in board.rows)]
    width = len(board.columns) + 1
    told = [rf"\multicolumn{{{width}}}{{l}}{{\footnotesize {mark} {text}}} \\" for mark, text in notes if mark]
    lines += [r"\bottomrule", *told, r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _with_seeds(row: BoardRow) -> str:
    return f"{row.name} ({row.n_seeds} seeds)" if row.runs else row.name


def _row_json(row: BoardRow, columns: Sequence[str]) -> dict[str, Any]:
    entry = row.entry
    return {
        "id": row.id,
        "name": row.name,
        "version": entry.card.version,
        "follows": row.follows,
        "status": entry.status,
        "parameters": entry.card.parameters,
        "modalities": {domain: list(used) for domain, used in entry.card.modalities.items()},
        "vectors": None if row.runs else _vectors_json(entry),
        "caveat": entry.caveat,
        **({} if entry.first_stage is None else {"first_stage": entry.first_stage}),
        "source": None if entry.source is None else dict(entry.source),
        "files": {} if row.runs else dict(entry.files),
        "runs": [_run_json(run) for run in row.runs],
        "numbers": {
            column: {
                metric: None if (cell := row.cells.get((metric, column))) is None else _cell_json(cell)
                for metric in METRICS
            }
            for column in columns
        },
    }


def _vectors_json(entry: LeaderboardEntry) -> dict[str, Any] | None:
    """The dimensions that were scored, how they are stored, and out of how many they are the first."""
    if entry.score is None or entry.status == "reranked":
        return None
    note = entry.score["embeddings"][entry.domains[0]]
    return {"dim": note["dim"], "dtype": note["stored_dtype"], "cut_from": entry.cut_from}


def _run_json(run: BoardRow) -> dict[str, Any]:
    """One of the training runs that the numbers of a row are means over."""
    card, told = run.entry.card, run.entry.score or {}
    return {
        "id": card.id,
        "name": card.name,
        "seed": None if card.run is None else card.run.seed,
        "files": dict(run.entry.files),
        "vectors": {domain: note["sha256"] for domain, note in told.get("embeddings", {}).items()},
        HEADLINE[0]: {column: run.cells[HEADLINE[0], column].value for column in run.entry.columns},
    }


def _cell_json(cell: BoardCell) -> dict[str, Any]:
    ci95 = None if cell.low is None or cell.high is None else [cell.low, cell.high]
    spread = {} if cell.spread is None else {"spread": list(cell.spread)}
    return {"value": cell.value, "ci95": ci95, "rank": cell.rank, **spread}


def _no_formula(text: str) -> str:
    """Text that no spreadsheet computes.

    >>> _no_formula("=1+1"), _no_formula("CLIP")
    ("'=1+1", 'CLIP')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _escape(text: str) -> str:
    r"""Text as LaTeX prints it.

    >>> print(_escape("clip_b & 5%"))
    clip\_b \& 5\%
    """
    return "".join(_SPECIAL.get(character, character) for character in text)
