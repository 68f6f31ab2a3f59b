"""Rows of two stages: a kind of their own, which everybody can compute again."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboard.board import load_boards
from leaderboard.charts import cost_charts
from leaderboard.checked_board import check
from leaderboard.entry import read_entry
from leaderboard.second_stage import submit_candidates
from leaderboard.site import build_site
from leaderboard.terminal import board_table
from rope.bench.rerank.run import rerank_result
from rope.errors import RopeError
from rope.files import sha256_of
from tests.leaderboard.conftest import card
from tests.leaderboard.test_verify import edit, entry_of, part, problems


class ById:
    name, fingerprint = "by-id", "1"

    def score(self, queries, candidates):
        pairs = zip(queries, candidates, strict=True)
        return np.array([-abs(int(a.sample_id) - int(b.sample_id)) for a, b in pairs], float)


@pytest.fixture(scope="module")
def submitted(results, data, tmp_path_factory):
    """The folder of results with a row of two stages beside its first; read-only."""
    root = shutil.copytree(results, tmp_path_factory.mktemp("second") / "results")
    alpha = root / "alpha"
    first, vectors = part(alpha, ".score.json"), part(alpha, ".embeddings.parquet")
    out = root.parent / "candidates.parquet"
    rerank_result(first, [vectors], ById(), data, out=out, depth=3)
    submit_candidates(out, card("alpha-by-id"), data, root)
    return root


@pytest.fixture
def root(submitted, tmp_path):
    return shutil.copytree(submitted, tmp_path / "results")


def forge(folder):
    """Write the hashes of the files as they are now wherever they are told."""
    candidates, ranks = part(folder, ".candidates.parquet"), part(folder, ".score.ranks.parquet")

    def rehash_score(raw):
        raw["ranks"]["sha256"] = sha256_of(ranks)
        raw["rerank"]["candidates"]["sha256"] = sha256_of(candidates)

    edit(part(folder, ".score.json"), rehash_score)

    def rehash(raw):
        for name in ("score", "ranks", "candidates"):
            raw[name]["sha256"] = sha256_of(folder / raw[name]["file"])

    edit(entry_of(folder), rehash)


def rewrite(path, change):
    table = pq.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    change(columns)
    pq.write_table(pa.table(columns, schema=table.schema), path)


def test_a_row_of_two_stages_is_computed_again(submitted, data):
    verdicts = {verdict.path.parent.name: verdict for verdict in check(submitted, [data]).verdicts}
    assert verdicts["alpha-by-id"].problems == ()
    assert verdicts["alpha-by-id"].is_rescored
    entry = read_entry(entry_of(submitted / "alpha-by-id"))
    assert (entry.status, entry.first_stage) == ("reranked", "alpha")
    assert json.loads(part(submitted / "alpha-by-id", ".score.json").read_text())["rerank"]["depth"] == 3


def test_it_is_shown_as_its_own_kind_and_has_no_rank(submitted, data, tmp_path):
    checked = check(submitted, [data])
    (board,) = load_boards(checked)
    row = next(row for row in board.rows if row.id == "alpha-by-id")
    assert all(cell.rank is None for cell in row.cells.values())
    assert row.by_product is None
    (others,) = load_boards(check(submitted / "alpha", [data]))
    ranks = {one.id: one.cells["R@1", "mean"].rank for one in board.rows}
    assert ranks["alpha"] == others.rows[0].cells["R@1", "mean"].rank == 1
    assert "reranked" in [cells[-1] for cells in board_table(board).plain_rows()]
    assert all("alpha-by-id" not in chart for chart in cost_charts(board).values())
    build_site(checked, tmp_path / "site")
    page = next((tmp_path / "site" / "models").rglob("alpha-by-id.html")).read_text("utf-8")
    assert "re-ranks alpha at k=3" in page
    assert "as the gallery grows" not in page
    (told,) = json.loads((tmp_path / "site" / "leaderboard.json").read_text())["boards"]
    assert next(one for one in told["rows"] if one["id"] == "alpha-by-id")["first_stage"] == "alpha"


def no_score(columns):
    columns["score"] = [None] * len(columns["score"])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (no_score, "but its candidates give"),
        (lambda columns: columns["place"].reverse(), "not its first 3 candidates"),
        (lambda columns: columns["query_id"].__setitem__(0, "x" * 600), "more than 512 bytes"),
    ],
)
def test_candidates_that_were_altered_are_refused(root, data, change, match):
    folder = root / "alpha-by-id"
    rewrite(part(folder, ".candidates.parquet"), change)
    assert any("not the file that" in text or "more than 512" in text for text in problems(folder, data))
    forge(folder)
    assert any(match in text for text in problems(folder, data))


def test_candidates_of_another_first_stage_are_refused(root, data):
    folder = root / "alpha-by-id"
    edit(entry_of(folder), lambda raw: raw.update(first_stage="beta"))
    assert any("vectors are not those of the row beta" in text for text in problems(folder, data))
    shutil.rmtree(root / "alpha")
    edit(entry_of(folder), lambda raw: raw.update(first_stage="alpha"))
    found = problems(folder, data)
    assert any("its first stage" in text and "is missing" in text for text in found), found


def test_a_row_falls_with_its_first_stage(root, data):
    edit(part(root / "alpha", ".score.json"), lambda raw: raw["pairs"]["P2V"].update({"R@1": 0.99}))
    found = {verdict.path.parent.name: verdict.problems for verdict in check(root, [data]).verdicts}
    assert any("not the score that" in text for text in found["alpha"])
    assert found["alpha-by-id"] != ()
    assert found["beta"] == ()


def test_a_row_of_two_stages_cannot_pass_for_one(root, data):
    folder = root / "alpha-by-id"

    def claimed(raw):
        raw.update(status="claimed")
        del raw["candidates"], raw["first_stage"]

    edit(entry_of(folder), claimed)
    assert any("its score is of two stages" in text for text in problems(folder, data))


def test_candidates_without_a_row_of_the_first_stage_are_refused(submitted, data, tmp_path):
    with pytest.raises(RopeError, match="no row has the vectors of the first stage; submit that first"):
        submit_candidates(part(submitted / "alpha-by-id", ".candidates.parquet"), card("x"), data, tmp_path)
