import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.bench.io.embeddings import DomainEmbeddings, align, embeddings_sha256
from rope.dataset.directory import SampleLabels
from rope.errors import EmbeddingError


def labels(**ids) -> dict:
    return {domain: SampleLabels(names, ["product"] * len(names)) for domain, names in ids.items()}


def given_as(ids, vectors) -> DomainEmbeddings:
    return DomainEmbeddings(list(ids), np.array(vectors, np.float32), "float32")


@given(st.permutations(range(6)))
def test_rows_come_in_the_order_of_the_labels(order):
    shuffled = given_as([str(i) for i in order], [[i, 1] for i in order])
    wanted = [str(i) for i in range(6)]
    aligned = align({"page": shuffled}, labels(page=wanted))["page"]
    assert aligned.sample_ids == wanted
    assert aligned.vectors.tolist() == [[i, 1] for i in range(6)]


def test_rows_in_order_are_not_copied():
    embeddings = given_as("ab", [[1], [2]])
    assert align({"page": embeddings}, labels(page=["a", "b"]))["page"] is embeddings


def test_aligning_holds_one_domain_twice_at_most():
    n, dim = 2000, 64
    ids = [str(i) for i in range(n)]
    wanted = labels(page=ids, video=ids, live=ids)
    embeddings = {domain: given_as(ids[::-1], np.ones((n, dim))) for domain in wanted}
    tracemalloc.start()
    align(embeddings, wanted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert embeddings == {}
    # The three aligned domains, of which the first two replace what they were made of.
    assert peak < 3.5 * n * dim * 4


ONE = labels(page=["a", "b"])


@pytest.mark.parametrize(
    ("ids", "vectors", "expected"),
    [
        ("a", [[1, 0]], "page: 1 sample without an embedding: 'b'"),
        ("abzy", np.ones((4, 2)), "page: 2 samples with an embedding that the dataset does not have: 'y', 'z'"),
        ("aba", np.ones((3, 2)), "page: 1 sample with more than one embedding: 'a'"),
        ("ab", [[1, 0], [np.nan, 1]], "page: 1 sample with NaN or infinity in the embedding: 'b'"),
        ("ab", [[1, 0], [-np.inf, 1]], "page: 1 sample with NaN or infinity in the embedding: 'b'"),
        ("ab", [[1, 0], [0, -0.0]], "page: 1 sample with an embedding of zeros, which has no direction: 'b'"),
        ("ab", np.ones((2, 0)), "page: the vectors have dimension 0"),
    ],
)
def test_what_does_not_fit_is_named(ids, vectors, expected):
    with pytest.raises(EmbeddingError) as caught:
        align({"page": given_as(ids, vectors)}, ONE)
    assert str(caught.value).splitlines() == ["the embeddings do not fit the dataset:", f"  {expected}"]


def test_all_problems_are_listed_at_once_and_the_input_is_left_alone():
    embeddings = {
        "page": given_as("aax", [[1, 0], [0, 0], [np.nan, 1]]),
        "video": given_as("v", [[1, 2, 3]]),
    }
    with pytest.raises(EmbeddingError) as caught:
        align(embeddings, labels(page=["a", "b"], video=["v"], live=["l", "m"]))
    assert str(caught.value).splitlines()[1:] == [
        "  the dimension differs between domains: page 2, video 3",
        "  page: 1 sample without an embedding: 'b'",
        "  page: 1 sample with an embedding that the dataset does not have: 'x'",
        "  page: 1 sample with more than one embedding: 'a'",
        "  page: 1 sample with NaN or infinity in the embedding: 'x'",
        "  page: 1 sample with an embedding of zeros, which has no direction: 'a'",
        "  live: no embeddings for any of its 2 samples",
    ]
    assert list(embeddings) == ["page", "video"]


def test_five_offenders_are_named_whatever_the_order():
    ids = [str(i) for i in range(20)]
    for order in (ids, ids[::-1]):
        with pytest.raises(EmbeddingError, match=r"20 samples without .*: '0', '1', '2', '3', '4', …"):
            align({"page": given_as("x", [[1]])}, labels(page=order))


def test_the_hash_is_of_the_documented_bytes():
    embeddings = given_as(["é", "a"], [[1, 2], [3, 4]])
    layout = struct.pack("<QQ", 2, 2) + b"\1\0\0\0a" + b"\2\0\0\0" + "é".encode() + struct.pack("<4f", 3, 4, 1, 2)
    assert embeddings_sha256(embeddings) == hashlib.sha256(layout).hexdigest()


@given(st.permutations(range(5)))
def test_the_hash_does_not_depend_on_the_order_of_rows(order):
    rows = np.arange(10).reshape(5, 2)
    shuffled = given_as([str(i) for i in order], rows[order])
    assert embeddings_sha256(shuffled) == embeddings_sha256(given_as("01234", rows))


@pytest.mark.parametrize(
    ("ids", "vectors"), [("ab", [[1, 2], [3, 5]]), ("ac", [[1, 2], [3, 4]]), ("ab", [[3, 4], [1, 2]])]
)
def test_the_hash_tells_other_rows_apart(ids, vectors):
    assert embeddings_sha256(given_as(ids, vectors)) != embeddings_sha256(given_as("ab", [[1, 2], [3, 4]]))


@pytest.mark.parametrize(
    ("ids", "vectors"),
    [(["a"], np.zeros((2, 1), np.float32)), (["a"], np.zeros((1, 1))), (["a"], np.zeros(1, np.float32))],
)
def test_arrays_that_are_not_rows_of_float32_are_refused(ids, vectors):
    with pytest.raises(ValueError, match="got"):
        DomainEmbeddings(ids, vectors, "float32")
