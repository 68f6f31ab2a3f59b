import random

import duckdb
import pytest

from rope.errors import ReleaseError, UsageError
from rope.sources.faults import RULES
from rope.sources.rope_release import find_release, stage_release
from tests.releases import tiny_release, with_reviews, write_release


def stage(folder, lines):
    """The staged tables as lists of tuples, by name, without line numbers; and the faults."""
    write_release(folder, lines)
    with duckdb.connect() as connection:
        stage_release(connection, find_release(folder), lambda _: None)
        tables = {
            name: connection.sql(f"SELECT * EXCLUDE (line) FROM {name}").fetchall()
            for (name,) in connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()
            if name.startswith("samples_")
        }
        tables |= {
            name: connection.sql(f"FROM {name}").fetchall()
            for (name,) in connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()
            if name.startswith("frames_")
        }
        return tables, connection.sql("FROM faults ORDER BY ALL").fetchall()


def test_a_clean_release_is_joined_and_sorted(tmp_path):
    tables, faults = stage(tmp_path, tiny_release())
    assert faults == []
    assert tables["samples_train_video"] == [
        ("va1", "a1", "text of va1, with a comma", None, 3),
        ("va2", "a2", "text of va2, with a comma", None, 3),
    ]
    assert tables["frames_validation_live"][:3] == [
        ("lb1", 30, "lb1-30.jpg"),
        ("lb1", 90, "lb1-90.jpg"),
        ("lb1", 120, "lb1-120.jpg"),
    ]


def test_the_order_of_lines_does_not_matter(tmp_path):
    shuffled = {name: random.Random(name).sample(lines, len(lines)) for name, lines in tiny_release().items()}
    assert stage(tmp_path / "a", tiny_release())[0] == stage(tmp_path / "b", shuffled)[0]


def test_ids_are_ordered_by_length_first(tmp_path):
    lines = tiny_release()
    lines["test_product_pages_pair.txt"] += ["b1, p10", "b1, p9"]
    lines["test_page_images.txt"] += ["p10, x.jpg", "p9, y.jpg"]
    tables, _ = stage(tmp_path, lines)
    assert [row[0] for row in tables["samples_validation_page"]] == ["p9", "p10", "pb1", "pb2"]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("pb1,  two  blanks ", "two  blanks"),
        ("pb1,none", "none"),
        ("  pb1 , a, b,c", "a, b,c"),
        ("pb1, 空", None),
        ("pb1, ", None),
        ("pb1,", None),
        ("pb1, \u3000 ", None),
        ("pb1, 空调 air conditioner", "空调 air conditioner"),
        ('pb1, a "quoted" \\ text\r', 'a "quoted" \\ text'),
    ],
)
def test_texts_are_what_stands_after_the_first_comma(written, text, tmp_path):
    lines = tiny_release()
    lines["test_page_titles.txt"][0] = written
    tables, faults = stage(tmp_path, lines)
    assert tables["samples_validation_page"][0][2] == text
    assert faults == []


FAULTS = [
    # file, lines added (from line 3 on), kind, line of the fault, subject
    ("test_product_pages_pair.txt", ["no comma"], "bad_row", 3, "no comma"),
    ("test_product_pages_pair.txt", ["b1, "], "bad_row", 3, "b1, "),
    ("test_product_pages_pair.txt", ["b1, x, y"], "bad_row", 3, "b1, x, y"),
    ("test_product_pages_pair.txt", ["", "b1, pb1"], "repeated_row", 4, "pb1"),
    ("test_product_pages_pair.txt", ["b2, pb1"], "product_conflict", 1, "pb1"),
    ("test_product_pages_pair.txt", ["b1, new"], "no_image", 3, "new"),
    ("test_page_titles.txt", ["pb1, another"], "text_conflict", 1, "pb1"),
    ("test_page_titles.txt", ["ghost, text"], "no_product", 3, "ghost"),
    ("test_page_images.txt", ["ghost, ghost.jpg"], "no_product", 3, "ghost"),
    ("test_page_images.txt", ["pb1, another.jpg"], "frame_conflict", 1, "pb1, 0, pb1-0.jpg"),
    ("test_page_images.txt", ["pb1, ../../etc/passwd"], "bad_image_name", 3, "pb1, ../../etc/passwd"),
    ("test_page_images.txt", ["pb1, /etc/passwd"], "bad_image_name", 3, "pb1, /etc/passwd"),
    ("test_video_frames.txt", ["vb1, soon, x.jpg"], "bad_number", 7, "vb1, soon, x.jpg"),
    ("test_video_frames.txt", ["vb1, 30.5, x.jpg"], "bad_number", 7, "vb1, 30.5, x.jpg"),
    ("test_video_frames.txt", ["vb1, x.jpg"], "bad_row", 7, "vb1, x.jpg"),
    ("test_video_frames.txt", ["vb1, 30, vb1-30.jpg"], "repeated_row", 7, "vb1, 30, vb1-30.jpg"),
    ("training_product_lives_pair.txt", ["b1, leak"], "product_in_both_splits", 3, "leak"),
    ("training_product_lives_pair.txt", ["a1, lb1"], "sample_in_both_splits", 3, "lb1"),
]


@pytest.mark.parametrize(("file", "added", "kind", "line", "subject"), FAULTS)
def test_faults_are_named_by_file_and_line(file, added, kind, line, subject, tmp_path):
    lines = tiny_release()
    lines[file] += added
    _, faults = stage(tmp_path, lines)
    assert (file, line, kind, subject) in faults
    assert RULES[kind].consequence == "left out"


