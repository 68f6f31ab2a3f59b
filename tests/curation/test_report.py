import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rope.curation.page import render_page
from rope.curation.pipeline.recipe import read_recipe
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
    assert cut.cuts == {"page": (30, None)}
    assert (cut.settings["column"], decode.settings) == ("shortest_side", {"min_side": 1, "max_bytes": 1 << 30})
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


def test_a_picture_on_the_web_does_not_cost_the_page(tmp_path):
    rows = [{"id": str(i), "domain": "page", "frames": ["https://host.invalid/a.jpg"], "price": i} for i in range(2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool.parquet")
    recipe = recipe_of(tmp_path, 'name = "cut"\nuse = "filter"\ncolumn = "price"\nminimum = 1')
    text = (path := recipe.work.with_suffix(".toml")).read_text()
    path.write_text(text.replace("[limits]", 'keep = ["price"]\n[limits]'))
    recipe = read_recipe(path)
    run_recipe(recipe, local(1), progress=False)
    assert render_page(make_report(recipe)).count('<div class="none">') == 2


def test_the_page_needs_nothing_else_and_shows_texts_as_they_are(recipe):
    page = render_page(make_report(recipe))
    assert page == render_page(make_report(recipe))
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "<script" not in page
    assert page.count("data:image/webp;base64,") == 11
    assert "default-src 'none'" in page
    assert "<b>30</b> (page)" in page
    assert ">cut 30</text>" in page
    assert page.count('<div class="none">') == 1
    assert "&lt;b&gt;cup&lt;/b&gt; 4" in page
    assert "<b>cup</b>" not in page
    assert sum(int(n) for n in re.findall(r"<title>(\d+) kept</title>", page)) == 6


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    """Nine products with a page, a video and a live clip: pages 0 and 1 show one file, 2 and 3 too but in different
    categories, 4 to 6 another, which is more than the cap; and all pages but one have a title of their own."""
    folder = tmp_path_factory.mktemp("pool")
    rows = []
    for i in range(9):
        for at, domain in enumerate(("page", "video", "live")):
            shade = {1: 0, 3: 2, 5: 4, 6: 4}.get(i, i) if domain == "page" else 20 + 9 * at + i
            Image.new("RGB", (24, 20), (6 * shade, 99, 9 * at)).save(folder / f"{domain}{i}.png")
            row = {"id": f"{domain}{i}", "domain": domain, "text": "cup" if i in (7, 8) else f"cup {i}"}
            row |= {"frames": [f"{domain}{i}.png"], "category": "b" if i == 3 else "a", "product_hint": f"h{i}"}
            rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows), folder / "pool.parquet")
    merge = 'use = "merge"\ncopies = false\nthresholds = { page-page = 1.0 }\ncap = 2\nvetoes = ["category"]'
    cut = 'use = "filter"\ncolumn = "shortest_side"\nminimum = 10\ndomains = { live = 12 }'
    recipe = recipe_of(folder, 'use = "decode"', cut, merge, 'use = "split"\nn_validation = 3\nseed = 0')
    run_recipe(recipe, local(1), progress=False)
    return recipe


def test_the_report_shows_merging_the_queue_what_vetoes_stopped_and_the_split(merged):
    report = make_report(merged)
    _, _, cut, merge, _ = report.stages
    assert cut.cuts == {"page": (10, None), "video": (10, None), "live": (12, None)}
    found = merge.merge
    assert (found.n_before, found.n_after, found.n_queued, found.sizes) == (9, 8, 3, {2: 1})
    rows = ("live0", "live1", "page0", "page1", "video0", "video1")
    assert [(group.product_id, group.n_products, group.rows) for group in found.groups] == [("h0", 2, rows)]
    shown = {
        one.heading.partition(" ")[0]: [(tie.left_row, tie.right_row, tie.detail) for tie in one.ties]
        for one in found.galleries
    }
    assert shown["merged"] == [("page0", "page1", None)]
    assert shown["stopped"] == [("page2", "page3", "a and b")]
    assert shown["waiting"] == [("page4", "page5", None), ("page4", "page6", None), ("page5", "page6", None)]
    assert {side: counts["products"] for side, counts in report.split.sizes.items()} == {"train": 5, "validation": 3}
    shown = report.split.products
    assert {side: len(products) for side, products in shown.items()} == {"train": 4, "validation": 3}
    assert all([row[:4] for row in one.rows] == ["live", "page", "vide"] for side in shown.values() for one in side)
    assert set(report.split.row_ids) <= set(report.records)
    leaks = report.split.leaks
    assert set(leaks.leaking) == {"near", "media", "session", "title"}
    assert leaks.leaking["near"] is None
    assert make_report(merged, leaks=False).split.leaks is None


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_works_offline_and_breaks_no_rule_of_access(merged, chromium, tmp_path, width, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed").Axe()
    (tmp_path / "page.html").write_text(render_page(make_report(merged)), "utf-8")
    assert (tmp_path / "page.html").stat().st_size < 200_000
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, offline=True)
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    assert page.evaluate("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
    context.close()


def test_a_report_needs_no_model(tmp_path, monkeypatch):
    """What a run has noted of its model is enough, and a model that cannot be had is no hindrance."""
    recipe = recipe_of(tmp_path, 'use = "tests.curation.poisons:MODELLED"')
    run_recipe(recipe, local(1), progress=False)
    monkeypatch.setattr("tests.curation.poisons.fingerprint_of_model", lambda _: 1 / 0)
    assert [stage.count.stage for stage in make_report(recipe).stages] == ["pool", "modelled"]
    with pytest.raises(ZeroDivisionError):
        run_recipe(recipe, local(1), progress=False)
