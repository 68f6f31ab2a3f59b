"""The site in a browser, from files."""

import csv
import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from leaderboard.board import load_boards
from leaderboard.charts import _cost_lines
from leaderboard.checked_board import check
from leaderboard.downloads import as_latex
from leaderboard.known import known_datasets
from leaderboard.site import build_site
from leaderboard.terminal import board_table
from rope.bench.stats.compare import compare
from rope.bench.stats.query_ranks import load_ranks
from tests.looks import LOOKS, look_at

PAGES = ("index.html", "protocol.html", "submit.html")


@pytest.fixture
def open_page(chromium, site):
    """Opens a page of the site at a width and theme; fails on any message of the console."""
    contexts, messages = [], []

    def go(path, width=1440, theme="light", locale="en-US"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, locale=locale, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        file, hash_sign, view = path.partition("#")
        page.goto((site / file).as_uri() + hash_sign + view)
        return page

    yield go
    for context in contexts:
        context.close()
    assert messages == []


@pytest.fixture(scope="module")
def board(checked):
    return load_boards(checked)[0]


def names(page):
    return [row.get_attribute("data-id") for row in page.locator("#board tbody tr").all() if row.is_visible()]


def all_pages(site):
    return sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))


def test_headings_sort_both_ways(open_page):
    page = open_page("index.html")
    assert names(page)[-1] == "gamma"
    page.get_by_role("button", name="Model").click()
    assert names(page) == ["alpha", "beta", "gamma"]
    page.get_by_role("button", name="Model").press("Enter")
    assert names(page) == ["gamma", "beta", "alpha"]
    assert page.locator("th[data-sort=name]").get_attribute("aria-sort") == "descending"


def test_filters_leave_what_fits(open_page):
    page = open_page("index.html")
    page.get_by_label("Search").fill("GAM")
    assert names(page) == ["gamma"]
    page.get_by_label("Search").fill("")
    page.locator("#parameters").select_option("100000000")
    assert names(page) == []
    assert page.get_by_text("No model fits").is_visible()
    page.locator("#parameters").select_option("500000000")
    page.get_by_label("Status").select_option("reported")
    assert names(page) == []


def test_another_pair_and_metric_show_their_numbers(open_page, board):
    page = open_page("index.html")
    page.get_by_label("Metric").select_option("mAP")
    page.get_by_label("Pair").select_option("L2V")
    for row in board.rows:
        cell = row.cells["mAP", "L2V"]
        shown = page.locator(f"tr[data-id={row.entry.card.id}] td.main").inner_text()
        assert f"{100 * cell.value:.2f}" in shown
        assert f"{100 * cell.low:.2f} – {100 * cell.high:.2f}" in shown
    assert page.locator("#main-heading").inner_text() == "L→V mAP, %"


def test_a_model_opens_with_its_charts_and_hashes(open_page, board):
    page = open_page("index.html")
    page.get_by_role("link", name="Model alpha").click()
    entry = next(row.entry for row in board.rows if row.entry.card.id == "alpha")
    text = page.locator("main").inner_text()
    assert all(sha256 in text for sha256 in entry.files.values())
    assert entry.fingerprint in text
    assert page.get_by_role("img").count() == 3
    assert "product size" in text  # slices


@pytest.mark.parametrize("metric", ["R@1", "R@10", "mAP"])
def test_two_models_compare_as_in_rope_bench(metric, open_page, board):
    page = open_page(f"compare-{board.key}.html")
    for label, name in (("first", "gamma"), ("second", "alpha"), ("metric", metric)):
        page.locator(f"#{label}").select_option(name)
    page.locator("#verdict", has_text=f"points of {metric} in the mean, and the difference is significant").wait_for()
    ranks = [load_ranks(row.entry.part("score")) for row in board.rows if row.entry.card.id != "beta"]
    wanted = {one.column: one for one in compare(ranks, metric).differences}
    rows = page.locator("#differences tbody tr").all()
    for row, (column, one) in zip(rows, wanted.items(), strict=True):
        assert float(row.get_attribute("data-p")) == pytest.approx(one.p, rel=1e-5)
        cells = row.locator("th, td").all_inner_texts()
        assert cells[0] == column.replace("2", "→")
        assert cells[3] == f"−{100 * one.value:.2f}"  # gamma, behind alpha, is A here
        assert cells[4] == f"−{100 * one.high:.2f} … −{100 * one.low:.2f}".replace("−-", "+")
        assert cells[7] == f"{one.losses} / {one.ties} / {one.wins}"
        chance = board.by_chance.get((metric, column))
        assert cells[8] == ("–" if chance is None else f"{100 * chance:.2f}")


