"""What `rope info` counts, against a dataset counted by hand."""

import io

import numpy as np
import pytest
from rich.console import Console

from rope.dataset.info import Spread, _Counts, describe, sizes, tables
from tests.dataset.conftest import product, small_tables, write_tables


def facts_of(directory):
    return {(row.split, row.domain): row for row in describe(directory).facts}


def test_texts_are_measured_in_characters_and_absent_ones_apart(tmp_path):
    tables = small_tables()
    for row, text in zip(tables["pages/train"], [None, "三个字", "abcde"], strict=True):
        row["text"] = text
    page = facts_of(write_tables(tmp_path / "d", tables))["train", "page"]
    assert page.share_without_text == 1 / 3
    assert (page.text_median, page.text_p95, page.text_max) == (3, 5, 5)


def test_frames_and_samples_of_a_product_are_spread(small):
    facts = facts_of(small)
    assert facts["train", "live"].frames == Spread(1, 1, 4)
    assert facts["train", "page"].of_product == Spread(1, 1, 2)
    assert facts["validation", "video"].n_samples == 2


def test_a_split_or_domain_without_samples_has_zeros(tmp_path):
    tables = {key: rows for key, rows in small_tables().items() if key.endswith("train")}
    tables["lives/train"] = []
    for row in tables["products/train"]:
        row["live_ids"] = []
    facts = facts_of(write_tables(tmp_path / "d", tables))
    assert {split for split, _ in facts} == {"train"}
    live = facts["train", "live"]
    assert (live.n_samples, live.share_without_text, live.text_max, live.frames) == (0, 0, 0, Spread(0, 0, 0))


def test_categories_count_products_and_samples_of_both_splits_the_largest_first(tmp_path):
    tables = small_tables()
    tables["products/train"].append(product("3", [], ["13", "14"], []))
    categories = describe(write_tables(tmp_path / "d", tables)).categories
    assert [(c.name, c.n_products, c.n_samples) for c in categories] == [
        ("bread", 3, {"page": 2, "video": 4, "live": 2}),
        ("fruit", 2, {"page": 3, "video": 2, "live": 2}),
    ]


def test_the_tables_show_sizes_bytes_fingerprint_and_twenty_categories(tmp_path):
    tables_of_data = small_tables()
    tables_of_data["products/train"] = [
        product(str(i), ["9"], ["9"], ["5"]) | {"category": f"[kind] {i}"} for i in range(10, 40)
    ]
    description = describe(write_tables(tmp_path / "d", tables_of_data))
    console = Console(width=140, file=io.StringIO(), record=True)
    for table in tables(description):
        console.print(table)
    shown = console.export_text()
    assert f"{description.n_bytes:,} bytes" in shown
    assert description.manifest.fingerprint in shown
    assert "Categories (20 of 32, both splits)" in shown
    assert "[kind] 10" in shown


def test_sizes_are_in_words_by_split(small):
    assert sizes(describe(small).manifest)["train"] == "2 products, 3 pages, 2 videos, 2 lives"


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.95, 1])
def test_quantiles_from_counts_are_those_of_the_numbers(share):
    numbers = np.random.default_rng(0).integers(0, 30, 500)
    counts = dict(zip(*(found.tolist() for found in np.unique(numbers, return_counts=True)), strict=True))
    assert _Counts({**counts, None: 99}).at(share) == np.quantile(numbers, share, method="inverted_cdf")
    assert _Counts({None: 3}).at(share) == 0
