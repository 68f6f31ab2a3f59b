import pytest

from rope.errors import ReleaseError
from rope.sources.product1m import find_release
from tests.sources.other_releases import product1m_line, write_product1m
from tests.sources.staged import append, frames, stage


def test_pages_are_read_with_their_products(tmp_path):
    tables, faults = stage(find_release(write_product1m(tmp_path)))
    assert faults == []
    pages = tables["samples_validation_page"]
    assert [(row["sample_id"], row["product_id"]) for row in pages] == [
        ("g0", "cup"),
        ("g1", "cup"),
        ("g2", "pot"),
        ("g3", "pan"),
        ("q1", "cup"),
        ("q2", "cup#;#pot"),
    ]
    assert pages[0]["text"] == "title of g0"
    assert frames(tables, "train_page") == [("t1", 0, "t1.jpg"), ("t2", 0, "t2.jpg")]
    assert tables["samples_validation_video"] == []


FAULTS = [
    ("q3#####title#####u", "bad_row", "q3#####title#####u"),
    ("#####title#####u#####u/a.jpg#####cup", "bad_row", "#####title#####u#####u/a.jpg#####cup"),
    ("q3#####title#####u#####http://x/#####cup", "bad_row", "q3#####title#####u#####http://x/#####cup"),
    ("q3#####title#####u#####http://x/a.jpg#####", "no_product", "q3"),
    ("q3#####title#####u#####http://x/..#####cup", "bad_image_name", ".."),
    (product1m_line("q1", "cup"), "repeated_row", "q1"),
    (product1m_line("q1", "pan"), "product_conflict", "q1"),
]


@pytest.mark.parametrize(("line", "kind", "subject"), FAULTS)
def test_faults_are_named_by_file_and_line(line, kind, subject, tmp_path):
    append(write_product1m(tmp_path) / "product1m_dev_ossurl_v2.txt", f"\n{line}\n")
    _, faults = stage(find_release(tmp_path))
    assert ("product1m_dev_ossurl_v2.txt", 3, kind, subject) in faults


def test_a_missing_part_is_named(tmp_path):
    (write_product1m(tmp_path) / "product1m_gallery_ossurl_v2.txt").unlink()
    with pytest.raises(ReleaseError, match=r"product1m_gallery_ossurl_v2.txt missing"):
        find_release(tmp_path)


def test_training_may_be_missing(tmp_path):
    (write_product1m(tmp_path) / "product1m_train_ossurl_v2.txt").unlink()
    assert find_release(tmp_path).splits == ("validation",)