def test_a_view_of_the_board_is_in_its_address(open_page, board):
    page = open_page("index.html")
    assert "#" not in page.url
    page.get_by_label("Metric").select_option("mAP")
    page.get_by_label("Pair").select_option("L2V")
    page.locator("#parameters").select_option("500000000")
    page.get_by_label("Search").fill("model a")
    page.get_by_role("button", name="Model").click()
    assert page.url.endswith("#metric=mAP&column=L2V&parameters=500000000&search=model+a&sort=name")
    again = open_page(f"index.html#{page.url.partition('#')[2]}")
    assert names(again) == names(page) == ["alpha"]
    assert again.locator("tbody").inner_text() == page.locator("tbody").inner_text()
    assert again.locator("#main-heading").inner_text() == "L→V mAP, %"
    assert names(open_page("index.html#metric=none&sort=none&column=X2Y")) == names(open_page("index.html"))


def test_the_compared_models_are_in_the_address(open_page, board):
    page = open_page(f"compare-{board.key}.html#first=gamma&second=beta&metric=MRR")
    page.locator("#verdict", has_text="Model beta is ahead of Model gamma").wait_for()
    page.locator("#first").select_option("alpha")
    assert page.url.endswith("#first=alpha&second=beta&metric=MRR")


def test_commands_have_a_button_that_copies_them(open_page):
    page = open_page("submit.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert page.locator("pre").count() == page.get_by_role("button", name="Copy").count() == 3
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "rope-bench run --model my_model:Model --out embeddings.parquet"


@pytest.fixture(scope="module")
def marked(results, data, tmp_path_factory):
    """The site of a dataset that is registered as synthetic, with pictures that anyone may see, and of a project."""
    checked = check(results, [data])
    marks = {"is_synthetic": True, "may_show_pictures": True}
    rows = tuple(replace(row, dataset=replace(row.dataset, **marks)) for row in checked.rows)
    out = tmp_path_factory.mktemp("marked") / "site"
    build_site(replace(checked, rows=rows), out, project="https://example.org/project/")
    return out


def test_a_synthetic_board_says_so_in_its_heading(site, marked, board):
    pages = ("index.html", f"compare-{board.key}.html", f"models/{board.key}/alpha.html")
    for path in pages:
        heading = re.compile(r"<h1>.*synthetic: not for ranking.*</h1>", re.DOTALL)
        assert [bool(heading.search((one / path).read_text("utf-8"))) for one in (site, marked)] == [False, True]
    assert "synthetic: not for ranking" in re.search("<title>.*</title>", (marked / "index.html").read_text("utf-8"))[0]


def test_pictures_are_shown_only_where_the_dataset_lets_anyone_see_them(site, marked, board):
    page = f"models/{board.key}/alpha-failures.html"
    assert ((site / page).exists(), (marked / page).exists()) == (False, True)
    assert "alpha-failures.html" in (marked / f"models/{board.key}/alpha.html").read_text("utf-8")
    assert "failures" not in (site / f"models/{board.key}/alpha.html").read_text("utf-8")
    registered = {one.name: one.may_show_pictures for one in known_datasets([])}
    assert registered == {"rope": False, "mini-rope": True, "grocery": True}


def test_what_one_model_finds_and_another_does_not_is_linked_with_pictures(chromium, site, marked, board):
    name = f"lost/{board.key}/gamma--alpha.html"
    assert ((site / name).exists(), (marked / name).exists()) == (False, True)
    assert "the other model has the best positive first" in (marked / name).read_text("utf-8")
    for folder, is_shown in ((marked, True), (site, False)):
        page = chromium.new_page()
        page.goto((folder / f"compare-{board.key}.html").as_uri() + "#first=alpha&second=gamma")
        page.locator("#gains tbody tr").first.wait_for()
        assert page.locator("#gains-pictures").is_visible() == is_shown
        assert page.locator("#gains-pictures a").get_attribute("href") == name
        page.close()


def test_pages_link_to_the_project_if_it_is_given(site, marked):
    link = 'href="https://example.org/project/blob/main/docs/protocol.md"'
    assert link in (marked / "protocol.html").read_text("utf-8")
    assert "example.org/project" not in (site / "protocol.html").read_text("utf-8")


def test_the_front_page_lists_the_datasets_with_their_best(site, board):
    listed = re.search(r'<nav class="boards".*?</nav>', (site / "index.html").read_text("utf-8"), re.S)[0]
    assert board.dataset in listed
    assert f"{100 * board.rows[0].cells['R@1', 'mean'].value:.2f} %" in listed


def test_the_board_says_what_a_random_order_comes_to(site, board):
    assert board.by_chance["R@1", "mean"] == pytest.approx(1 / 40)  # three positives among 120
    missed = 117 * 116 * 115 * 114 * 113 / (120 * 119 * 118 * 117 * 116)
    assert board.by_chance["R@5", "V2L"] == pytest.approx(1 - missed)
    assert ("MRR", "mean") not in board.by_chance
    told = json.loads((site / "leaderboard.json").read_text("utf-8"))["boards"][0]["by_chance"]["V2L"]
    assert (told["R@5"], told["MRR"]) == (board.by_chance["R@5", "V2L"], None)
    page = (site / "index.html").read_text("utf-8")
    assert "random order" in page
    assert "2.50 %" in page
    assert "Random order & 2.50" in as_latex(board)
    assert ["-", "random order", "2.50"] in [row[:3] for row in board_table(board).plain_rows()]


def test_the_row_of_a_random_order_follows_metric_and_pair(open_page, board):
    page = open_page("index.html#metric=R@5&column=V2L")
    wanted = f"{100 * board.by_chance['R@5', 'V2L']:.2f}"
    assert page.locator("#chance td.main").inner_text() == wanted
    page.select_option("#metric", "MRR")
    assert page.locator("#chance td.main").inner_text() == "–"


def test_the_frontier_joins_what_is_better_than_all_that_is_cheaper():
    points = [(100, 0.2, "a"), (50, 0.3, "<b>"), (50, 0.1, "c"), (400, 0.5, "d"), (200, 0.3, "e")]
    *others, frontier = _cost_lines(points)
    assert (frontier.points, list(frontier.labels)) == ([(50.0, 0.3), (400.0, 0.5)], ["&lt;b&gt;", "d"])
    assert sorted(one.name for one in others) == ["a", "c", "e"]


def test_scripts_of_a_page_stay_below_60_kb(site):
    assert sum(path.stat().st_size for path in (site / "static").glob("*.js")) < 60_000


def test_the_feed_has_an_entry_for_each_row(site, board):
    feed = ElementTree.fromstring((site / "feed.xml").read_text("utf-8"))
    atom = "{http://www.w3.org/2005/Atom}"
    entries = feed.findall(f"{atom}entry")
    assert len(entries) == len(board.rows)
    for entry in entries:
        assert (site / entry.find(f"{atom}link").get("href")).is_file()
        assert datetime.fromisoformat(entry.find(f"{atom}updated").text.replace("Z", "+00:00")).tzinfo is not None
    assert len({entry.find(f"{atom}id").text for entry in entries}) == len(entries)


def test_parquet_holds_what_the_csv_holds(site):
    with (site / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        told = list(csv.DictReader(file))
    rows = pq.read_table(site / "leaderboard.parquet").to_pylist()
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows] == told


def test_latex_is_copied(open_page):
    page = open_page("index.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as LaTeX").click()
    page.locator("#copied", has_text="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.count("\\\\") == 5
    assert "Random order & 2.50" in copied
    assert "Model alpha &" in copied


def test_language_and_theme_are_chosen_and_kept(open_page):
    page = open_page("index.html")
    page.locator("#language").click()
    assert page.locator("nav [aria-current=page]").first.inner_text() == "榜单"
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.locator("#theme").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator("html").get_attribute("lang") == "zh-CN"


def test_a_chinese_browser_gets_chinese(open_page):
    assert "模型" in open_page("index.html", locale="zh-CN").locator("#board thead").inner_text()


def test_axes_of_charts_are_in_the_language_of_the_page(open_page, board):
    for locale, labels in (("zh-CN", ["k", "候选集中的负样本数"]), ("en", ["k", "negatives in the gallery"])):
        axes = open_page(f"models/{board.key}/alpha.html", locale=locale).locator("svg text.axis")
        seen = [
            axis.evaluate(
                "text => [...text.childNodes].filter(n => !n.getClientRects || "
                "n.getClientRects().length).map(n => n.textContent).join('')"
            )
            for axis in axes.all()
        ]
        assert seen == labels


@LOOKS
def test_no_page_breaks_a_rule_of_access_or_is_wider_than_the_screen(chromium, marked, board, look):
    for name in (*PAGES, f"compare-{board.key}.html", f"models/{board.key}/alpha.html"):
        wait_for = "#differences tbody tr" if name.startswith("compare") else "body"
        look_at(chromium, marked / name, f"board-{Path(name).stem}", look, wait_for=wait_for)


def test_all_scripts_and_styles_are_small_and_from_here(site):
    assert sum(path.stat().st_size for path in (site / "static").iterdir()) < 200_000
    for path in all_pages(site):
        text = (site / path).read_text("utf-8")
        assert 'src="http' not in text
        assert "@import" not in text


def test_the_same_results_give_the_same_bytes(checked, site, tmp_path):
    build_site(checked, tmp_path / "site")
    files = sorted(path.relative_to(site) for path in site.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "site") for p in (tmp_path / "site").rglob("*") if p.is_file())
    assert [name for name in files if (site / name).read_bytes() != (tmp_path / "site" / name).read_bytes()] == []


def test_downloads_hold_every_number(site, board):
    (of_board,) = json.loads((site / "leaderboard.json").read_text("utf-8"))["boards"]
    assert [row["id"] for row in of_board["rows"]] == [row.entry.card.id for row in board.rows]
    cell = board.rows[0].cells["R@1", "mean"]
    assert of_board["rows"][0]["numbers"]["mean"]["R@1"] == {
        "value": cell.value,
        "ci95": [cell.low, cell.high],
        "rank": 1,
    }
    assert len((site / "leaderboard.csv").read_text("utf-8").splitlines()) == 1 + 3 * 49
    assert (site / f"{board.key}.tex").read_text("utf-8").count("Model ") == 4
