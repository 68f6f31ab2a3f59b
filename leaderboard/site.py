"""The site: static files that work from a folder or from any host."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from leaderboard.board import Board, BoardRow, ProductHits, load_boards
from leaderboard.charts import growth_chart, hit_rate_chart, map_chart
from leaderboard.checked_board import CheckedBoard
from leaderboard.downloads import as_csv, as_json, as_latex
from leaderboard.pages import ModelPage, compare_page, index_page, model_page, runs_page, text_page
from leaderboard.projection import MapPoint, project
from rope.bench.io.readers import read_embeddings
from rope.bench.report import write_json
from rope.bench.stats.query_ranks import QueryRanks, load_ranks
from rope.bench.stats.slices import slice_ranks
from rope.domain import DomainName, domains_of, pair_of
from rope.errors import UsageError
from rope.files import atomic_path

__all__ = ["build_site"]

_STATIC: Final = ("site.css", "site.js", "board.js", "compare.js")


def build_site(
    checked: CheckedBoard, out: Path, *, leave_out: bool = False, advance: Callable[[int], None] = lambda _: None
) -> list[Board]:
    """Write the site of the rows that passed.

    Pages: `index.html` (the first board), `board-<key>.html`, `compare-<key>.html`, `models/<key>/<id>.html`,
    `protocol.html`, `submit.html`. For programs: `leaderboard.json`, `leaderboard.csv`, `<key>.tex`. The same results
    give the same bytes.

    Args:
        checked: the rows; the pages of models whose datasets were given get slices.
        out: the folder of the site, made where it does not exist. Files of an earlier site are replaced; pages of rows
            that are gone are deleted.
        leave_out: leave out what was refused, rather than to refuse all.
        advance: called with two units for each row.

    Returns:
        The boards.

    Raises:
        UsageError: there is no result, or `out` holds files that are no site.
        RopeError: a row was refused, and is not to be left out.
    """
    if not leave_out:
        checked.require_sound()
    boards = load_boards(checked, advance)
    if not boards:
        raise UsageError(f"{checked.root}: holds no result; rope-bench submit makes one")
    directories = {row.dataset.key: row.dataset.directory for row in checked.rows}
    _clear(out)
    write_json(out / "leaderboard.json", as_json(boards))  # first, as it marks the folder as a site
    _copy_static(out)
    for board in boards:
        _write_board(out, board, boards)
        for row in board.rows:
            if row.runs:
                _write(out / "models" / board.key / f"{row.id}.html", runs_page(row, board))
        for row in board.single_rows:
            page = _model_page(row, directories[board.key])
            _write(out / "models" / board.key / f"{row.id}.html", model_page(row, board, page))
            advance(1)
    _write(out / "index.html", index_page(boards[0], boards))
    for name in ("protocol", "submit"):
        _write(out / f"{name}.html", text_page(name, boards[0]))
    _write(out / "leaderboard.csv", as_csv(boards))
    return boards


def _clear(out: Path) -> None:
    """Delete what depends on the rows of an earlier site; a folder that holds something else is left alone."""
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / "leaderboard.json").is_file():
        raise UsageError(f"{out}: holds files that are no site; give an empty folder, or that of an earlier site")
    for folder in ("models", "data"):
        shutil.rmtree(out / folder, ignore_errors=True)


def _copy_static(out: Path) -> None:
    for name in _STATIC:
        with as_file(files("leaderboard") / "static" / name) as source:
            _write(out / "static" / name, source.read_text("utf-8"))


def _write_board(out: Path, board: Board, boards: Sequence[Board]) -> None:
    _write(out / f"board-{board.key}.html", index_page(board, boards))
    _write(out / f"compare-{board.key}.html", compare_page(board))
    _write(out / f"{board.key}.tex", as_latex(board))
    counted = [(row.id, row.by_product) for row in board.single_rows if row.by_product is not None]
    for i, (model, hits) in enumerate(counted):
        if i == 0:
            shared = {"products": hits.product_ids, "queries": hits.n_queries}
            _write(out / "data" / board.key / "products.js", f"ropeProducts({_compact(shared)});\n")
        _write(out / "data" / board.key / f"model-{model}.js", f"ropeHits({_compact(_hits(model, hits))});\n")


def _hits(model: str, hits: ProductHits) -> dict[str, object]:
    return {"model": model, "hits": hits.hits}


def _compact(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _model_page(row: BoardRow, data: Path | None) -> ModelPage:
    entry = row.entry
    if entry.score is None:
        return ModelPage(hit_rates=hit_rate_chart(entry))
    ranks = load_ranks(entry.part("score"))
    names: list[str] = []
    points: list[MapPoint] = []
    if "embeddings" in entry.files:
        names, points = project(read_embeddings([entry.part("embeddings")], list(entry.samples)), _products_of(ranks))
    slices = slice_ranks(ranks, data) if data is not None else []
    return ModelPage(
        hit_rates=hit_rate_chart(entry),
        growth=growth_chart(ranks, {name: pair["n_gallery"] for name, pair in entry.score["pairs"].items()}),
        map=map_chart(points, entry.domains),
        map_products=tuple(names),
        slices=tuple(one for one in slices if one.pair == "mean"),
    )


def _products_of(ranks: QueryRanks) -> dict[DomainName, dict[str, str]]:
    """Domain -> sample -> product, of the samples that are queries of some cross-domain pair."""
    products: dict[DomainName, dict[str, str]] = {domain: {} for domain in domains_of(ranks.cross_pairs)}
    for name in ranks.cross_pairs:
        found = ranks.pairs[name]
        owners = (ranks.product_ids[i] for i in found.products)
        products[pair_of(name).query] |= dict(zip(found.query_ids, owners, strict=True))
    return products


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8")
