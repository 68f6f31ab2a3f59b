"""Several training runs of one recipe stand on the board as one row."""

import io
import json
import re
import shutil

import pytest
from rich.console import Console

from leaderboard.board import HEADLINE, METRICS, load_boards
from leaderboard.card import TrainingRun, card_of, read_card
from leaderboard.checked_board import check
from leaderboard.entry import read_entry
from leaderboard.site import build_site
from leaderboard.submit import submit
from leaderboard.terminal import board_table
from rope.bench.stats.compare import compare
from rope.bench.stats.query_ranks import load_ranks
from rope.bench.stats.seed_groups import Group, SeedRun
from rope.errors import RopeError
from tests.leaderboard.conftest import card, make_embeddings

RUNS = {"tiny": (0.9, 1.4, 1.1), "large": (0.85, 1.2)}
"""Recipe -> how noisy the vectors of each seed are."""


def run_card(of: str, seed: int, **changes):
    return card(f"{of}-{seed}", name=f"Model {of} seed {seed}", run={"of": of, "seed": seed}, **changes)


@pytest.fixture(scope="module")
def folder(data, models, tmp_path_factory):
    """Three runs of tiny, two of large, and a model that stands alone."""
    out = tmp_path_factory.mktemp("runs")
    for of, noises in RUNS.items():
        for seed, noise in enumerate(noises):
            file = make_embeddings(out.parent / f"{of}-{seed}.parquet", data, noise, 10 * len(of) + seed)
            submit([file], run_card(of, seed), data, out)
    submit([models["gamma"]], card("gamma"), data, out)
    return out


@pytest.fixture(scope="module")
def checked(folder, data):
    found = check(folder, [data])
    found.require_sound()
    return found


@pytest.fixture(scope="module")
def board(checked):
    (found,) = load_boards(checked)
    return found


@pytest.mark.parametrize("metric", ["R@1", "mAP"])
def test_numbers_and_ranks_are_those_of_a_comparison_with_groups(board, metric):
    rows = {row.id: row for row in board.rows}
    assert set(rows) == {"tiny", "large", "gamma"}
    groups = [
        Group(row.id, tuple(SeedRun(load_ranks(one.entry.part("score"))) for one in row.runs or (row,)))
        for row in rows.values()
    ]
    found = compare(groups, metric)
    for standing in found.standings:
        cell = rows[standing.model].cells[metric, "mean"]
        interval = standing.intervals["mean"]
        assert (cell.value, cell.low, cell.high) == pytest.approx((interval.value, interval.low, interval.high))
        assert cell.rank == standing.rank
        assert cell.spread == (standing.spread("mean") if rows[standing.model].runs else None)


def test_a_run_in_a_group_has_its_own_numbers_and_no_rank(board):
    tiny = next(row for row in board.rows if row.id == "tiny")
    assert [run.entry.card.run.seed for run in tiny.runs] == [0, 1, 2]
    assert {run.cells[HEADLINE].rank for run in tiny.runs} == {None}
    assert {run.is_run_of for run in tiny.runs} == {"tiny"}
    assert set(tiny.cells) == {(metric, column) for metric in METRICS for column in board.columns}


def test_site_and_terminal_say_how_many_seeds_and_how_far_apart(checked, board, tmp_path):
    (built,) = build_site(checked, tmp_path / "site")
    low, high = (f"{100 * value:.2f}" for value in next(r for r in built.rows if r.id == "tiny").cells[HEADLINE].spread)
    index = (tmp_path / "site" / "index.html").read_text("utf-8")
    (row,) = [text for text in index.split("<tr data-id=")[1:] if text.startswith('"tiny"')]
    told = re.sub(r"<[^>]+>", "", row.partition("</tr>")[0])
    assert "3 seeds" in told
    assert f"{low}–{high}" in told
    assert index.count("<tr data-id=") == 3
    assert "interval over products alone" in index
    pages = {path.stem for path in (tmp_path / "site" / "models" / board.key).glob("*.html")}
    assert pages == {"tiny", "tiny-0", "tiny-1", "tiny-2", "large", "large-0", "large-1", "gamma"}
    page = (tmp_path / "site" / "models" / board.key / "tiny-1.html").read_text("utf-8")
    assert 'href="tiny.html"' in page
    (raw,) = json.loads((tmp_path / "site" / "leaderboard.json").read_text("utf-8"))["boards"]
    tiny = next(one for one in raw["rows"] if one["id"] == "tiny")
    assert [(run["id"], run["seed"]) for run in tiny["runs"]] == [("tiny-0", 0), ("tiny-1", 1), ("tiny-2", 2)]
    console = Console(record=True, width=250, file=io.StringIO())
    console.print(board_table(board))
    text = console.export_text()
    assert f"3 seeds, {low} - {high}" in text
    assert "one seed" in text


