import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from leaderboard.board import HEADLINE, METRICS, load_boards
from leaderboard.checked_board import check
from leaderboard.entry import REPORTED_CAVEAT, entry_paths, read_entry
from leaderboard.significance import n_rejected
from leaderboard.site import build_site
from leaderboard.terminal import board_table
from rope.bench.stats.compare import compare, holm
from rope.bench.stats.query_ranks import load_ranks
from rope.errors import UsageError
from rope.files import sha256_of
from tests.stored import GOLDEN

PUBLISHED = Path(__file__).parents[2] / "leaderboard" / "results"


@pytest.mark.parametrize("metric", ["R@1", "R@10", "MRR", "mAP"])
def test_values_intervals_and_ranks_are_those_of_rope_bench_compare(checked, metric):
    (board,) = load_boards(checked)
    found = compare([load_ranks(row.entry.part("score")) for row in board.rows], metric)
    for standing in found.standings:
        row = next(row for row in board.rows if row.entry.card.name == standing.model)
        cell = row.cells[metric, "mean"]
        assert cell.rank == standing.rank
        interval = standing.intervals["mean"]
        assert (cell.value, cell.low, cell.high) == pytest.approx((interval.value, interval.low, interval.high))


def test_models_that_are_alike_share_a_rank_and_a_bad_one_does_not(checked):
    (board,) = load_boards(checked)
    assert [row.cells[HEADLINE].rank for row in board.rows] == [1, 1, 3]
    assert board.rows[-1].entry.card.id == "gamma"


