"""What annotators called products becomes search queries."""

import pytest

from rope.curation.annotation.label_files import Label
from rope.curation.queries import queries_from_labels
from rope.dataset.build import build_dataset
from rope.dataset.directory import SampleLabels
from rope.dataset.queries import read_queries
from rope.errors import DatasetError
from rope.query import Positive
from tests.releases import tiny_release, write_release

SAMPLES = {
    "page": SampleLabels(["p1", "p2", "p3"], ["a", "b", "c"]),
    "video": SampleLabels(["v1", "v2", "v1|x"], ["a", "b", "b"]),
}


def named(item_id, name):
    return Label(item_id=item_id, question="product_name", label=name)


def test_names_become_texts_and_pairs_become_grades_and_hard_negatives():
    labels = [
        named("p1", "red cup"),
        named("v1", "a mug"),
        Label(item_id="p1|v1", label="same"),
        Label(item_id="p1|v2", label="different"),
        Label(item_id="p2|v1|x", question="precision", label="unclear"),
        named("p2", None),
    ]
    made = queries_from_labels(labels, SAMPLES)
    one, two = made.queries
    assert (one.query_id, one.text, one.group, one.excluded) == ("p1", "red cup", "a", (("page", "p1"),))
    assert (one.positives, one.negatives) == ((Positive("video", "v1", 2),), (("video", "v2"),))
    assert (two.text, two.positives) == ("a mug", (Positive("page", "p1", 2),))


def test_what_makes_no_query_is_counted():
    made = queries_from_labels([named("p3", "lone"), named("gone", "cup"), named("p2", " ")], SAMPLES)
    assert (made.queries, made.n_elsewhere, made.n_alone) == ([], 1, 1)


def test_a_pair_of_one_product_is_no_hard_negative_and_one_of_two_is_not_confirmed():
    labels = [named("p2", "x"), Label(item_id="p2|v2", label="different"), Label(item_id="p1|v1|x", label="same")]
    (query,) = queries_from_labels(labels, SAMPLES).queries
    assert query.negatives == ()
    assert [positive.grade for positive in query.positives] == [1, 1]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    build_dataset(write_release(folder / "release", tiny_release()), folder / "data", progress=False)
    return folder / "data"


def test_the_command_puts_them_beside_the_samples(dataset, tmp_path, curate):
    (tmp_path / "labels.csv").write_text("item_id,label,question\npb1,a cup,product_name\n")
    code, out, _ = curate("queries", dataset, "--labels", tmp_path / "labels.csv")
    assert (code, "1 queries; left out: 0 names" in out) == (0, True)
    (query,) = read_queries(dataset, "validation").queries
    assert sorted(one.key for one in query.positives) == [("live", "lb1"), ("video", "vb1")]
    (tmp_path / "labels.csv").write_text("item_id,label,question\nnobody,a cup,product_name\n")
    code, _, err = curate("queries", dataset, "--labels", tmp_path / "labels.csv")
    assert (code, "no label makes a query: 1 names are of samples" in err) == (1, True)
    (tmp_path / "labels.csv").write_text("item_id,label,question\npb1,a cup,product_name\npb1,a mug,product_name\n")
    code, _, err = curate("queries", dataset, "--labels", tmp_path / "labels.csv")
    assert (code, "query 'pb1' appears more than once" in err) == (1, True)


def test_an_id_of_two_domains_is_no_name():
    with pytest.raises(DatasetError, match="the id '1' is that of samples of two domains"):
        queries_from_labels([], {domain: SampleLabels(["1"], ["a"]) for domain in ("page", "video")})
