import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.page import render_page
from rope.curation.pipeline.runner import run_recipe
from rope.curation.report import funnel_table, make_report
from tests.curation.pools import local, recipe_of

CUT = 'name = "cut"\nuse = "filter"\ncolumn = "shortest_side"\nminimum = 30'


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Twelve pages whose images grow from 20 to 42 pixels, one of them no image, with a markup text."""
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (20 + 2 * i, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    (folder / "11.png").write_bytes(b"<html>")
    rows = [
        {"id": f"{i:02d}", "domain": "page", "text": f"<b>cup</b> {i}", "frames": [f"{i:02d}.png"]} for i in range(12)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "pool.parquet")
    recipe = recipe_of(folder, 'use = "decode"', CUT, shard_rows=5)
    run_recipe(recipe, local(1), progress=False)
    return recipe


def test_the_report_has_counts_scores_and_the_rows_on_both_sides_of_the_cut(recipe):
    pool, decode, cut = make_report(recipe).stages
    assert (pool.scores, decode.scores, pool.examples) == (None, None, {})
    assert (cut.scores.column, cut.scores.low, cut.scores.high) == ("shortest_side", 20.0, 40.0)
    assert (sum(cut.scores.kept["page"]), sum(cut.scores.rejected["page"])) == (6, 5)
    assert {heading: [one.row_id for one in shown] for heading, shown in cut.examples.items()} == {
        "rejected: low_shortest_side": ["04", "03", "02", "01", "00"],
        "kept with the lowest shortest_side": ["05", "06", "07", "08", "09", "10"],
    }
    assert [one.row_id for one in decode.examples["rejected: unreadable_image"]] == ["11"]


def test_the_funnel_shows_the_share_of_the_stage_and_of_the_pool(recipe):
    table = funnel_table("spring", [stage.count for stage in make_report(recipe).stages])
    assert [tuple(row) for row in table.plain_rows()] == [
        ("pool", "kept", "12", "100.0 %", "100.0 %"),
        ("decode", "kept", "11", "91.7 %", "91.7 %"),
        ("", "rejected: unreadable_image", "1", "8.3 %", "8.3 %"),
        ("cut", "kept", "6", "54.5 %", "50.0 %"),
        ("", "rejected: low_shortest_side", "5", "45.5 %", "41.7 %"),
    ]


def test_the_page_needs_nothing_else_and_shows_texts_as_they_are(recipe):
    page = render_page(make_report(recipe))
    assert page == render_page(make_report(recipe))
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "<script" not in page
    assert page.count("data:image/jpeg;base64,") == 11
    assert page.count(">no image<") == 1
    assert "&lt;b&gt;cup&lt;/b&gt; 4" in page
    assert "<b>cup</b>" not in page
    assert sum(int(n) for n in re.findall(r"<title>(\d+) kept</title>", page)) == 6