def test_wherever_a_reported_row_is_shown_it_is_said_beside_it_that_it_may_not_be_comparable(results, data, tmp_path):
    both = shutil.copytree(results, tmp_path / "results")
    raw = json.loads((PUBLISHED / "cope" / "reported.json").read_text("utf-8"))
    same = read_entry(entry_paths(results)[0])
    raw["dataset"] |= {"name": same.dataset, "samples": dict(same.samples)}
    (both / "cope").mkdir()
    (both / "cope" / "reported.json").write_text(json.dumps(raw), "utf-8")
    (board,) = build_site(check(both, [data]), tmp_path / "site")
    site, key = tmp_path / "site", board.key
    said = "may not be comparable"
    assert said in REPORTED_CAVEAT
    for row in (site / "index.html").read_text("utf-8").split("<tr data-id=")[1:]:
        assert (said in row.partition("</tr>")[0]) == row.startswith('"cope"')
    pages = {path.stem: path.read_text("utf-8") for path in (site / "models" / key).glob("*.html")}
    assert {name: said in text for name, text in pages.items()} == {name: name == "cope" for name in pages}
    (found,) = json.loads((site / "leaderboard.json").read_text("utf-8"))["boards"]
    wanted = {name: REPORTED_CAVEAT if name == "cope" else None for name in pages}
    assert {row["id"]: row["caveat"] for row in found["rows"]} == wanted
    with (site / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        assert {line["id"]: line["caveat"] or None for line in csv.DictReader(file)} == wanted
    table = (site / f"{key}.tex").read_text("utf-8")
    assert r"COPE$^{\dagger}$ &" in table
    assert rf"\multicolumn{{8}}{{l}}{{\footnotesize $^{{\dagger}}$ as published; {REPORTED_CAVEAT}}} \\" in table
    assert REPORTED_CAVEAT in (site / "static" / "board.js").read_text("utf-8")
    with (console := Console(width=150)).capture() as shown:
        console.print(board_table(board))
    lines = shown.get().splitlines()
    assert all(
        ("reported, may not" in line) == ("COPE" in line) for line in lines if "│" in line and "rank" not in line
    )
    assert f"reported: {REPORTED_CAVEAT}" in shown.get()


@pytest.mark.parametrize("seed", range(8))
def test_holms_method_rejects_what_corrected_p_values_do(seed):
    p_values = np.sort(np.random.default_rng(seed).uniform(size=40) ** 4)
    assert n_rejected(p_values) == sum(p < 0.05 for p in holm(p_values.tolist()))


def test_published_figures_stand_on_a_board_of_their_own_without_rank_or_interval():
    (board,) = load_boards(check(PUBLISHED, []))
    assert (board.key, [row.entry.card.id for row in board.rows]) == ("rope", ["cope", "cope-without-contrastive"])
    cell = board.rows[0].cells["R@1", "P2V"]
    assert (cell.value, cell.low, cell.rank) == (0.8258, None, None)
    assert board.rows[0].cells[HEADLINE].value == pytest.approx(0.564)
    assert ("MRR", "P2V") not in board.rows[0].cells


def test_published_figures_are_those_of_the_table():
    names = {"cope": "cope", "without_cross_domain_loss": "cope-without-contrastive"}
    names["classification_loss_only"] = "cope-without-contrastive"
    heading, *lines = (GOLDEN / "cope" / "supplement.csv").read_text("utf-8").splitlines()
    for line in lines:
        _, pair, setting, *values = line.split(",")
        stated = read_entry(PUBLISHED / names[setting] / "reported.json").reported[pair]
        assert [f"{100 * stated[metric]:.2f}" for metric in heading.split(",")[3:]] == values


def test_reported_rows_join_only_a_dataset_of_their_name_and_size(results, data, tmp_path):
    both = shutil.copytree(results, tmp_path / "results")
    raw = json.loads((PUBLISHED / "cope" / "reported.json").read_text("utf-8"))
    same = read_entry(entry_paths(results)[0])
    for name, size in (("joins", dict(same.samples)), ("alone", raw["dataset"]["samples"])):
        raw["card"] |= {"id": name, "name": name}
        raw["dataset"] |= {"name": "rope" if name == "alone" else same.dataset, "samples": size}
        (both / name).mkdir()
        (both / name / "reported.json").write_text(json.dumps(raw), "utf-8")
    found = load_boards(check(both, [data]))
    boards = {board.fingerprint: [row.entry.card.id for row in board.rows] for board in found}
    assert (boards[None], sorted(boards[same.fingerprint])) == (["alone"], ["alpha", "beta", "gamma", "joins"])


def test_every_view_of_a_scored_row_is_there(checked):
    (board,) = load_boards(checked)
    views = {(metric, column) for metric in METRICS for column in board.columns}
    assert all(set(row.cells) == views for row in board.rows)


def test_a_row_takes_four_kilobytes_of_the_page_that_lists_all(results, tmp_path):
    """So that a board of five hundred opens at once; copies of three submissions under other names."""
    sizes = []
    for n_rows in (8, 20):
        for n in range(n_rows):
            folder = tmp_path / f"{n_rows} results" / f"model-{n}"
            rename(shutil.copytree(results / ("alpha", "beta", "gamma")[n % 3], folder), f"model-{n}")
        site = tmp_path / f"{n_rows} pages"
        build_site(check(folder.parent, [], allow_unscored=True), site)
        assert len(list((site / "models").rglob("*.html"))) == n_rows
        sizes.append((site / "index.html").stat().st_size)
    assert sizes[1] - sizes[0] < 12 * 4096


def rename(folder, name):
    entry = entry_paths(folder)[0]
    raw = json.loads(entry.read_text("utf-8"))
    raw["card"] |= {"id": name, "name": name}
    score = folder / raw["score"]["file"]
    told = json.loads(score.read_text("utf-8")) | {"model": name}
    score.write_text(json.dumps(told), "utf-8")
    raw["score"]["sha256"] = sha256_of(score)
    entry.write_text(json.dumps(raw), "utf-8")


def test_a_folder_that_holds_something_else_is_left_alone(checked, tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(UsageError, match="holds files that are not of a site"):
        build_site(checked, tmp_path)
    assert (tmp_path / "models").is_dir()


def test_a_folder_without_results_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="holds no result"):
        build_site(check(tmp_path, []), tmp_path / "site")
