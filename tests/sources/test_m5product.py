import json

import pytest

from rope.errors import ReleaseError
from rope.sources.m5product import find_release
from tests.sources.other_releases import write_m5product, write_video
from tests.sources.staged import stage


def test_items_have_a_page_and_some_a_video(tmp_path):
    tables, faults = stage(find_release(write_m5product(tmp_path)))
    assert faults == []
    page = tables["samples_validation_page"][0]
    assert (page["sample_id"], page["product_id"], page["text"], page["category"]) == (
        "test0",
        "test0",
        "title 0",
        "cups",
    )
    assert [row["video"] for row in tables["samples_train_video"]] == ["videos/train0.mp4", "videos/train1.mp4"]


@pytest.mark.parametrize(
    ("item", "entry", "kind"),
    [("a", {"title": "t"}, "bad_row"), ("a", [], "bad_row"), ("../a", {"title": "t", "label": "l"}, "bad_image_name")],
)
def test_faults_are_named_by_file(item, entry, kind, tmp_path):
    path = write_m5product(tmp_path) / "subset_test_id_label.json"
    path.write_text(json.dumps({item: entry}))
    assert ("subset_test_id_label.json", 0, kind, item) in stage(find_release(tmp_path))[1]


def test_annotations_of_other_names_are_not_guessed(tmp_path):
    (write_m5product(tmp_path) / "subset_test_id_label.json").rename(tmp_path / "other_train_id_label.json")
    with pytest.raises(
        ReleaseError, match=r"found other_train_id_label.json, subset_train_id_label.json; expected one"
    ):
        find_release(tmp_path)


def test_a_new_video_makes_it_another_release(tmp_path):
    before = find_release(write_m5product(tmp_path)).listings
    write_video(tmp_path / "videos" / "test2.mp4")
    assert find_release(tmp_path).listings != before
