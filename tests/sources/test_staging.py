import duckdb
import pytest

from rope.sources.faults import RULES, ReleaseFault
from rope.sources.staging import FrameRow, SampleRow, Staging


def finish(*rows):
    """Samples as (split, domain, sample_id), and faults as (kind, line, subject)."""
    with duckdb.connect() as connection:
        staging = Staging(connection)
        for row in rows:
            staging.add(row)
        staging.finish(("train", "validation"))
        samples = [
            (split, domain, *row)
            for split in ("train", "validation")
            for domain in ("page", "video", "live")
            for row in connection.sql(
                f"SELECT sample_id, product_id, text, category, n_frames FROM samples_{split}_{domain}"
            ).fetchall()
        ]
        return samples, connection.sql("SELECT kind, line, subject FROM faults ORDER BY ALL").fetchall()


def sample(line, sample_id="a", product_id="p", split="validation", **more):
    return SampleRow("s.txt", line, split, "page", sample_id, product_id, **more)


def frame(line, sample_id="a", time=0, image="a.jpg", split="validation"):
    return FrameRow("s.txt", line, split, "page", sample_id, time, image)


CASES = [
    # what is added to a clean sample with a frame, faults, whether the sample is left
    ("the same again", [sample(3)], [("repeated_row", 3, "a")], True),
    ("another gallery", [sample(3, gallery="x")], [("sample_conflict", 1, "a"), ("sample_conflict", 3, "a")], False),
    ("another text", [sample(3, text="t")], [("text_conflict", 3, "a")], True),
    ("the same frame", [frame(3)], [("repeated_row", 3, "a, 0, a.jpg")], True),
    ("another image", [frame(3, image="b.jpg")], [("frame_conflict", 3, "a, 0, b.jpg"), ("no_image", 1, "a")], False),
    ("a frame of nobody", [frame(3, "b")], [("no_product", 3, "b")], True),
    ("a sample without frame", [sample(3, "b")], [("no_image", 3, "b")], True),
    ("its product in training", [sample(3, "b", split="train")], [("product_in_both_splits", 3, "b")], True),
    ("itself in training", [sample(3, "a", "q", "train")], [("sample_in_both_splits", 3, "a")], True),
    ("a fault of the reader", [ReleaseFault("s.txt", 3, "bad_row", "?")], [("bad_row", 3, "?")], True),
]


@pytest.mark.parametrize(("added", "faults", "is_left"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_contradictions_are_taken_out_and_named(added, faults, is_left):
    samples, found = finish(sample(1), frame(2), *added)
    assert bool(samples) == is_left
    assert set(faults) <= set(found)
    assert all(kind in RULES for kind, _, _ in found)


def test_of_two_products_neither_is_believed():
    samples, faults = finish(sample(1), frame(2), sample(3, product_id="q"))
    assert samples == []
    assert [fault for fault in faults if fault[0] == "product_conflict"] == [
        ("product_conflict", 1, "a"),
        ("product_conflict", 3, "a"),
    ]


def test_of_two_texts_neither_is_believed():
    samples, _ = finish(sample(1, text="one"), frame(2), sample(3, text="other"))
    assert samples == [("validation", "page", "a", "p", None, None, 1)]


def test_the_mark_for_no_text_is_no_text():
    assert finish(sample(1, text="空"), frame(2))[0] == [("validation", "page", "a", "p", None, None, 1)]


def test_a_category_is_that_of_the_product():
    rows = [sample(1, category="cups"), frame(2), sample(3, "b"), frame(4, "b", image="b.jpg")]
    samples, faults = finish(*rows)
    assert [row[5] for row in samples] == ["cups", "cups"]
    assert faults == []
    samples, faults = finish(*rows, sample(5, "c", category="pots"), frame(6, "c", image="c.jpg"))
    assert [row[5] for row in samples] == [None, None, None]
    assert faults == [("category_conflict", 1, "p")]


def test_rows_are_in_canonical_order():
    ids = ["10", "9", "b", "a"]
    samples, _ = finish(*(sample(1, i) for i in ids), *(frame(1, i, image=i) for i in ids))
    assert [row[2] for row in samples] == ["9", "a", "b", "10"]
