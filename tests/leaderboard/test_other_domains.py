"""Submissions on a dataset with a domain that ROPE does not have."""

import json

import pytest

from leaderboard.board import load_boards
from leaderboard.checked_board import check
from leaderboard.entry import entry_paths, read_entry
from leaderboard.identities import score_problems
from leaderboard.site import build_site
from leaderboard.submit import submit
from leaderboard.terminal import board_table
from rope.dataset.build import build_dataset
from rope.errors import RopeError, UsageError
from rope.synthetic.release import write_release
from tests.leaderboard.conftest import card, make_embeddings
from tests.sources.other_releases import WRITERS

DOMAINS = ("page", "video", "live", "review")
CROSS = ["P2V", "V2P", "P2L", "L2P", "V2L", "L2V"]
CROSS += [f"{a}2{b}" for one in "PVL" for a, b in ((one, "review"), ("review", one))]


def described(identity):
    return card(identity, modalities={domain: ["image"] for domain in DOMAINS})


@pytest.fixture(scope="module")
def submitted(four_domains, tmp_path_factory):
    """A folder of results with two models."""
    folder = tmp_path_factory.mktemp("submitted")
    for seed, (name, noise) in enumerate({"near": 0.5, "far": 2.0}.items()):
        file = make_embeddings(folder / f"{name}.parquet", four_domains, noise, seed)
        submit([file], described(name), four_domains, folder / "results")
    return folder / "results"


def test_rows_are_verified_and_stand_on_a_board_of_their_pairs(submitted, four_domains):
    assert [(one.is_rescored, one.problems) for one in check(submitted, [four_domains]).verdicts] == [(True, ())] * 2
    (board,) = load_boards(check(submitted, [four_domains]))
    assert board.columns == (*CROSS, "mean")
    assert [row.entry.card.id for row in board.rows] == ["near", "far"]
    assert board_table(board).columns[-3].heading == "mean"


def test_a_score_that_says_something_else_of_it_is_refused(submitted):
    score = json.loads(read_entry(entry_paths(submitted)[0]).part("score").read_text("utf-8"))
    assert score_problems(score) == []
    del score["pairs"]["review2L"]
    assert score_problems(score) == ["review2L is missing, and every pair is part of the protocol"]
    score["pairs"]["session2L"] = score["pairs"]["P2L"]
    assert score_problems(score) == ["session2L is not a pair of the domains page, video, live, review"]


def test_the_site_has_its_pairs_and_a_colour_for_it(submitted, four_domains, tmp_path):
    build_site(check(submitted, [four_domains]), tmp_path / "site")
    board = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "mean of twelve" in board
    assert "P→review" in board
    (page,) = (tmp_path / "site" / "models").glob("*/near.html")
    model = page.read_text("utf-8")
    assert ".of-review { --tone:" in model
    assert "mean R@1 of the twelve pairs" in model
    assert "十二个方向" in model
    numbers = json.loads((tmp_path / "site" / "leaderboard.json").read_text("utf-8"))["boards"][0]["rows"][0]["numbers"]
    assert list(numbers) == [*CROSS, "mean"]


def test_a_card_says_what_the_model_sees_in_every_domain(four_domains, tmp_path):
    file = make_embeddings(tmp_path / "e.parquet", four_domains, 1.0, 0)
    with pytest.raises(RopeError, match=r"modalities say nothing of review; .* so add e.g. 'review: \[image\]'"):
        submit([file], card("silent"), four_domains, tmp_path / "results")


def test_two_domains_have_a_board_and_one_has_none(tmp_path):
    for name, domains in (("two", ["page", "video"]), ("one", ["page"])):
        write_release(tmp_path / name, products=4, seed=2, domains=domains, mp4=False, workers=1, progress=False)
        build_dataset(tmp_path / name, tmp_path / f"{name}-data", progress=False)
        make_embeddings(tmp_path / f"{name}.parquet", tmp_path / f"{name}-data", 1.0, 0)
    submit([tmp_path / "two.parquet"], card("model"), tmp_path / "two-data", tmp_path / "results")
    (board,) = load_boards(check(tmp_path / "results", [tmp_path / "two-data"]))
    assert board.columns == ("P2V", "V2P", "mean")
    with pytest.raises(UsageError, match="has only page; the board covers the pairs of different domains"):
        submit([tmp_path / "one.parquet"], card("model"), tmp_path / "one-data", tmp_path / "none")


def test_a_dataset_with_galleries_has_no_board(tmp_path):
    build_dataset(WRITERS["lpr4m"](tmp_path / "release"), tmp_path / "data", progress=False)
    file = make_embeddings(tmp_path / "e.parquet", tmp_path / "data", 1.0, 0)
    with pytest.raises(UsageError, match="their own galleries; the board covers searches in whole domains"):
        submit([file], card("model"), tmp_path / "data", tmp_path / "results")
