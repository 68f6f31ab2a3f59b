import gzip
import json

import pytest

from rope.errors import ReleaseError, UsageError
from rope.sources.formats import find_source
from tests.sources.abo import (
    IMAGE_HEADER,
    csv_bytes,
    image_rows,
    listing,
    put,
    spin_rows,
    write_abo,
    write_metadata,
)
from tests.sources.staged import frames, stage

CHAIR = listing("B1", spin="s1", images=("11", "12"))
FIRST = "listings/metadata/listings_0.json.gz"


def staged(folder, name="abo"):
    """The rows of pages, those of videos, with their split each, and the faults."""
    tables, faults = stage(find_source(folder, name))
    rows = {
        domain: [
            {"split": split, **row} for split in ("train", "validation") for row in tables[f"samples_{split}_{domain}"]
        ]
        for domain in ("page", "video")
    }
    return rows["page"], rows["video"], faults


def ids(rows, *names):
    return sorted(tuple(row[name] for name in names) for row in rows)


def test_photographs_are_pages_and_sequences_are_videos(tmp_path):
    source = find_source(write_metadata(tmp_path, [CHAIR]))
    assert (source.kind, source.domains, source.image_root) == ("abo", ("page", "video"), tmp_path)
    pages, videos, faults = staged(tmp_path)
    assert faults == []
    assert ids(pages, "sample_id", "product_id", "text", "category") == [
        ("11", "B1", "title of B1", "CHAIR"),
        ("12", "B1", "title of B1", "CHAIR"),
    ]
    assert ids(videos, "sample_id", "product_id", "text", "category", "n_frames") == [("s1", "B1", None, "CHAIR", 24)]


def test_frames_are_paths_of_the_bucket(tmp_path):
    write_metadata(tmp_path, [CHAIR], spins=spin_rows("s1", range(72)))
    tables, _ = stage(find_source(tmp_path))
    split = "train" if tables["samples_train_video"] else "validation"
    assert frames(tables, f"{split}_page") == [("11", 0, "images/small/11/11.jpg"), ("12", 0, "images/small/12/12.jpg")]
    assert frames(tables, f"{split}_video") == [
        ("s1", azimuth, f"spins/original/ab/s1_{azimuth:02}.jpg") for azimuth in range(0, 72, 3)
    ]


@pytest.mark.parametrize(
    ("made", "size"), [((), "small"), (("original",), "original"), (("original", "small"), "small")]
)
def test_originals_are_read_where_there_are_no_small_images(made, size, tmp_path):
    write_metadata(tmp_path, [CHAIR])
    for name in made:
        (tmp_path / "images" / name).mkdir()
    tables, _ = stage(find_source(tmp_path))
    split = "train" if tables["samples_train_page"] else "validation"
    assert frames(tables, f"{split}_page")[0][2] == f"images/{size}/11/11.jpg"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([("de_DE", "Stuhl"), ("en_GB", "chair"), ("en_US", "office chair")], "office chair"),
        ([("de_DE", "Stuhl"), ("en_IN", "chair"), ("en_GB", "seat")], "seat"),
        ([("ja_JP", "椅子"), ("de_DE", "Stuhl")], "Stuhl"),
        ([("en_US", "  "), ("ja_JP", "椅子")], "椅子"),
        ([("en_US", "first"), ("en_US", "second")], "first"),
        ([("en_US", "half \ud83d"), ("de_DE", "Stuhl")], "Stuhl"),
    ],
)
def test_the_text_is_one_title_by_a_rule(names, text, tmp_path):
    titles = [{"language_tag": tag, "value": value} for tag, value in names]
    line = json.dumps(CHAIR | {"item_name": titles}).encode()
    write_metadata(tmp_path, [line], images=image_rows("11", "12"), spins=spin_rows("s1"))
    pages, _, faults = staged(tmp_path)
    assert ({page["text"] for page in pages}, faults) == ({text}, [])


def test_a_page_has_the_best_title_of_all_listings_that_show_it(tmp_path):
    german = {"item_name": [{"language_tag": "de_DE", "value": "Stuhl"}]}
    listings = [
        listing("B1", domain="amazon.de", spin="s1", images=("11",), **german),
        listing("B1", domain="amazon.co.uk", images=("11",)),
    ]
    pages, _, _ = staged(write_metadata(tmp_path, listings))
    assert [page["text"] for page in pages] == ["title of B1"]


