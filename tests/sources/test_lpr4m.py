import json

import pytest

from rope.errors import ReleaseError
from rope.sources.lpr4m import find_release
from tests.sources.other_releases import CLIPS, LIVES, TRAINING_CLIPS, write_lpr4m
from tests.sources.staged import append, frames, stage

TRAINING = "training_videoinfo_full_part_00.txt"
ANSWERS = "test_videoid_to_gtimage_3.json"
GALLERIES = "test_liveid_to_gallery_2.json"


def test_a_clip_is_of_the_product_of_its_answers(tmp_path):
    tables, faults = stage(find_release(write_lpr4m(tmp_path)))
    assert faults == []
    clips = [(row["sample_id"], row["product_id"], row["gallery"]) for row in tables["samples_validation_live"]]
    assert clips == [
        (CLIPS[0], f"{LIVES[0]}/i1", LIVES[0]),
        (CLIPS[1], f"{LIVES[0]}/i3", LIVES[0]),
        (CLIPS[2], f"{LIVES[1]}/i4", LIVES[1]),
    ]
    assert tables["samples_validation_live"][0]["text"] == "look here"
    assert frames(tables, "validation_live")[:2] == [
        (CLIPS[0], 1, f"{CLIPS[0]}-0001.jpg"),
        (CLIPS[0], 3, f"{CLIPS[0]}-0003.jpg"),
    ]


def test_an_image_in_two_shops_is_two_pages(tmp_path):
    tables, _ = stage(find_release(write_lpr4m(tmp_path)))
    pages = [(row["sample_id"], row["product_id"], row["text"]) for row in tables["samples_validation_page"]]
    assert pages == [
        (f"{LIVES[0]}/i1", f"{LIVES[0]}/i1", "a cup"),
        (f"{LIVES[0]}/i2", f"{LIVES[0]}/i1", None),
        (f"{LIVES[0]}/i3", f"{LIVES[0]}/i3", None),
        (f"{LIVES[1]}/i1", f"{LIVES[1]}/i1", "a cup"),
        (f"{LIVES[1]}/i4", f"{LIVES[1]}/i4", "a pan"),
    ]
    assert frames(tables, "validation_page")[3] == (f"{LIVES[1]}/i1", 0, "i1.jpg")


def test_training_pairs_a_clip_with_an_image(tmp_path):
    tables, _ = stage(find_release(write_lpr4m(tmp_path)))
    (page,) = tables["samples_train_page"]
    assert (page["sample_id"], page["text"], page["category"], page["gallery"]) == ("i9", "a mug", "kitchen", None)
    assert [(row["sample_id"], row["product_id"]) for row in tables["samples_train_live"]] == [
        (clip, "i9") for clip in TRAINING_CLIPS
    ]


TRAINING_FAULTS = [
    ("a\tb", "bad_row", "a\tb"),
    ("x-1-2\tnot a list\t[]\ti8\t\t\t\t\t\t\t", "bad_row", "x-1-2\tnot a list\t[]\ti8\t\t\t\t\t\t\t"),
    ("x-1-2\t['x-1-2-one']\t[]\ti8\t\t\t\t\t\t\t", "bad_number", "x-1-2-one"),
    ("../x\t['../x-1']\t[]\ti8\t\t\t\t\t\t\t", "bad_image_name", "../x-1"),
    ("x-1-2\t['x-1-3-1']\t[]\ti8\t\t\t\t\t\t\t", "bad_row", "x-1-3-1"),
    ("x-1-2\t['x-1-2-1']\t[]\t../i8\t\t\t\t\t\t\t", "bad_row", "x-1-2\t['x-1-2-1']\t[]\t../i8\t\t\t\t\t\t\t"),
    (f"x-1-2\t['x-1-2-{9**30}']\t[]\ti8\t\t\t\t\t\t\t", "bad_number", f"x-1-2-{9**30}"),
    ("x-1-2\t['x-1-2-3']\t[]\ti9\tanother title\t\tkitchen\t\t\t\t", "text_conflict", "i9"),
    ("x-1-2\t['x-1-2-3']\t[]\ti9\ta mug\t\tgarden\t\t\t\t", "repeated_row", "i9"),
    (f"{TRAINING_CLIPS[0]}\t['{TRAINING_CLIPS[0]}-0002']\t[]\ti8\t\t\t\t\t\t\t", "product_conflict", TRAINING_CLIPS[0]),
]


@pytest.mark.parametrize(("line", "kind", "subject"), TRAINING_FAULTS)
def test_faults_of_training_are_named_by_file_and_line(line, kind, subject, tmp_path):
    append(write_lpr4m(tmp_path) / TRAINING, f"{line}\n")
    assert (TRAINING, 3, kind, subject) in stage(find_release(tmp_path))[1]


ANSWER_FAULTS = [
    ({"x": "i1"}, [("bad_row", "x")]),
    ({f"{LIVES[0]}-5-6": ["i3", "i4"]}, [("not_in_gallery", f"{LIVES[0]}-5-6, i4")]),
    ({"elsewhere-5-6": ["i3"]}, [("not_in_gallery", "elsewhere-5-6, i3"), ("no_answer", "elsewhere-5-6")]),
    ({f"{LIVES[0]}-5-6": ["i1"]}, [("partial_answer", f"{LIVES[0]}-5-6")]),
]


@pytest.mark.parametrize(("added", "expected"), ANSWER_FAULTS)
def test_faults_of_answers_are_named(added, expected, tmp_path):
    path = write_lpr4m(tmp_path) / ANSWERS
    path.write_text(json.dumps(json.loads(path.read_text()) | added))
    _, faults = stage(find_release(tmp_path))
    for kind, subject in expected:
        assert (ANSWERS, 0, kind, subject) in faults


def test_frames_of_no_clip_are_named(tmp_path):
    append(
        write_lpr4m(tmp_path) / "test_frame_url_6.txt", "https://x.example/zz-1-2-0001.jpg\nhttps://x.example/a.png\n"
    )
    _, faults = stage(find_release(tmp_path))
    assert ("test_frame_url_6.txt", 7, "no_product", "zz-1-2") in faults
    assert ("test_frame_url_6.txt", 8, "bad_row", "https://x.example/a.png") in faults


def test_another_set_of_columns_is_refused(tmp_path):
    write_lpr4m(tmp_path)
    (tmp_path / TRAINING).write_text("a\tb\tc\n")
    with pytest.raises(ReleaseError, match=f"{TRAINING}:1: 3 fields separated by tabs; expected the 11"):
        stage(find_release(tmp_path))


def test_a_missing_file_of_the_test_is_named(tmp_path):
    (write_lpr4m(tmp_path) / GALLERIES).unlink()
    with pytest.raises(ReleaseError, match=r"test_liveid_to_gallery_\*.json missing"):
        find_release(tmp_path)
    (tmp_path / GALLERIES).write_text("{}")
    (tmp_path / "test_liveid_to_gallery_3.json").write_text("{}")
    with pytest.raises(ReleaseError, match=r"test_liveid_to_gallery_3.json beside another of its kind"):
        find_release(tmp_path)
