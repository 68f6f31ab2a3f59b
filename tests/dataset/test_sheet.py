"""The contact sheet: which products are on it, and that images and texts stay in their places."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from rope.dataset import fonts, sheet
from rope.dataset.build import build_dataset
from rope.dataset.sheet import draw_sheet
from rope.domain import DOMAINS, with_published
from rope.errors import DatasetError, UsageError
from tests.dataset.conftest import product, sample, small_tables, write_tables
from tests.media import videos
from tests.sources.other_releases import MP4, write_folder


def test_the_same_dataset_gives_the_same_sheet(small, tmp_path):
    for name in ("a.png", "b.png"):
        draw_sheet(small, tmp_path / name, "train")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_sheet_has_a_row_for_each_product_up_to_the_number_asked_for(small, tmp_path):
    heights = []
    for n_products in (1, 2, 8):
        draw_sheet(small, tmp_path / "s.png", "train", n_products=n_products)
        with Image.open(tmp_path / "s.png") as drawn:
            heights.append(drawn.height)
    assert heights[1] - heights[0] == sheet._ROW
    assert heights[2] == heights[1]


def test_products_are_spread_over_the_categories(tmp_path, monkeypatch):
    tables = small_tables()
    names = [("a", 4), ("b", 4), ("c", 4)]
    tables["products/train"] = [
        product(str(10 * i + j), ["9"], ["9"], ["5"]) | {"category": category}
        for i, (category, n) in enumerate(names, 1)
        for j in range(n)
    ]
    shown = []
    monkeypatch.setattr(sheet, "_draw_label", lambda draw, row, top: shown.append((row.category, row.product_id)))
    draw_sheet(write_tables(tmp_path / "d", tables), tmp_path / "s.png", "train", n_products=3)
    assert shown == [("a", "12"), ("b", "22"), ("c", "32")]


def test_each_image_is_in_its_cell(tmp_path):
    draw_sheet(write_tables(tmp_path / "d", small_tables()), tmp_path / "s.png", "validation", n_products=1)
    with Image.open(tmp_path / "s.png") as drawn:
        pixels = np.asarray(drawn)
    middle = sheet._HEADER + sheet._CELL // 2
    for domain, n_images in (("page", 1), ("video", 2), ("live", 2)):
        for cell in range(n_images):
            x = sheet._left_of(domain, DOMAINS) + cell * (sheet._CELL + sheet._GAP) + sheet._CELL // 2
            assert np.abs(pixels[middle, x].astype(int) - [10 * cell, 80, 160]).max() < 12


def test_a_product_without_a_domain_leaves_its_cells_empty(tmp_path):
    tables = small_tables()
    tables["products/train"][0]["video_ids"] = []
    draw_sheet(write_tables(tmp_path / "d", tables), tmp_path / "s.png", "train")


@pytest.mark.parametrize("media", ["embed", "reference"])
def test_a_video_that_is_a_file_is_shown(media, tmp_path):
    release = write_folder(tmp_path / "release")
    clip = videos.write([np.full((32, 32, 3), 20, np.uint8)] * 3)
    (release / "videos" / "v1.mp4").write_bytes(clip)
    with (release / "samples.csv").open("a") as file:
        file.write("review,r1,red-cup,,validation\n")
    (release / "reviews").mkdir()
    (release / "reviews" / "r1.mp4").write_bytes(clip)
    build_dataset(release, tmp_path / "d", media=media, progress=False)
    draw_sheet(tmp_path / "d", tmp_path / "s.png", "validation")
    with Image.open(tmp_path / "s.png") as drawn:
        pixels = np.asarray(drawn)
    domains = with_published(["review"])
    for domain, n_images in (("video", 3), ("review", 1)):
        for cell in range(n_images):
            x = sheet._left_of(domain, domains) + cell * (sheet._CELL + sheet._GAP) + sheet._CELL // 2
            assert pixels[sheet._HEADER + sheet._CELL // 2, x].max() < 40


def test_a_video_that_cannot_be_decoded_is_named(tmp_path):
    release = write_folder(tmp_path / "release")
    (release / "videos" / "v1.mp4").write_bytes(MP4[: len(MP4) // 2])
    build_dataset(release, tmp_path / "d", progress=False)
    with pytest.raises(DatasetError, match=r"video v1: videos/v1.mp4: "):
        draw_sheet(tmp_path / "d", tmp_path / "s.png", "validation")


def test_an_image_that_cannot_be_decoded_is_named(spoilt, tmp_path):
    directory = spoilt("pages/train", 0, {"frames": [{"bytes": None, "path": "/nowhere/a.jpg"}]})
    with pytest.raises(DatasetError, match=r"page \w+: /nowhere/a.jpg: cannot be decoded"):
        draw_sheet(directory, tmp_path / "s.png", "train")
    assert not (tmp_path / "s.png").exists()


def test_an_empty_split_and_another_format_are_refused(tmp_path):
    tables = {"products/train": [], "pages/train": [sample("1", "1", 1)]}
    directory = write_tables(tmp_path / "d", tables)
    with pytest.raises(DatasetError, match="has no products in split train"):
        draw_sheet(directory, tmp_path / "s.png", "train")
    with pytest.raises(UsageError, match=r"s\.jpg: a contact sheet is written as PNG"):
        draw_sheet(directory, tmp_path / "s.jpg", "train")


def test_a_font_without_chinese_draws_no_chinese_and_no_boxes():
    latin = ImageFont.load_default(13)
    assert fonts.drawable("有机燕麦奶", latin) == ""
    assert fonts.drawable("Oat milk 燕", latin) == "Oat milk"


@pytest.mark.parametrize(
    ("width", "n_lines", "expected"),
    [
        (1000, 2, ["alpha beta gamma"]),
        (75, 2, ["alpha beta", "gamma"]),
        (75, 1, ["alpha beta…"]),
        (45, 1, ["alpha…"]),
        (1, 1, ["a…"]),
    ],
)
def test_text_is_broken_at_blanks_and_cut_with_an_ellipsis(width, n_lines, expected):
    lines = fonts.fit("alpha beta gamma", ImageFont.load_default(13), width, n_lines)
    assert lines == expected


def test_no_text_has_no_lines():
    assert fonts.fit("", ImageFont.load_default(13), 100, 3) == []