def test_a_listing_without_a_title_is_a_page_without_text(tmp_path):
    bare = {key: value for key, value in CHAIR.items() if key not in ("item_name", "product_type")}
    pages, _, faults = staged(write_metadata(tmp_path, [bare]))
    assert [(page["text"], page["category"]) for page in pages] == [(None, None)] * 2
    assert faults == [(FIRST, 1, "no_text", "11"), (FIRST, 1, "no_text", "12")]


@pytest.mark.parametrize(("form", "category"), [("CHAIR", "CHAIR"), ([{"value": "CHAIR"}, {"value": "SEAT"}], "CHAIR")])
def test_a_product_type_has_two_forms(form, category, tmp_path):
    pages, _, faults = staged(write_metadata(tmp_path, [CHAIR | {"product_type": form}]))
    assert ({page["category"] for page in pages}, faults) == ({category}, [])


def test_products_without_a_sequence_are_not_read_but_other_marketplaces_are(tmp_path):
    listings = [
        CHAIR,
        listing("B1", domain="amazon.de", images=("13",)),
        listing("B2", images=("21",)),
        listing("B3", spin="s3"),
    ]
    pages, videos, faults = staged(write_metadata(tmp_path, listings))
    assert ids(pages, "sample_id", "product_id") == [("11", "B1"), ("12", "B1"), ("13", "B1")]
    assert ids(videos, "sample_id", "product_id") == [("s1", "B1"), ("s3", "B3")]
    assert faults == []


@pytest.mark.parametrize(
    "other",
    [
        listing("B0", spin="s1", images=("01",)),
        listing("B0", spin="s0", images=("11",)),
        listing("B0", images=("11",)),
    ],
)
def test_what_shares_a_sequence_or_a_main_image_is_one_product(other, tmp_path):
    pages, videos, _ = staged(write_metadata(tmp_path, [CHAIR, other]))
    assert {row["product_id"] for row in (*pages, *videos)} == {"B0"}


def test_products_become_one_through_a_third(tmp_path):
    listings = [
        listing("B9", spin="s9", images=("91",)),
        listing("B5", spin="s5", images=("51",)),
        listing("B1", domain="amazon.de", spin="s9", images=("51",)),
    ]
    _, videos, _ = staged(write_metadata(tmp_path, listings))
    assert ids(videos, "sample_id", "product_id") == [("s5", "B1"), ("s9", "B1")]


def test_a_photograph_of_several_products_is_left_out_and_keeps_them_together(tmp_path):
    chairs = [listing(f"B{i:02}", spin=f"s{i}", images=(f"{i}1", f"sizes{i // 2}")) for i in range(20)]
    pages, videos, faults = staged(write_metadata(tmp_path, chairs))
    assert sorted(fault[2:] for fault in faults) == [("shared_image", f"sizes{i}") for i in range(10)]
    assert not any(page["sample_id"].startswith("sizes") for page in pages)
    split_of = {video["product_id"]: video["split"] for video in videos}
    assert all(split_of[f"B{i:02}"] == split_of[f"B{i + 1:02}"] for i in range(0, 20, 2))
    assert set(split_of.values()) == {"train", "validation"}


def test_a_photograph_of_very_many_products_relates_none(tmp_path):
    chairs = [listing(f"B{i:02}", spin=f"s{i}", images=(f"{i}1", "legal")) for i in range(20)]
    _, videos, _ = staged(write_metadata(tmp_path, chairs))
    assert {video["split"] for video in videos} == {"train", "validation"}


def mvr(side, group, image):
    return (side, f"class{image}", group, image, "image", f"small/{image}.jpg")


def test_groups_of_the_benchmark_are_in_one_split(tmp_path):
    chairs = [listing(f"B{i:02}", spin=f"s{i}", images=(f"{i}1",)) for i in range(20)]
    rows = [mvr("train", f"g{i // 2}", f"{i}1") for i in range(20)]
    _, videos, faults = staged(write_metadata(tmp_path, chairs, benchmark=rows))
    split_of = {video["product_id"]: video["split"] for video in videos}
    assert all(split_of[f"B{i:02}"] == split_of[f"B{i + 1:02}"] for i in range(0, 20, 2))
    assert (set(split_of.values()), faults) == ({"train", "validation"}, [])


