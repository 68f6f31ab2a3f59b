import numpy as np
import pytest

from rope.bench.doctor.rows import number_products, sort_out
from rope.bench.io.embeddings import DomainEmbeddings
from rope.dataset.directory import SampleLabels

LABELS = SampleLabels(["a", "b", "c", "d", "e"], ["2", "1", "2", "1", "3"])


def look_at(ids, vectors):
    given = DomainEmbeddings(ids, np.array(vectors, np.float32), "float32")
    return sort_out(given, LABELS, number_products({"page": LABELS}))


def test_usable_rows_stand_by_product_and_id():
    report, side = look_at(["e", "d", "c", "b", "a"], np.eye(5))
    assert side.sample_ids == ["b", "d", "a", "c", "e"]
    assert side.labelled.products.tolist() == [0, 0, 1, 1, 2]
    assert side.labelled.vectors.raw.tolist() == np.eye(5)[[3, 1, 4, 2, 0]].tolist()
    assert report.n_usable == report.n_expected == 5


@pytest.mark.parametrize(
    ("ids", "last", "kind", "examples"),
    [
        (["a", "b", "c", "d"], [1, 2], "missing", ("e",)),
        (["a", "b", "c", "d", "e", "x"], [1, 2], "unknown", ("x",)),
        (["a", "b", "c", "d", "e", "a"], [1, 2], "repeated", ("a",)),
        (["a", "b", "c", "d", "e"], [np.nan, 1], "not_finite", ("e",)),
        (["a", "b", "c", "d", "e"], [np.inf, 1], "not_finite", ("e",)),
        (["a", "b", "c", "d", "e"], [0, 0], "zero", ("e",)),
        (["a", "b", "c", "d", "e"], [1, 0], "copies_across_products", ("a", "e")),
    ],
)
def test_each_fault_is_counted_and_named(ids, last, kind, examples):
    vectors = [[1, i] for i in range(len(ids) - 1)] + [last]
    report, _ = look_at(ids, vectors)
    assert getattr(report, kind).count == len(examples)
    assert getattr(report, kind).examples == examples


def test_no_row_of_a_repeated_id_is_used():
    report, side = look_at(["a", "b", "a"], [[1, 0], [0, 1], [1, 1]])
    assert side.sample_ids == ["b"]
    assert report.missing.examples == ("c", "d", "e")


def test_copies_inside_a_product_are_told_from_copies_across():
    report, _ = look_at(["a", "c", "b", "d", "e"], [[1, 0], [1, 0], [0, 1], [-0.0, 1], [1, 1]])
    assert report.copies.examples == ("a", "b", "c", "d")
    assert report.copies_across_products.count == 0


def test_five_examples_at_most_whatever_the_order():
    labels = SampleLabels([str(i) for i in range(20)], ["p"] * 20)
    report, side = sort_out(None, labels, {"p": 0})
    assert (report.missing.count, report.missing.examples) == (20, ("0", "1", "2", "3", "4"))
    assert side is None
    assert report.norms is None


def test_vectors_without_dimensions_have_no_direction():
    report, side = look_at(["a", "b"], np.empty((2, 0)))
    assert report.zero.count == 2
    assert side is None


def test_norms_are_of_the_rows_as_given():
    report, _ = look_at(["a", "b"], [[3e-30, 4e-30], [6e30, 8e30]])
    assert report.norms.minimum == pytest.approx(5e-30)
    assert report.norms.maximum == pytest.approx(1e31)
