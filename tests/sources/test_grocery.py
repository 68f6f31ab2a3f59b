import gzip
from pathlib import Path

import pytest

from rope.dataset.build import build_dataset
from rope.errors import ReleaseError, UsageError
from rope.sources import grocery
from rope.sources.formats import find_source
from tests.sources.staged import frames, stage


def checkout(folder: Path) -> Path:
    for name in grocery.FOLDERS:
        (folder / name).mkdir(parents=True)
    return folder


def test_the_whole_table_has_the_fingerprint_that_is_promised(tmp_path):
    report = build_dataset(checkout(tmp_path / "in"), tmp_path / "out", media="reference", progress=False)
    assert report.faults == ()
    assert report.manifest.fingerprint == grocery.FINGERPRINT
    assert report.manifest.counts == {
        "train": {"pages": 179, "videos": 124, "lives": 80, "products": 61},
        "validation": {"pages": 63, "videos": 40, "lives": 25, "products": 20},
    }


def test_a_checkout_is_recognised_and_its_pictures_stay_where_they_are(tmp_path):
    source = find_source(checkout(tmp_path))
    assert (source.kind, source.image_root) == ("grocery", tmp_path)
    tables, faults = stage(source)
    assert faults == []
    first = tables["samples_validation_page"][0]
    assert (first["sample_id"], first["product_id"], first["category"]) == ("100024", "10024", "Apple")
    assert first["text"] == "Golden Delicious, Golden Delicious has a white juicy pulp and a greenish yellow shell."
    folder = "dataset/iconic-images-and-descriptions/Fruit/Apple/Golden-Delicious"
    assert frames(tables, "validation_page")[0] == ("100024", 0, f"{folder}/Golden-Delicious_Iconic.jpg")


def test_no_picture_is_used_twice_and_live_clips_have_photographs_of_their_own():
    found = list(grocery.pictures())
    assert len({picture.path for picture in found}) == len(found) == 1836
    folders = {domain: {p.path.split("/")[1] for p in found if p.domain == domain} for domain in ("video", "live")}
    assert folders == {"video": {"train"}, "live": {"test"}}


def test_a_picture_that_is_missing_is_named_and_the_rest_is_built(tmp_path, monkeypatch):
    few = gzip.decompress((Path(grocery.__file__).parent / "grocery.tsv.gz").read_bytes()).decode().splitlines()
    kept = [few[0], *(line for line in few if line.split("\t")[3] in ("100024", "100055", "100183"))]
    monkeypatch.setattr(grocery, "_content", lambda: "\n".join(kept).encode())
    checkout(tmp_path / "in")
    for line in kept[1:]:
        picture = tmp_path / "in" / "dataset" / line.split("\t")[5]
        picture.parent.mkdir(parents=True, exist_ok=True)
        if "100055" not in line:
            picture.write_bytes((Path(__file__).parents[1] / "fetch" / "grocery" / "page.jpg").read_bytes())
    report = build_dataset(tmp_path / "in", tmp_path / "out", progress=False)
    assert report.manifest.counts["validation"]["pages"] == 1
    kinds = {fault.kind: fault.examples for fault in report.faults}
    assert "val/Fruit/Apple/Golden-Delicious/Golden-Delicious_001.jpg" in str(kinds["unreadable_image"])
    assert report.manifest.fingerprint != grocery.FINGERPRINT


def test_the_card_has_licence_and_credit_and_says_what_is_no_video(tmp_path):
    report = build_dataset(checkout(tmp_path / "in"), tmp_path / "out", media="reference", progress=False)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert report.manifest.source["kind"] == "grocery"
    assert "\nlicense: mit\n" in card
    for words in ("copyright (c) 2019 Marcus Klasson", "WACV 2019", "recorded a video or a stream", "not speech"):
        assert words in card
    assert "ask them before" not in card


def test_another_folder_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ReleaseError, match="rope fetch --open grocery --out"):
        find_source(tmp_path, "grocery")
    with pytest.raises(UsageError, match="no such folder"):
        find_source(tmp_path / "nowhere", "grocery")