def test_the_official_split_is_that_of_the_benchmark(tmp_path):
    sides = ("train", "val-target", "val-query", "test-target", "test-query", "test-extra-gallery")
    chairs = [listing(f"B{i}", spin=f"s{i}", images=(f"{i}1",)) for i in range(7)]
    rows = [mvr(side, f"g{i}", f"{i}1") for i, side in enumerate(sides)]
    write_metadata(tmp_path, chairs, benchmark=rows)
    assert find_source(tmp_path, "abo-mvr").kind == "abo-mvr"
    pages, videos, faults = staged(tmp_path, "abo-mvr")
    assert faults == []
    assert ids(videos, "product_id", "split") == [
        ("B0", "train"),
        ("B1", "train"),
        ("B2", "train"),
        ("B3", "validation"),
        ("B4", "validation"),
        ("B5", "validation"),
    ]
    assert ids(pages, "product_id", "split") == ids(videos, "product_id", "split")


def test_validation_wins_where_the_benchmark_disagrees_with_what_is_related(tmp_path):
    chairs = [listing("B1", spin="s1", images=("11", "both")), listing("B2", spin="s2", images=("21", "both"))]
    rows = [mvr("train", "g1", "11"), mvr("test-query", "g2", "21"), mvr("dev", "g2", "22")]
    _, videos, faults = staged(write_metadata(tmp_path, chairs, benchmark=rows), "abo-mvr")
    assert {video["split"] for video in videos} == {"validation"}
    assert ("benchmarks/abo-mvr.csv.xz", 0, "family_in_both_splits", "B1") in faults
    assert ("benchmarks/abo-mvr.csv.xz", 4, "bad_row", "22, dev") in faults


def test_a_shared_photograph_in_the_test_of_the_benchmark_takes_all_that_it_shows(tmp_path):
    chairs = [listing(f"B{i}", spin=f"s{i}", images=(f"{i}1", "both")) for i in range(2)]
    write_metadata(tmp_path, chairs, benchmark=[mvr("test-target", "g", "both")])
    pages, _, _ = staged(tmp_path, "abo-mvr")
    assert ids(pages, "product_id", "split") == [("B0", "validation"), ("B1", "validation")]


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (None, "no such file; see that CC BY 4.0 holds for this copy"),
        ("Attribution-NonCommercial 4.0", "speaks of non-commercial use, which CC BY 4.0 does not"),
    ],
)
def test_another_licence_than_the_card_names_is_reported(text, subject, tmp_path):
    licence = write_metadata(tmp_path, [CHAIR]) / "LICENSE-CC-BY-4.0.txt"
    licence.unlink()
    if text is not None:
        licence.write_text(text)
    assert staged(tmp_path)[2] == [("LICENSE-CC-BY-4.0.txt", 0, "other_form", subject)]


GOOD = json.dumps(CHAIR).encode()


@pytest.mark.parametrize(
    ("line", "kind", "subject"),
    [
        (b"{", "bad_row", ", "),
        (b"[]", "bad_row", ", "),
        (b'{"item_id": "B2"}', "bad_row", "B2, "),
        (b'{"item_id": 2, "domain_name": "a"}', "bad_row", ", a"),
        (b'{"item_id": "\xff"}', "bad_encoding", ""),
        (GOOD, "repeated_row", "B1, amazon.com"),
        (json.dumps(listing("B2", item_name="chair")).encode(), "other_form", "item_name of B2, amazon.com"),
        (json.dumps(listing("B2", item_name=["chair"])).encode(), "other_form", "item_name of B2, amazon.com"),
        (json.dumps(listing("B2", product_type={"value": 1})).encode(), "other_form", "product_type of B2, amazon.com"),
        (json.dumps(listing("B2", other_image_id="21")).encode(), "other_form", "other_image_id of B2, amazon.com"),
        (json.dumps(listing("B2\ud800")).encode(), "bad_row", ", amazon.com"),
        (json.dumps(listing("B2", main_image_id="\ud800")).encode(), "other_form", "main_image_id of B2, amazon.com"),
        (json.dumps(listing("B2", spin_id=7)).encode(), "other_form", "spin_id of B2, amazon.com"),
        (json.dumps(listing("B2", main_image_id=["21"])).encode(), "other_form", "main_image_id of B2, amazon.com"),
    ],
)
def test_a_line_of_another_form_is_named_and_the_rest_is_read(line, kind, subject, tmp_path):
    write_metadata(tmp_path, [CHAIR])
    put(tmp_path / FIRST, b"\n".join([GOOD, b"", line, b""]))
    pages, videos, faults = staged(tmp_path)
    assert (len(pages), len(videos)) == (2, 1)
    assert faults == [(FIRST, 3, kind, subject)]


