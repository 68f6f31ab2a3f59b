import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.pipeline.runner import run_recipe
from rope.curation.sampling.stage import SampleRows, sample_rows
from rope.errors import UsageError
from tests.curation.pools import column, local, recipe_of

DOMAINS = ("page", "video", "live")


def write_shards(folder, n_shards, *, order=1):
    """300 rows of 100 products, each seen in all domains, and 30 rows without a product."""
    hints = [str(i % 100) for i in range(300)] + [None] * 30
    rows = [
        {"id": str(i), "domain": DOMAINS[i // 100 % 3], "category": f"c{int(hint or 0) % 3}", "product_hint": hint}
        for i, hint in enumerate(hints)
    ][::order]
    paths = [folder / f"{order}-{n_shards}-{i}.parquet" for i in range(n_shards)]
    for i, path in enumerate(paths):
        pq.write_table(pa.Table.from_pylist(rows[i::n_shards]), path)
    return paths


def outcomes(paths, **options):
    """Kept rows (id, product, weight), and ids that were not sampled."""
    found = list(sample_rows(paths, SampleRows(seed=0, **options)))
    kept = [row for outcome in found for row in outcome.kept.to_pylist()]
    return sorted((row["id"], row["product_hint"], row["weight"]) for row in kept), sorted(
        row["id"] for outcome in found for row in outcome.rejects.to_pylist()
    )


def test_rows_of_a_product_stay_together_and_every_row_is_accounted_for(tmp_path):
    kept, others = outcomes(write_shards(tmp_path, 4), rate=0.1)
    assert sorted([row[0] for row in kept] + others) == sorted(str(i) for i in range(330))
    rows_of = [product for _, product, _ in kept if product is not None]
    assert {rows_of.count(product) for product in rows_of} == {3}
    assert len(set(rows_of)) == 3 + 3 + 3
    assert sum(weight for _, product, weight in kept if product is not None) == pytest.approx(300)


def test_a_row_without_a_product_is_a_key_of_its_own(tmp_path):
    kept, _ = outcomes(write_shards(tmp_path, 2), count=30)
    own = [row for row in kept if row[1] is None]
    assert 2 <= len(own) < 30
    assert sum(weight for *_, weight in own) == pytest.approx(30)


def test_the_files_and_the_order_of_rows_change_nothing(tmp_path):
    assert outcomes(write_shards(tmp_path, 1), count=20) == outcomes(write_shards(tmp_path, 5, order=-1), count=20)


def test_what_cannot_be_meant_is_refused(tmp_path):
    with pytest.raises(UsageError, match="expected one of them"):
        SampleRows(seed=0)
    with pytest.raises(UsageError, match="seed is -1; expected a whole number, at least 0"):
        SampleRows(seed=-1, rate=0.5)
    with pytest.raises(UsageError, match="no column 'content'; the rows have id, domain, category, product_hint"):
        list(sample_rows(write_shards(tmp_path, 1), SampleRows(seed=0, rate=0.5, key="content")))


def test_a_recipe_samples_and_every_row_is_accounted_for(tmp_path):
    stage = 'use = "rope.curation.sampling.stage:SAMPLE"\nseed = 1\ncount = 9\nfloor = 1'
    recipe = recipe_of(tmp_path, stage, n_rows=50)
    manifests = run_recipe(recipe, local(), progress=False)["sample"]
    counts = {}
    for count in (count for manifest in manifests for count in manifest.counts):
        counts[count.fate] = counts.get(count.fate, 0) + count.rows
    assert counts == {"kept": 9, "not sampled": 41}
    assert sum(column(recipe, "sample", "weight")) == pytest.approx(50)


def test_no_rows_give_no_rows_of_the_same_columns(tmp_path):
    schema = pa.schema([(name, pa.string()) for name in ("id", "domain", "category", "product_hint")])
    pq.write_table(schema.empty_table(), tmp_path / "empty.parquet")
    outcome = next(sample_rows([tmp_path / "empty.parquet"], SampleRows(seed=0, rate=0.5)))
    assert outcome.kept.schema.names == [*schema.names, "weight"]
    assert (outcome.kept.num_rows, outcome.rejects.num_rows) == (0, 0)
