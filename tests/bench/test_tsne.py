"""A map of products: who is on it, what lies together, and that the file is the same every time."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from rope.bench.doctor.markers import matplotlib_markers, shapes_of
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.tsne import choose_points, draw_map, lay_out, save_map
from rope.bench.tsne_page import check_size
from rope.dataset.directory import SampleLabels
from rope.errors import UsageError

pytest.importorskip("sklearn", reason="the extra figures is not installed")
pytest.importorskip("matplotlib", reason="the extra figures is not installed")

PRODUCTS = [f"p{i}" for i in range(6)]


def planted(n_each=6, noise=0.05):
    """Six products, each about its own direction in all domains; p5 has no live clip."""
    rng = np.random.default_rng(0)
    embeddings, labels = {}, {}
    for domain in ("page", "video", "live"):
        owners = [p for p in PRODUCTS for _ in range(n_each) if (domain, p) != ("live", "p5")]
        ids = [str(i) for i in range(len(owners))]
        centres = np.eye(8)[[PRODUCTS.index(p) for p in owners]]
        vectors = 3 * (centres + noise * rng.standard_normal(centres.shape))
        embeddings[domain] = DomainEmbeddings(ids, vectors.astype(np.float32), "float32")
        labels[domain] = SampleLabels(ids, owners)
    return embeddings, labels


def chosen(n_products=3, seed=0):
    return choose_points(*planted(), n_products=n_products, seed=seed)


def test_all_samples_of_the_products_drawn_are_there_with_length_one():
    points = chosen()
    assert points.vectors.shape == (3 * 3 * 6, 8)
    assert np.allclose(np.linalg.norm(points.vectors, axis=1), 1)
    assert {domain: points.domains.count(domain) for domain in points.domains} == {"page": 18, "video": 18, "live": 18}


def test_a_product_that_a_domain_lacks_is_not_drawn_and_the_seed_decides():
    draws = [tuple(chosen(seed=seed).product_ids) for seed in range(20)]
    assert not any("p5" in ids for ids in draws)
    assert len(set(draws)) > 1
    assert tuple(chosen(seed=7).product_ids) == draws[7]


def test_without_a_number_all_products_are_drawn_where_they_are_few():
    assert chosen(None).product_ids == ["p0", "p1", "p2", "p3", "p4"]


@pytest.mark.parametrize("n_products", [1, 6])
def test_more_products_than_there_are(n_products):
    with pytest.raises(UsageError, match="expected from 2 to 5, the products that have samples in all of"):
        chosen(n_products)


def test_samples_of_one_product_lie_together():
    points = chosen()
    places = lay_out(points, seed=0)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (points.products[distances.argmin(axis=1)] == points.products).all()
    assert np.array_equal(lay_out(points, seed=0), places)


@pytest.mark.parametrize(("name", "begins"), [("map.png", b"\x89PNG"), ("map.svg", b"<?xml")])
def test_a_picture_has_the_same_bytes_every_time(name, begins, tmp_path):
    points = chosen()
    places = np.random.default_rng(0).standard_normal((len(points.domains), 2)).astype(np.float32)
    for folder in ("a", "b"):
        save_map(draw_map(points, places), tmp_path / folder / name)
    first = (tmp_path / "a" / name).read_bytes()
    assert first.startswith(begins)
    assert (tmp_path / "b" / name).read_bytes() == first


def test_another_kind_of_file(tmp_path):
    points = chosen()
    with pytest.raises(UsageError, match=r"map.pdf: expected a name that ends in .png or .svg"):
        save_map(draw_map(points, points.vectors[:, :2]), tmp_path / "map.pdf")


def test_the_command(tmp_path):
    import typer

    from rope.bench.tsne_cli import tsne
    from tests.dataset.conftest import small_tables, write_tables

    data = write_tables(tmp_path / "small", small_tables())
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "emb.npz",
        **{domain: rng.standard_normal((2, 4)).astype(np.float32) for domain in ("page", "video", "live")},
        page_ids=np.array(["31", "32"]),
        video_ids=np.array(["31", "33"]),
        live_ids=np.array(["31", "34"]),
    )
    app = typer.Typer()
    app.command()(tsne)
    out = tmp_path / "map.svg"
    result = CliRunner().invoke(
        app, [str(tmp_path / "emb.npz"), "--data", str(data), "--products", "2", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert "6 samples of 2 products" in result.output
    assert all(f'id="{domain}"' in out.read_text() for domain in ("page", "video", "live"))


@pytest.fixture(scope="module")
def map_file(dataset, tmp_path_factory):
    """A page with pictures of two products, made by the command."""
    import typer

    from rope.bench.io.writer import write_embeddings
    from rope.bench.tsne_cli import tsne
    from rope.dataset.directory import read_labels

    folder, rng = tmp_path_factory.mktemp("map"), np.random.default_rng(0)
    labels = read_labels(dataset, "validation")
    given = {d: (rows.sample_ids, rng.normal(size=(len(rows.sample_ids), 4))) for d, rows in labels.items()}
    write_embeddings(folder / "e.parquet", given)
    app = typer.Typer()
    app.command()(tsne)
    words = [str(folder / "e.parquet"), "--data", str(dataset), "--products", "2", "--pictures"]
    for name in ("map.html", "again.html"):
        result = CliRunner().invoke(app, [*words, "--out", str(folder / name)])
        assert result.exit_code == 0, result.output
    assert (folder / "map.html").read_bytes() == (folder / "again.html").read_bytes()
    return folder / "map.html"


def test_the_page_of_a_map_loads_nothing_and_its_script_is_small(map_file):
    text = map_file.read_text("utf-8")
    assert "default-src 'none'" in text
    assert "data:image/webp;base64," in text
    assert len(text.split("<script>")[1]) < 6_000
    assert not re.search(r"(src|href)=\"(?!data:)", text)


def test_a_sample_of_the_map_is_shown_on_hover_and_by_keyboard(map_file, chromium):
    page, asked = chromium.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(map_file.as_uri())
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed").Axe()
    dot = page.locator("#map g").nth(3)
    dot.hover(force=True)
    told = page.locator("#card").inner_text()
    assert dot.get_attribute("data-domain") in told
    assert page.locator("#card img").count() == 1
    page.mouse.move(0, 0)
    page.locator("#map").focus()
    seen = set()
    for key in ["ArrowRight"] * 5 + ["ArrowDown"] * 5 + ["ArrowLeft"] * 5:
        page.keyboard.press(key)
        seen.add(page.locator("#card").inner_text())
    assert len(seen) > 4
    page.select_option("select[name=domain]", "live")
    assert page.locator("#map g:not(.faint)").count() == page.locator("#map g[data-domain=live]").count()
    found = axe.run(page, options={"preload": False})
    assert (found.violations_count, found.generate_report()) == (0, found.generate_report())
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
    page.close()


def test_pictures_of_more_samples_than_a_page_holds_are_refused(monkeypatch):
    monkeypatch.setattr("rope.bench.tsne_page.MOST_PICTURES", 10)
    points = chosen()
    with pytest.raises(UsageError, match="54 samples, and a page holds 10 pictures at most"):
        check_size(points, has_pictures=True)
    check_size(points, has_pictures=False)


def test_one_marker_stands_for_a_domain_everywhere():
    domains = ["page", "video", "live", "review", "advert"]
    figure = draw_map(chosen(), np.zeros((54, 2), np.float32))
    legend = [handle.get_marker() for handle in figure.axes[0].get_legend().legend_handles]
    assert legend == ["s", "o", "^"] == list(matplotlib_markers(domains).values())[:3]
    shapes = shapes_of(domains)
    assert [re.match(r"<(\w+)", shapes[domain])[1] for domain in domains[:3]] == ["rect", "circle", "path"]
    assert len(set(shapes.values())) == len(set(matplotlib_markers(domains).values())) == 5