def test_lists_that_lack_or_repeat_something_are_named(tmp_path):
    images = [
        *image_rows("11"),
        *image_rows("12"),
        ("12", 8, 8, "other.jpg"),
        ("12", 8, 8, "third.jpg"),
        ("21", 8, 8, "/a"),
    ]
    spins = [
        *spin_rows("s1", range(0, 60, 3)),
        ("s1", "72", "i", 8, 8, "a.jpg"),
        ("s1", "9" * 5000, "i", 8, 8, "b.jpg"),
    ]
    chairs = [CHAIR, listing("B2", spin="s2", images=("21",))]
    pages, videos, faults = staged(write_metadata(tmp_path, chairs, images=images, spins=spins))
    assert ids(pages, "sample_id") == [("11",)]
    assert ids(videos, "sample_id", "n_frames") == [("s1", 20)]
    assert sorted(fault[2:] for fault in faults) == [
        ("bad_image_name", "/a"),
        ("bad_number", "s1, 72"),
        ("bad_number", f"s1, {'9' * 5000}"),
        ("frame_conflict", "12"),
        ("other_form", "s1: 22 images, 24 or 72 published"),
        ("unknown_image", "12"),
        ("unknown_image", "21"),
        ("unknown_spin", "s2"),
    ]


def test_files_that_are_not_there_are_named(tmp_path):
    write_metadata(tmp_path, [CHAIR], benchmark=None)
    (tmp_path / "listings/metadata/listings_f.json.gz").unlink()
    pages, _, faults = staged(tmp_path)
    assert len(pages) == 2
    assert [fault[2:] for fault in faults] == [
        ("other_form", "no such file; related products are not known"),
        ("other_form", "15 files of listings, 16 published"),
    ]
    with pytest.raises(ReleaseError, match=r"lacks benchmarks/abo-mvr.csv.xz; get it with rope fetch --open abo"):
        find_source(tmp_path, "abo-mvr")
    (tmp_path / "images/metadata/images.csv.gz").unlink()
    with pytest.raises(ReleaseError, match=r"lacks images/metadata/images.csv.gz; get it with rope fetch --open abo"):
        find_source(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        find_source(tmp_path / "nowhere", "abo")


def test_a_list_that_cannot_be_read_stops_with_a_sentence(tmp_path):
    path = write_metadata(tmp_path, [CHAIR]) / "images/metadata/images.csv.gz"
    put(path, csv_bytes(("id", "path"), []))
    with pytest.raises(ReleaseError, match="columns are id, path; expected image_id too"):
        staged(tmp_path)
    put(path, csv_bytes(IMAGE_HEADER, [("11", 8, 8, "a" * 200_000)]))
    with pytest.raises(ReleaseError, match=r"images.csv.gz:1: cannot be read as CSV \(field larger than"):
        staged(tmp_path)
    path.write_bytes(gzip.compress(csv_bytes(IMAGE_HEADER, image_rows("11")))[:-9])
    with pytest.raises(ReleaseError, match=r"cannot be unpacked .*; delete it and fetch it again"):
        staged(tmp_path)


def test_further_columns_and_keys_mean_nothing(tmp_path):
    rows = [(*row, "new") for row in image_rows("11", "12")]
    write_metadata(tmp_path, [CHAIR | {"model_weight": {"a": 1}}])
    put(tmp_path / "images/metadata/images.csv.gz", csv_bytes((*IMAGE_HEADER, "licence"), rows))
    pages, _, faults = staged(tmp_path)
    assert (len(pages), faults) == (2, [])


def test_the_made_release_has_both_splits(tmp_path):
    _, videos, faults = staged(write_abo(tmp_path))
    assert ({video["split"] for video in videos}, faults) == ({"train", "validation"}, [])
