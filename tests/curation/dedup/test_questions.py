"""What a merge leaves open becomes few questions: those that hold a queue together, and those between groups."""

import numpy as np
import pytest

from rope.curation.dedup.questions import merge_questions
from rope.curation.dedup.stage import MergeRows
from tests.curation.dedup.test_stage import write


def pages(tmp_path, degrees, brands=""):
    """Pages of one product each, whose pictures are directions: 10 degrees apart is a cosine of 0.985."""
    angles = np.radians(degrees)
    rows = [(f"p{i}", "page", f"h{i}", f"m{i}", (float(np.cos(a)), float(np.sin(a)))) for i, a in enumerate(angles)]
    rows = [(*row, brand) for row, brand in zip(rows, brands or len(rows) * "x", strict=True)]
    return [write(tmp_path / "rows.parquet", rows)]


def asked(paths, below=None, **options):
    found = merge_questions(paths, MergeRows({"page-page": 0.98}, copies=False, **options), below)
    return [(one.left, one.right, one.verdict) for one in found]


def test_groups_that_complete_linkage_puts_apart_are_asked_about_once(tmp_path):
    """A chain 0-9-18 degrees: 0 and 9 are one, 18 resembles 9 alone; 40 resembles nobody."""
    paths = pages(tmp_path, [0, 8, 17, 40])
    assert asked(paths) == [("p1", "p2", "unlinked")]
    assert asked(paths, below=0.999) == [("p0", "p1", "merged"), ("p1", "p2", "unlinked")]
    assert asked(paths, below=0.98) == [("p1", "p2", "unlinked")]


def test_a_queue_is_asked_about_by_the_strongest_ties_that_hold_it_together(tmp_path):
    """Four products that all resemble each other, and one more beside the last: four questions, not seven."""
    paths = pages(tmp_path, [0, 1, 3, 6, 17])
    found = asked(paths, cap=3)
    assert found == [("p0", "p1", "queued"), ("p1", "p2", "queued"), ("p2", "p3", "queued"), ("p3", "p4", "queued")]


@pytest.mark.parametrize(
    ("brands", "expected"),
    [
        ("xyx", [("p0", "p1", "veto: brand")]),  # 0 and 2 are one group, and 1 another
        ("xyz", [("p0", "p1", "veto: brand"), ("p1", "p2", "veto: brand"), ("p0", "p2", "veto: brand")]),
        ("xxx", []),
    ],
)
def test_groups_that_vetoes_put_apart_are_asked_about_once(brands, expected, tmp_path):
    assert asked(pages(tmp_path, [0, 2, 5], brands), vetoes=["brand"]) == expected


@pytest.mark.parametrize("degrees", [[0, 40, 80], [0, 5]])
def test_a_merge_that_leaves_nothing_open_asks_nothing(degrees, tmp_path):
    assert asked(pages(tmp_path, degrees)) == []