def test_a_run_alone_stands_as_itself(data, folder, tmp_path):
    file = make_embeddings(tmp_path / "e.parquet", data, 1.0, 99)
    entry = submit([file], run_card("other", 4), data, tmp_path / "results")
    assert load_ranks(read_entry(entry).part("score")).origin.training_seed == 4
    (board,) = load_boards(check(tmp_path / "results", [data]))
    assert [(row.id, row.runs) for row in board.rows] == [("other-4", ())]


@pytest.mark.parametrize(
    ("changes", "seed", "message"),
    [
        ({"run": {"of": "tiny", "seed": 1}}, 50, "is of the same training seed as"),
        ({"licence": "GPL", "run": {"of": "tiny", "seed": 7}}, 50, "its card differs in more than"),
        ({"run": {"of": "tiny", "seed": 7}}, 40, "with the same vectors as"),
        ({"run": {"of": "gamma", "seed": 7}}, 50, "its name or id reads like that of"),
        ({"run": {"of": "model-gamma", "seed": 7}}, 50, "its name or id reads like that of"),
    ],
)
def test_rows_that_would_spoil_a_group_or_take_a_name_are_refused(folder, data, tmp_path, changes, seed, message):
    both = shutil.copytree(folder, tmp_path / "results")
    file = make_embeddings(tmp_path / "e.parquet", data, 0.9, seed)
    submit([file], card("intruder", name="Intruder") | changes, data, both)
    found = check(both, [data], base=folder)
    texts = [text for verdict in found.refused for text in verdict.problems]
    assert any(message in text for text in texts)
    assert {verdict.path.parent.name for verdict in found.refused} == {"intruder"}


def test_a_card_of_yaml_says_which_run_it_is(card_file):
    raw = read_card(card_file("tiny-0", run={"of": "tiny", "seed": 12}))
    assert card_of(raw, "card.yaml").run == TrainingRun("tiny", 12)
    assert card_of(read_card(card_file("alone")), "card.yaml").run is None


def test_a_run_joins_a_row_of_the_last_release_only_where_that_is_allowed(folder, data, tmp_path):
    both = shutil.copytree(folder, tmp_path / "results")
    file = make_embeddings(tmp_path / "e.parquet", data, 0.9, 50)
    submit([file], run_card("tiny", 3), data, both)
    (refused,) = check(both, [data], base=folder).refused
    assert "joins the runs of tiny in the last release" in refused.problems[0]
    found = check(both, [data], base=folder, allow_changed=["tiny"])
    found.require_sound()
    (board,) = load_boards(found)
    assert [row.n_seeds for row in board.rows if row.id == "tiny"] == [4]


def test_a_card_names_runs_with_an_id_of_their_own_and_a_seed_that_its_score_has(folder, data, tmp_path):
    with pytest.raises(RopeError, match=r"run.of is 'tiny-0', the card's own id"):
        card_of(card("tiny-0", run={"of": "tiny-0", "seed": 0}), "card.yaml")
    with pytest.raises(RopeError, match=r"\$\.run"):
        card_of(card("tiny-0", run={"of": "tiny", "seed": -1}), "card.yaml")
    (path,) = [one for one in (folder / "tiny-0").glob("*.json") if "score" not in one.name]
    raw = json.loads(path.read_text("utf-8"))
    raw["card"]["run"]["seed"] = 5
    (tmp_path / "tiny-0").mkdir()
    for file in path.parent.iterdir():
        (tmp_path / "tiny-0" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tiny-0" / path.name).write_text(json.dumps(raw), "utf-8")
    with pytest.raises(RopeError, match="training_seed is 0, expected 5 as the card's run says"):
        read_entry(tmp_path / "tiny-0" / path.name)
