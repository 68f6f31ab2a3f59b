import math

import pyarrow as pa
import pytest

from rope.curation.filtering.stage import Filter, filter_rows
from rope.errors import UsageError


def rows(*values, kind="float32"):
    """Rows (domain, category, similarity), with ids from 0."""
    columns = {
        "id": [str(i) for i in range(len(values))],
        "domain": [value[0] for value in values],
        "category": pa.array([value[1] for value in values], pa.string()),
        "similarity": pa.array([value[2] for value in values], kind),
    }
    return pa.RecordBatch.from_pydict(columns)


CUTS = Filter(0.25, domains={"live": 0.125}, categories={"shoes": 0.5, "live/shoes": 0.0})


@pytest.mark.parametrize(
    ("domain", "category", "similarity", "is_kept"),
    [
        ("page", None, 0.25, True),
        ("page", None, 0.2499, False),
        ("live", "hats", 0.125, True),
        ("live", "hats", 0.12, False),
        ("page", "shoes", 0.4, False),
        ("live", "shoes", 0.0, True),
        ("video", None, None, False),
        ("video", None, math.nan, False),
        ("video", None, math.inf, False),
    ],
)
def test_a_row_is_kept_at_or_above_the_nearest_cut(domain, category, similarity, is_kept):
    outcome = filter_rows(rows((domain, category, similarity)), CUTS)
    assert (outcome.kept.num_rows, outcome.rejects.num_rows) == (int(is_kept), 1 - int(is_kept))


def test_rejects_have_the_similarity_as_score_or_say_that_there_is_none():
    outcome = filter_rows(rows(("page", None, 0.5), ("page", None, 0.125), ("live", None, None)), CUTS)
    assert outcome.kept["id"].to_pylist() == ["0"]
    assert [tuple(row.values())[:4] for row in outcome.rejects.to_pylist()] == [
        ("1", "page", "low_similarity", 0.125),
        ("2", "live", "no_similarity", None),
    ]


def test_a_maximum_keeps_what_is_at_or_below_it_and_a_minimum_may_be_missing():
    values = rows(("page", None, 0.1), ("page", None, 0.5), ("live", None, 0.9), ("live", None, None))
    for options, kept in ((Filter(maximum=0.5), ["0", "1"]), (Filter(0.2, maximum=0.5), ["1"])):
        outcome = filter_rows(values, options)
        assert outcome.kept["id"].to_pylist() == kept
        told = {row["id"]: (row["reason"], row["score"]) for row in outcome.rejects.to_pylist()}
        assert told["2"] == ("high_similarity", pytest.approx(0.9))
        assert told["3"] == ("no_similarity", None)


def test_whole_numbers_of_any_size_are_numbers():
    times = [1_767_225_600_123_456_789, 1_767_225_600_123_456_789 + 10**9, 5]
    rows = pa.RecordBatch.from_pydict(
        {"id": ["a", "b", "c"], "domain": ["page"] * 3, "category": [None] * 3, "time": pa.array(times, pa.int64())}
    )
    assert filter_rows(rows, Filter(column="time", minimum=1.7672256009e18)).kept["id"].to_pylist() == ["b"]


def test_words_are_kept_that_are_allowed():
    words = pa.RecordBatch.from_pylist(
        [
            {"id": i, "domain": "page", "category": None, "script": one}
            for i, one in zip("abc", ["han", None, "latin"], strict=True)
        ],
        pa.schema([(name, "string") for name in ("id", "domain", "category", "script")]),
    )
    outcome = filter_rows(words, Filter(column="script", allowed=["han"]))
    assert outcome.kept["id"].to_pylist() == ["a"]
    told = [(row["id"], row["reason"], row["detail"]) for row in outcome.rejects.to_pylist()]
    assert told == [("b", "no_script", None), ("c", "other_script", "latin")]
    with pytest.raises(UsageError, match=r"column 'frames' is list<.*not of numbers"):
        filter_rows(words.append_column("frames", pa.array([["a"]] * 3)), Filter(1, column="frames"))


@pytest.mark.parametrize("options", [{}, {"minimum": 0.5, "allowed": ["a"]}])
def test_a_filter_has_cuts_or_words(options):
    with pytest.raises(
        UsageError, match="expected minimum or maximum for a column of numbers, or allowed for one of w"
    ):
        Filter(**options)


def test_integers_are_cut_too_and_no_rows_give_no_rows():
    assert filter_rows(rows(("page", None, 3), kind="int32"), Filter(3)).kept.num_rows == 1
    assert filter_rows(rows(), Filter(3)).kept.num_rows == 0


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(UsageError, match="no column 'score'; the rows have id, domain, category, similarity"):
        filter_rows(rows(), Filter(0.1, column="score"))
    with pytest.raises(UsageError, match="domains: unknown key 'pages'; did you mean 'page'"):
        Filter(0.1, domains={"pages": 0.1})
