import numpy as np
import pytest

from rope.domain import DOMAINS
from rope.synthetic import oracle
from rope.synthetic.catalogue import plan_catalogue
from rope.synthetic.oracle import ceiling
from rope.synthetic.release import VALIDATION_SHARE, place, write_release
from rope.synthetic.samples import draw_text, sample_generator


def test_its_texts_are_those_of_the_release(tmp_path):
    write_release(tmp_path / "release", products=3, seed=2, mp4=False, workers=1, progress=False)
    drawn = [
        draw_text(sample_generator(2, domain, product.index, number), domain, product.wording) or "空"
        for product in plan_catalogue(3, 2)
        for domain in DOMAINS
        for number in range(product.counts[domain])
    ]
    names = ("page_titles", "video_asrs", "live_asrs")
    files = [tmp_path / "release" / f"{prefix}_{name}.txt" for prefix in ("training", "test") for name in names]
    rows = [row for file in files for row in file.read_text("utf-8").splitlines()]
    assert sorted(row.split(", ", 1)[1].strip() for row in rows) == sorted(drawn)


def test_a_text_tells_something_and_the_frames_nearly_all():
    scores = ceiling(200, seed=0)
    means = {reader: np.mean([*by_pair.values()]) for reader, by_pair in scores.items()}
    assert 30 < means["text"] < 70
    assert 95 < means["frames"] <= means["both"] <= 100


def test_who_reads_nothing_is_at_chance(monkeypatch):
    monkeypatch.setattr(oracle, "draw_text", lambda *_: None)
    products = [p.product for p in place(plan_catalogue(40, 0), 0, VALIDATION_SHARE) if p.prefix == "test"]
    pages, videos = (np.array([product.counts[domain] for product in products]) for domain in ("page", "video"))
    chance = 100 * (pages * videos).sum() / (pages.sum() * videos.sum())
    assert ceiling(40, seed=0)["text"]["P2V"] == pytest.approx(chance)


def test_in_one_light_every_product_is_told(monkeypatch):
    monkeypatch.setattr(oracle, "LIGHTS", dict.fromkeys(DOMAINS, (0.0, 0.0, 0.0)))
    assert set(ceiling(200, seed=0)["frames"].values()) == {100.0}
