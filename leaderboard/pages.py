"""The pages of the site. The templates see records and numbers; every text of a submission is escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from leaderboard.board import HEADLINE, METRICS, Board, BoardRow
from leaderboard.history import history_of
from rope.bench.doctor.charts import in_words, pair_style, tones_of
from rope.bench.doctor.markers import shapes_of
from rope.bench.inline import inline_json
from rope.bench.metrics import KS, mean
from rope.bench.score import PROTOCOL_VERSION
from rope.bench.stats.slices import QuerySlice
from rope.domain import Pair

__all__ = ["ModelPage", "board_data", "compare_page", "index_page", "model_page", "runs_page", "text_page"]


@dataclass(frozen=True, slots=True)
class ModelPage:
    """What a model's page shows beside its row; None or empty where it is not known.

    Attributes:
        hit_rates: R@k of the cross-domain pairs.
        growth: R@1 as the gallery grows.
        map: principal components.
        map_products: the products on the map.
        slices: R@k of parts of the queries, in the mean of these pairs.
        has_failures: whether a page of failures with pictures stands beside it.
    """

    hit_rates: Markup | None = None
    growth: Markup | None = None
    map: Markup | None = None
    map_products: tuple[str, ...] = ()
    slices: tuple[QuerySlice, ...] = ()
    has_failures: bool = False


def index_page(board: Board, boards: Sequence[Board], costs: Mapping[str, Markup], project: str | None) -> str:
    """The board of one dataset, with links to the others."""
    return _render("board", "", board, project, boards=boards, costs=costs, data=board_data(board), ids=_ids(board))


def model_page(row: BoardRow, board: Board, page: ModelPage, project: str | None) -> str:
    """One model on one dataset."""
    one_shot = (row.entry.score or {}).get("one_shot", {})
    expected = [of_pair["expected"] for of_pair in one_shot.values()]
    if None in expected:  # several shots: there is no closed form
        one_shot, expected = {}, []
    one_shot_mean = mean(expected) if expected else None
    history = () if row.is_run_of else history_of(row, board.rows)
    shown = {"row": row, "page": page, "one_shot": one_shot, "one_shot_mean": one_shot_mean, "history": history}
    return _render("model", "../../", board, project, **shown)


def compare_page(board: Board, project: str | None, pictured: Sequence[str] = ()) -> str:
    """Two models, or two runs, side by side, computed in the browser from the hits by product.

    Args:
        board: with the rows.
        project: address of the repository.
        pictured: `<id>--<id>` of rows of which the first misses queries that the second finds, on a page with pictures.
    """
    compared = [row for row in board.single_rows if row.by_product is not None]
    return _render("compare", "", board, project, compared=compared, pictured=list(pictured), chance=_chances(board))


def _chances(board: Board) -> dict[str, dict[str, float]]:
    """Metric -> column -> what a random order comes to."""
    found: dict[str, dict[str, float]] = {}
    for (metric, column), value in board.by_chance.items():
        found.setdefault(metric, {})[column] = value
    return found


def runs_page(row: BoardRow, board: Board, project: str | None) -> str:
    """A model of several training runs on one dataset."""
    return _render("runs", "../../", board, project, row=row, history=history_of(row, board.rows))


def text_page(name: str, board: Board, project: str | None) -> str:
    """`protocol` or `submit`."""
    return _render(name, "", board, project)


def _ids(board: Board) -> set[str]:
    """Ids of rows, and of their runs."""
    return {row.id for row in (*board.rows, *board.single_rows)}


def board_data(board: Board) -> dict[str, Any]:
    """What the board's script needs: for each row and view, value, low, high in hundredths of a percent, and rank.

    The mean over several training runs is followed by the lowest and the highest of them.
    """
    return {
        "metrics": METRICS,
        "columns": board.columns,
        "rows": {
            row.id: [
                None
                if (cell := row.cells.get((metric, column))) is None
                else [
                    *map(_hundredths, (cell.value, cell.low, cell.high)),
                    cell.rank,
                    *map(_hundredths, cell.spread or ()),
                ]
                for metric in METRICS
                for column in board.columns
            ]
            for row in board.rows
        },
        "chance": [
            _hundredths(board.by_chance.get((metric, column))) for metric in METRICS for column in board.columns
        ],
    }


def _hundredths(fraction: float | None) -> int | None:
    return None if fraction is None else round(10_000 * fraction)


def _render(name: str, root: str, board: Board, project: str | None, **values: object) -> str:
    template = _environment().get_template(f"{name}.html.j2")
    return template.render(
        name=name,
        root=root,
        board=board,
        headline=HEADLINE,
        metrics=METRICS,
        columns=board.columns,
        ks=KS,
        pairs=list(board.pairs),
        domains=board.domains,
        tones=tones_of(board.domains),
        shapes=shapes_of(board.domains),
        pair=Pair,
        protocol_version=PROTOCOL_VERSION,
        project=None if project is None else project.rstrip("/"),
        **values,
    )


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "arrow": _arrow,
        "size": _size,
        "pair_style": pair_style,
        "in_words": in_words,
        "in_chinese": _in_chinese,
        "inline": inline_json,
    }
    environment.globals["t"] = _both
    return environment


def _percent(fraction: float | None, digits: int = 2) -> str:
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


def _arrow(column: str) -> str:
    """A pair as it is read.

    >>> _arrow("P2V"), _arrow("mean")
    ('P→V', 'mean')
    """
    return column.replace("2", "→")


def _size(number: int | None) -> str:
    """A number of parameters in few characters.

    >>> _size(151_277_313), _size(0), _size(None)
    ('151M', '0', '–')
    """
    if number is None:
        return "–"
    for unit, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return str(number)


def _in_chinese(number: int) -> str:
    """A small number of domains or pairs as a Chinese word, a larger one in digits.

    >>> _in_chinese(6), _in_chinese(30)
    ('六', '30')
    """
    return {2: "两", 3: "三", 4: "四", 5: "五", 6: "六", 12: "十二", 20: "二十"}.get(number, str(number))


def _both(english: str, chinese: str) -> Markup:
    """A text in both languages; the style sheet shows one."""
    return Markup('<span class="t" lang="en">{}</span><span class="t" lang="zh">{}</span>').format(
        Markup(english),  # noqa: S704 (texts of the templates)
        Markup(chinese),  # noqa: S704
    )
