import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.annotation.label_files import Label, read_labels
from rope.curation.filtering.sweep import cuts_from_labels, scale_of, sketch_of, sweep_table
from rope.curation.filtering.threshold import n_kept
from rope.curation.pipeline.runner import run_recipe
from rope.errors import UsageError
from tests.curation.pools import local, recipe_of

SCORE = 'use = "tests.curation.poisons:SCORE"'
FILTER = 'use = "filter"\nminimum = 0.5'
N_ROWS = 600


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Rows whose similarity is their number in thousandths, and a filter at 0.5; rows 0, 3, ... are pages."""
    recipe = recipe_of(tmp_path_factory.mktemp("pool"), SCORE, FILTER, n_rows=N_ROWS, shard_rows=250)
    run_recipe(recipe, local(1), progress=False)
    return recipe


@pytest.mark.parametrize(("cut", "kept"), [(0.0, 600), (0.1, 500), (0.5, 100), (0.599, 1), (0.6, 0)])
def test_any_cut_is_told_without_a_run_whatever_the_filter_has_kept(cut, kept, recipe):
    sketch = sketch_of(recipe, "filter", "similarity")
    assert sketch.strata == ("live", "page", "video")
    assert n_kept(sketch, cut).sum() == kept


def test_the_table_goes_from_the_cut_that_keeps_all_to_the_last_that_keeps_any(recipe):
    table = sweep_table(sketch_of(recipe, "filter", "similarity"), 0.2)
    rows = list(table.plain_rows())
    assert [row[0] for row in rows] == ["0", "0.2", "0.4"]
    assert rows[1] == ["0.2", "134 (67.0%)", "133 (66.5%)", "133 (66.5%)", "400 (66.7%)"]


def test_numbers_of_any_size_are_swept_and_upper_cuts_too(tmp_path, curate):
    """Lengths of ids, 3 or 4 characters; the filter keeps those of up to 3."""
    poison = 'use = "tests.curation.poisons:POISON"'
    cut = 'use = "filter"\ncolumn = "length"\nmaximum = 3'
    recipe = recipe_of(tmp_path, poison, cut, n_rows=120, shard_rows=60)
    run_recipe(recipe, local(1), progress=False)
    assert scale_of(recipe, "filter", "length") == 10
    table = sweep_table(sketch_of(recipe, "filter", "length", 10), 1, 10, upper=True)
    assert [(row[0], row[-1]) for row in table.plain_rows()] == [("3", "100 (83.3%)"), ("4", "120 (100.0%)")]
    code, out, _ = curate("sweep", tmp_path / "work.toml", "--column", "length", "--step", 1)
    assert (code, "at most" in out, "100 (83.3%)" in out) == (0, True, True)


def test_the_cut_of_a_domain_is_the_lowest_that_its_labels_vouch_for(recipe, tmp_path):
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = [[f"r{i:02d}" if i % 3 else f"p|r{i:02d}", "same" if i >= 200 else "different"] for i in range(N_ROWS)]
        csv.writer(file).writerows([["item_id", "label"], *rows, ["r00", "unclear"], ["elsewhere", "same"]])
    labels = read_labels(tmp_path / "labels.csv")
    found = cuts_from_labels(recipe, "filter", "similarity", labels, precision=0.9)
    assert list(found) == ["live", "page", "video"]
    # At a cut of 0.156, nine of ten rows at or above it are matches; the labels of a domain are 200.
    assert all(0.156 < cut.cut <= 0.2 and cut.n_labels > 130 for cut in found.values())


def test_a_label_of_a_page_and_a_clip_is_about_the_clip(recipe):
    clips = [i for i in range(N_ROWS) if i % 3]
    labels = [Label(item_id=f"r00|r{i:02d}", label="same" if i >= 300 else "different") for i in clips]
    found = cuts_from_labels(recipe, "filter", "similarity", labels, precision=0.9)
    assert list(found) == ["live", "video"]  # the page, whose score is 0, is judged by none of them
    assert all(0.25 < cut.cut <= 0.3 for cut in found.values())


def test_labels_of_annotators_are_read_with_their_weights(recipe, tmp_path):
    labels = pa.table({"item_id": ["r590", "r00"], "label": ["same", None], "weight": [2.0, 1.0]})
    pq.write_table(labels, tmp_path / "labels.parquet")
    rows = read_labels(tmp_path / "labels.parquet")
    found = cuts_from_labels(recipe, "filter", "similarity", rows, precision=0.9)
    assert {domain: (cut.cut, cut.n_labels) for domain, cut in found.items()} == {"live": (None, 1), "page": (None, 1)}


@pytest.mark.parametrize(
    ("stage", "column", "sentence"),
    [
        ("cut", "similarity", "no stage 'cut'; it has pool, score, filter"),
        ("filter", "length", "no column 'length'"),
        ("filter", "text", "column 'text' is not of numbers"),
    ],
)
def test_a_stage_or_column_that_is_not_there_is_refused(stage, column, sentence, recipe):
    with pytest.raises(UsageError, match=sentence):
        sketch_of(recipe, stage, column)


def test_labels_of_other_rows_are_refused(recipe):
    with pytest.raises(UsageError, match="none of the 1 labels is of a row"):
        cuts_from_labels(recipe, "filter", "similarity", [Label(item_id="x", label="same")], precision=0.9)
