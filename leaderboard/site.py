"""The site: static files that work from a folder or from any host."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from itertools import permutations
from pathlib import Path
from typing import Any, Final

from leaderboard.board import HEADLINE, METRICS, Board, BoardRow, load_boards, product_sums
from leaderboard.charts import cost_charts, growth_chart, hit_rate_chart, map_chart
from leaderboard.checked_board import CheckedBoard
from leaderboard.downloads import as_atom, as_csv, as_json, as_latex, write_parquet
from leaderboard.known import SPLIT, KnownDataset
from leaderboard.pages import ModelPage, compare_page, index_page, model_page, runs_page, text_page
from leaderboard.projection import MapPoint, project
from rope.bench.failures.find import FailureOptions, Failures, find_failures
from rope.bench.io.provenance import Provenance
from rope.bench.io.readers import read_embeddings
from rope.bench.report import write_json
from rope.bench.stats.query_ranks import QueryRanks, load_ranks
from rope.bench.stats.slices import slice_ranks
from rope.dataset.directory import read_products
from rope.domain import DomainName, domains_of, pair_of
from rope.errors import UsageError
from rope.files import atomic_path

__all__ = ["build_site"]

_PICTURED: Final = 5
"""Rows, the best first, of which every two have a page of what one finds and the other doesn't."""

_STATIC: Final = ("site.css", "site.js", "board.js", "compare.js")


def build_site(
    checked: CheckedBoard,
    out: Path,
    *,
    leave_out: bool = False,
    project: str | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Board]:
    """Write the site of the rows that passed.

    Pages: `index.html` (the first board), `board-<key>.html`, `compare-<key>.html`, `models/<key>/<id>.html`,
    `protocol.html`, `submit.html`; where pictures may be shown, `models/<key>/<id>-failures.html` and
    `lost/<key>/<id>--<id>.html`. For programs: `leaderboard.json`, `leaderboard.csv`, `leaderboard.parquet`,
    `<key>.tex`, and `feed.xml`, whose dates are those of the files of the rows. The same results give the same bytes.

    Args:
        checked: the rows; the pages of models whose datasets were given get slices.
        out: the folder of the site, made where it does not exist. Files of an earlier site are replaced; pages of rows
            that are gone are deleted.
        leave_out: leave out what was refused, rather than to refuse all.
        project: address of the repository, which the pages link to; None for no link.
        advance: called with two units for each row.

    Returns:
        The boards.

    Raises:
        UsageError: there are no results, or `out` holds files that are not of a site.
        RopeError: a row was refused, and is not to be left out.
    """
    if not leave_out:
        checked.require_sound()
    boards = load_boards(checked, advance)
    if not boards:
        raise UsageError(f"{checked.root}: holds no result; rope-bench submit makes one")
    datasets = {row.dataset.key: row.dataset for row in checked.rows}
    _clear(out)
    write_json(out / "leaderboard.json", as_json(boards))  # first, as it marks the folder as a site
    _copy_static(out)
    for board in boards:
        _write_board(out, board, boards, datasets[board.key], project)
        for row in board.rows:
            if row.runs:
                _write(out / "models" / board.key / f"{row.id}.html", runs_page(row, board, project))
        for row in board.single_rows:
            _write_model(out, row, board, datasets[board.key], project)
            advance(1)
    _write(out / "index.html", index_page(boards[0], boards, cost_charts(boards[0]), project))
    for name in ("protocol", "submit"):
        _write(out / f"{name}.html", text_page(name, boards[0], project))
    _write(out / "leaderboard.csv", as_csv(boards))
    with atomic_path(out / "leaderboard.parquet") as temporary:
        write_parquet(boards, temporary)
    _write(out / "feed.xml", as_atom(boards))
    return boards


def _clear(out: Path) -> None:
    """Delete what depends on the rows of an earlier site; a folder that holds something else is left alone."""
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / "leaderboard.json").is_file():
        raise UsageError(f"{out}: holds files that are not of a site; give an empty folder, or that of an earlier site")
    for folder in ("models", "data", "lost"):
        shutil.rmtree(out / folder, ignore_errors=True)


def _copy_static(out: Path) -> None:
    for name in _STATIC:
        with as_file(files("leaderboard") / "static" / name) as source:
            _write(out / "static" / name, source.read_text("utf-8"))


