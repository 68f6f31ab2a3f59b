import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.pipeline.pool import open_pool
from rope.curation.pool_keys import KeyRule, count_kinds, draw_rows, key_rule
from rope.curation.sampling.stage import SampleRows
from tests.curation.pools import write_rows

N_ROWS = 4000
LEAST = 500


@pytest.fixture
def pool(tmp_path):
    write_rows(tmp_path / "pool.parquet", [f"r{i:05d}" for i in range(N_ROWS)])
    return open_pool(tmp_path / "pool.parquet", {}, tmp_path / "cache")


def drawn(pool, share):
    return draw_rows(pool, share, KeyRule(), LEAST)


def test_a_larger_share_contains_a_smaller_one_and_order_does_not_matter(pool, tmp_path):
    few, many = (drawn(pool, share)["id"].to_pylist() for share in (0.2, 0.4))
    assert set(few) < set(many)
    assert len(few) == pytest.approx(0.2 * N_ROWS, rel=0.15)
    table = pq.read_table(tmp_path / "pool.parquet")
    turned = tmp_path / "turned.parquet"
    pq.write_table(table.take(pa.array(range(N_ROWS - 1, -1, -1))), turned)
    assert drawn(open_pool(turned, {}, tmp_path / "cache2"), 0.2)["id"].to_pylist() == few[::-1]


def test_a_small_share_draws_the_least_number_of_rows_with_absolute_paths(pool, tmp_path):
    rows = drawn(pool, 1e-6).to_pylist()
    assert len(rows) == pytest.approx(LEAST, rel=0.15)
    assert rows[0]["frames"] == [str(tmp_path / f"{rows[0]['id']}.jpg")]


def hinted(folder):
    """Products of three rows, one of each domain, whose hint has spaces, and a row without."""
    rows = [
        {
            "id": f"{i}",
            "domain": ("page", "video", "live")[i % 3],
            "frames": "a.jpg",
            "product_hint": f" p{i // 3} ",
            "category": ("a", "b")[i // 3 % 2],
        }
        for i in range(600)
    ]
    rows.append({"id": "alone", "domain": "nowhere", "frames": "a.jpg", "product_hint": None, "category": None})
    pq.write_table(pa.Table.from_pylist(rows), folder / "pool.parquet")
    return open_pool(folder / "pool.parquet", {}, folder / "cache")


def test_the_rows_of_a_key_are_drawn_together(tmp_path):
    pool = hinted(tmp_path)
    rows = draw_rows(pool, 0.3, key_rule(pool, SampleRows(0, rate=0.1)), 1)
    hints = [hint for hint in rows["product_hint"].to_pylist() if hint]
    assert 90 < len(hints) < 270
    assert all(hints.count(hint) == 3 for hint in hints)


def test_keys_are_counted_by_stratum_domains_and_rows(tmp_path):
    pool = hinted(tmp_path)
    kinds, words = count_kinds(pool, key_rule(pool, SampleRows(0, rate=0.1)))
    names = {place: word for word, place in words.items()}
    columns = zip(*(one.tolist() for one in (kinds.word, kinds.domains, kinds.rows, kinds.count)), strict=True)
    found = {(names[word], domains, rows): count for word, domains, rows, count in columns}
    assert found == {("a", 7, 3): 100, ("b", 7, 3): 100, ("", 1, 1): 1}  # an unknown domain counts as page
    assert kinds.n_rows == 601


@pytest.mark.parametrize(
    ("sample", "rule"),
    [
        (None, KeyRule()),
        (SampleRows(0, rate=0.1), KeyRule("id", ("category",))),
        (SampleRows(0, rate=0.1, key="category", strata=[]), KeyRule("category", ())),
    ],
)
def test_a_key_is_what_the_first_sample_draws(sample, rule, pool):
    assert key_rule(pool, sample) == rule


def test_a_key_or_a_stratum_that_stages_make_is_told(pool):
    assert "its keys, script, are made by a stage" in (
        key_rule(pool, SampleRows(0, rate=0.1, key="script")).unknown or ""
    )
    made = key_rule(pool, SampleRows(0, rate=0.1, strata=["category", "script"]))
    assert "its strata, category, script, are made by a stage" in (made.unknown or "")
