import json

import pytest

from rope.sources.movingfashion import find_release
from tests.sources.other_releases import write_movingfashion
from tests.sources.staged import frames, stage


def test_garments_have_a_page_and_videos(tmp_path):
    tables, faults = stage(find_release(write_movingfashion(tmp_path)))
    assert faults == []
    videos = [(row["sample_id"], row["product_id"], row["video"]) for row in tables["samples_validation_video"]]
    assert videos == [
        ("test0_0", "test0", "videos/test0_0.mp4"),
        ("test0_1", "test0", "videos/test0_1.mp4"),
        ("test1_0", "test1", "videos/test1_0.mp4"),
    ]
    assert frames(tables, "validation_page") == [("test0", 0, "imgs/test0.jpg"), ("test1", 0, "imgs/test1.jpg")]
    assert [row["category"] for row in tables["samples_validation_page"]] == ["hard", "regular"]


def test_a_video_of_two_products_is_a_sample_of_each(tmp_path):
    path = write_movingfashion(tmp_path) / "test.json"
    entries = json.loads(path.read_text())
    entries["test1"]["video_paths"] = ["videos/test0_0.mp4"]
    path.write_text(json.dumps(entries))
    tables, faults = stage(find_release(tmp_path))
    videos = [(row["sample_id"], row["product_id"], row["video"]) for row in tables["samples_validation_video"]]
    assert videos == [
        ("test0_1", "test0", "videos/test0_1.mp4"),
        ("test0_0/test0", "test0", "videos/test0_0.mp4"),
        ("test0_0/test1", "test1", "videos/test0_0.mp4"),
    ]
    assert faults == []


@pytest.mark.parametrize("shared_in", ["train.json", "test.json"])
def test_a_shared_video_of_both_splits_is_a_leak(shared_in, tmp_path):
    write_movingfashion(tmp_path)
    for name in ("train.json", "test.json"):
        path = tmp_path / name
        entries = json.loads(path.read_text())
        for product in list(entries)[: 2 if name == shared_in else 1]:
            entries[product]["video_paths"] = ["videos/test0_0.mp4"]
        path.write_text(json.dumps(entries))
    tables, faults = stage(find_release(tmp_path))
    assert "videos/test0_0.mp4" not in [row["video"] for row in tables["samples_train_video"]]
    assert ("train.json", 0, "sample_in_both_splits", "test0_0") in faults


GOOD = {"img_path": "imgs/a.jpg", "video_paths": ["videos/a.mp4"], "source": 1}


@pytest.mark.parametrize(
    ("entry", "kind", "subject"),
    [
        ({**GOOD, "img_path": None}, "bad_row", "new"),
        ({**GOOD, "video_paths": "videos/a.mp4"}, "bad_row", "new"),
        ({**GOOD, "source": "1"}, "bad_row", "new"),
        ([], "bad_row", "new"),
        ({**GOOD, "img_path": "../a.jpg"}, "bad_image_name", "../a.jpg"),
        ({**GOOD, "video_paths": ["/a.mp4"]}, "bad_image_name", "/a.mp4"),
        ({**GOOD, "video_paths": ["videos/other/test0_0.mp4"]}, "product_conflict", "test0_0"),
    ],
)
def test_faults_are_named_by_file(entry, kind, subject, tmp_path):
    path = write_movingfashion(tmp_path) / "test.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"new": entry}))
    assert ("test.json", 0, kind, subject) in stage(find_release(tmp_path))[1]