def _write_board(out: Path, board: Board, boards: Sequence[Board], dataset: KnownDataset, project: str | None) -> None:
    _write(out / f"board-{board.key}.html", index_page(board, boards, cost_charts(board), project))
    pictured = _write_lost(out, board, dataset)
    _write(out / f"compare-{board.key}.html", compare_page(board, project, pictured))
    _write(out / f"{board.key}.tex", as_latex(board))
    counted = next((row.by_product for row in board.single_rows if row.by_product is not None), None)
    if counted is not None:
        of = {} if dataset.directory is None else read_products(dataset.directory, SPLIT)
        categories = [of.get(product) for product in counted.product_ids] if of else None
        shared = {"products": counted.product_ids, "queries": counted.n_queries, "categories": categories}
        _write(out / "data" / board.key / "products.js", f"ropeProducts({_compact(shared)});\n")


def _write_model(out: Path, row: BoardRow, board: Board, dataset: KnownDataset, project: str | None) -> None:
    ranks = None if row.entry.score is None else load_ranks(row.entry.part("score"))
    folder = out / "models" / board.key
    failures = _failures(row, ranks, dataset, FailureOptions(n=3))
    if failures is not None:
        failures.save_page(folder / f"{row.id}-failures.html")
    page = _model_page(row, ranks, dataset.directory, has_failures=failures is not None)
    _write(folder / f"{row.id}.html", model_page(row, board, page, project))
    if ranks is None or row.by_product is None:
        return
    data = out / "data" / board.key
    first = {"model": row.id, "sums": {HEADLINE[0]: row.by_product.hits}}
    others = {metric: product_sums(ranks, metric) for metric in METRICS if metric != HEADLINE[0]}
    _write(data / f"model-{row.id}.js", f"ropeSums({_compact(first)});\n")
    _write(data / f"model-{row.id}.more.js", f"ropeSums({_compact({'model': row.id, 'sums': others})});\n")


def _write_lost(out: Path, board: Board, dataset: KnownDataset) -> list[str]:
    """A page for each two of the best rows: what the first misses and the second finds first. Returns their names."""
    compared = [row for row in board.single_rows if row.by_product is not None][:_PICTURED]
    ranks = {row.id: load_ranks(row.entry.part("score")) for row in compared} if dataset.may_show_pictures else {}
    written = []
    for loser, finder in permutations(compared if ranks else [], 2):
        options = FailureOptions("lost", n=2)
        failures = _failures(loser, ranks[loser.id], dataset, options, against=ranks[finder.id])
        if failures is not None and failures.value:
            written.append(f"{loser.id}--{finder.id}")
            failures.save_page(out / "lost" / board.key / f"{written[-1]}.html")
    return written


def _failures(
    row: BoardRow,
    ranks: QueryRanks | None,
    dataset: KnownDataset,
    options: FailureOptions,
    *,
    against: QueryRanks | None = None,
) -> Failures | None:
    """Queries with pictures, where anyone may see the pictures and the vectors are there."""
    if not dataset.may_show_pictures or dataset.directory is None or ranks is None:
        return None
    if "embeddings" not in row.entry.files:
        return None
    origin = ranks.origin
    provenance = Provenance(row.entry.card.name, dataset.name, origin.fingerprint, origin.split, {})
    given = [row.entry.part("embeddings")]
    return find_failures(ranks, provenance, given, dataset.directory, options, against=against)


def _compact(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _model_page(row: BoardRow, ranks: QueryRanks | None, data: Path | None, *, has_failures: bool) -> ModelPage:
    entry = row.entry
    if entry.score is None or ranks is None:
        return ModelPage(hit_rates=hit_rate_chart(entry))
    names: list[str] = []
    points: list[MapPoint] = []
    if "embeddings" in entry.files:
        names, points = project(read_embeddings([entry.part("embeddings")], list(entry.samples)), _products_of(ranks))
    slices = slice_ranks(ranks, data) if data is not None else []
    return ModelPage(
        hit_rates=hit_rate_chart(entry),
        growth=None if entry.status == "reranked" else growth_chart(ranks, _sizes(entry.score)),
        map=map_chart(points, entry.domains),
        map_products=tuple(names),
        slices=tuple(one for one in slices if one.pair == "mean"),
        has_failures=has_failures,
    )


def _sizes(score: Mapping[str, Any]) -> dict[str, int]:
    return {name: pair["n_gallery"] for name, pair in score["pairs"].items()}


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