def test_lines_that_are_not_utf8_are_faults(tmp_path):
    write_release(tmp_path, tiny_release())
    path = tmp_path / "test_page_titles.txt"
    path.write_bytes(path.read_bytes() + b"pb1, \xff\n")
    with duckdb.connect() as connection:
        stage_release(connection, find_release(tmp_path), lambda _: None)
        assert connection.sql("FROM faults").fetchall() == [("test_page_titles.txt", 3, "bad_encoding", "")]


def test_contradictions_are_not_resolved_by_guessing(tmp_path):
    lines = tiny_release()
    lines["test_product_pages_pair.txt"] += ["b2, pb1"]
    lines["test_video_asrs.txt"] += ["vb1, another"]
    lines["test_video_frames.txt"] += ["vb2, 90, other.jpg"]
    tables, _ = stage(tmp_path, lines)
    assert [row[0] for row in tables["samples_validation_page"]] == ["pb2"]
    assert tables["samples_validation_video"][0] == ("vb1", "b1", None, None, 3)
    assert [time for sample, time, _ in tables["frames_validation_video"] if sample == "vb2"] == [30, 120]


def test_a_leak_costs_training_not_validation(tmp_path):
    lines = tiny_release()
    lines["training_product_pages_pair.txt"] += ["b1, leak"]
    lines["training_page_images.txt"] += ["leak, leak.jpg"]
    tables, _ = stage(tmp_path, lines)
    assert [row[0] for row in tables["samples_train_page"]] == ["pa1", "pa2"]
    assert [row[0] for row in tables["samples_validation_page"]] == ["pb1", "pb2"]


def test_a_sample_without_a_text_row_is_kept(tmp_path):
    lines = tiny_release()
    del lines["test_live_asrs.txt"][0]
    tables, faults = stage(tmp_path, lines)
    assert tables["samples_validation_live"][0] == ("lb1", "b1", None, None, 3)
    assert faults == [("test_product_lives_pair.txt", 1, "no_text", "lb1")]


@pytest.mark.parametrize("column", ["category", "coarse_class"])
def test_categories_come_from_products_tsv(column, tmp_path):
    lines = tiny_release() | {"products.tsv": [f"product_id\tsplit\t{column}", "b1\ttest\tCup", "b2\ttest\t"]}
    tables, _ = stage(tmp_path, lines)
    assert [row[3] for row in tables["samples_validation_page"]] == ["Cup", None]


def test_products_tsv_without_a_category_is_an_error(tmp_path):
    with pytest.raises(ReleaseError, match=r"products.tsv:1: columns are product_id, colour; expected"):
        stage(tmp_path, tiny_release() | {"products.tsv": ["product_id\tcolour", "b1\tred"]})


def test_a_release_may_lack_a_split(tmp_path):
    lines = {name: content for name, content in tiny_release().items() if name.startswith("training_")}
    assert find_release(write_release(tmp_path, lines)).splits == ("train",)


def test_a_missing_file_is_named(tmp_path):
    lines = tiny_release()
    del lines["test_live_clips.txt"]
    with pytest.raises(ReleaseError, match=r"test_live_clips\.txt is missing; a ROPE release has nine"):
        find_release(write_release(tmp_path, lines))


def test_a_folder_that_is_no_release_is_refused(tmp_path):
    with pytest.raises(ReleaseError, match=r"no text file such as training_product_pages_pair\.txt"):
        find_release(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        find_release(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("texts", "images", "samples", "fault"),
    [
        (["r1, nice"], ["r1, 7, x.jpg"], [("r1", "b1", "nice", None, 1)], None),
        (["r1, nice"], [], [("r1", "b1", "nice", None, 0)], None),
        ([], ["r1, 7, x.jpg"], [("r1", "b1", None, None, 1)], "no_text"),
        (["r1, 空"], [], [], "no_image"),
        (["r1, nice", "r1, bad"], [], [], "no_image"),
    ],
)
def test_a_sample_of_another_domain_has_images_or_a_text_or_both(texts, images, samples, fault, tmp_path):
    lines = with_reviews(tiny_release())
    lines["test_review_texts.txt"], lines["test_review_images.txt"] = texts, images
    tables, faults = stage(tmp_path, lines)
    assert tables["samples_validation_review"] == samples
    assert tables["samples_train_review"] == []
    assert (fault is None and faults == []) or fault in [kind for _, _, kind, _ in faults]


def test_a_domain_that_has_no_file_is_absent(tmp_path):
    lines = {name: content for name, content in with_reviews(tiny_release()).items() if "live" not in name}
    release = find_release(write_release(tmp_path, lines))
    assert release.domains == ("page", "video", "review")
    assert len(release.files) == 18
    tables, _ = stage(tmp_path, lines)
    assert (tables["samples_train_live"], tables["frames_train_live"]) == ([], [])


@pytest.mark.parametrize("missing", ["test_review_texts.txt", "training_product_reviews_pair.txt"])
def test_a_domain_that_has_some_files_has_all(missing, tmp_path):
    lines = with_reviews(tiny_release())
    del lines[missing]
    with pytest.raises(ReleaseError, match=rf"{missing} is missing"):
        find_release(write_release(tmp_path, lines))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("products", "the domain 'product' is reserved"),
        ("Reviews", "the domain 'Review' is not a domain name; expected 2 to 32 lower-case letters"),
        ("review", "the domain 'review' lacks the s of the plural"),
        ("aligned", "the domain 'aligned' is reserved"),
    ],
)
def test_a_domain_with_a_name_that_cannot_be_is_refused(name, expected, tmp_path):
    lines = tiny_release() | {f"test_product_{name}_pair.txt": []}
    with pytest.raises(ReleaseError, match=rf"test_product_{name}_pair.txt: {expected}"):
        find_release(write_release(tmp_path, lines))
