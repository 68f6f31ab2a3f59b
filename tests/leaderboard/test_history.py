"""Versions of a model on the board: what follows what, what changed, and who may say so."""

import json
import shutil

import pytest

from leaderboard.board import load_boards
from leaderboard.card import card_of
from leaderboard.checked_board import check
from leaderboard.history import history_of
from leaderboard.site import build_site
from leaderboard.submit import submit
from rope.errors import RopeError
from tests.leaderboard.conftest import card, make_embeddings


@pytest.fixture(scope="module")
def folder(results, data, tmp_path_factory):
    """alpha, then alpha-2, then alpha-3 with other numbers of parameters; beta and gamma stand alone."""
    out = shutil.copytree(results, tmp_path_factory.mktemp("history") / "results")
    for i, (of, noise) in enumerate((("alpha", 0.8), ("alpha-2", 0.7)), 2):
        file = make_embeddings(out.parent / f"alpha-{i}.parquet", data, noise, 30 + i)
        submit([file], card(f"alpha-{i}", version=f"{i}.0", follows=of, parameters=i * 10**8), data, out)
    return out


@pytest.fixture(scope="module")
def board(folder, data):
    found = check(folder, [data])
    found.require_sound()
    return load_boards(found)[0]


def test_a_history_has_all_versions_and_what_changed(board):
    rows = {row.id: row for row in board.rows}
    for own in ("alpha", "alpha-2", "alpha-3"):
        steps = history_of(rows[own], board.rows)
        assert [step.row.id for step in steps] == ["alpha", "alpha-2", "alpha-3"]
    assert [(change.what, change.before, change.after) for change in steps[2].changes] == [
        ("version", "2.0", "3.0"),
        ("parameters", "200000000", "300000000"),
    ]
    view = ("R@1", "P2V")
    assert steps[1].gains["P2V"] == rows["alpha-2"].cells[view].value - rows["alpha"].cells[view].value
    assert (steps[0].changes, steps[0].gains, steps[0].follows) == ((), {}, None)
    assert history_of(rows["beta"], board.rows) == ()


def test_pages_show_the_history_of_a_model_and_downloads_name_it(folder, data, tmp_path, board):
    build_site(check(folder, [data]), tmp_path / "site")
    page = (tmp_path / "site" / "models" / board.key / "alpha-2.html").read_text("utf-8")
    assert "History: versions of this model" in page
    assert 'href="alpha.html"' in page
    assert 'href="alpha-3.html"' in page
    assert f"compare-{board.key}.html#first=alpha-2&amp;second=alpha" in page
    assert "History" not in (tmp_path / "site" / "models" / board.key / "beta.html").read_text("utf-8")
    told = json.loads((tmp_path / "site" / "leaderboard.json").read_text("utf-8"))["boards"][0]["rows"]
    assert {row["id"]: row["follows"] for row in told}["alpha-3"] == "alpha-2"
    assert "version 3.0, follows alpha-2" in (tmp_path / "site" / "feed.xml").read_text("utf-8")
    assert "version 3.0, follows alpha-2" in (tmp_path / "site" / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("follows", "message"),
    [
        ("alpha", "follows alpha of the last release, whose page it changes"),
        ("alfa", "follows alfa, and no row is called so"),
    ],
)
def test_nobody_becomes_the_next_version_by_saying_so(results, data, tmp_path, follows, message):
    both = shutil.copytree(results, tmp_path / "results")
    file = make_embeddings(tmp_path / "e.parquet", data, 0.9, 77)
    submit([file], card("intruder", follows=follows), data, both)
    found = check(both, [data], base=results)
    (refused,) = found.refused
    assert refused.path.parent.name == "intruder"
    assert message in refused.problems[0]
    if follows == "alpha":
        check(both, [data], base=results, allow_changed=["alpha"]).require_sound()


def test_a_line_of_versions_has_a_beginning(results, data, tmp_path):
    both = shutil.copytree(results, tmp_path / "results")
    for seed, (own, of) in enumerate((("one", "two"), ("two", "one"))):
        submit([make_embeddings(tmp_path / f"{own}.parquet", data, 0.9, 80 + seed)], card(own, follows=of), data, both)
    refused = check(both, [data], base=results).refused
    assert [verdict.path.parent.name for verdict in refused] == ["one", "two"]
    assert "one of them is the first version" in refused[0].problems[0]
    with pytest.raises(RopeError, match="follows is 'one', the card's own row"):
        card_of(card("one", follows="one"), "card.yaml")


def test_a_row_alone_in_its_folder_may_follow_one_elsewhere(folder, data):
    check(folder / "alpha-2", [data]).require_sound()
