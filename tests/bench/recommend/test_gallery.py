import numpy as np
import pytest

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.recommend.gallery import align_items, choose_domain, interactions_sha256
from rope.bench.recommend.interactions import Interactions, Sequences
from rope.errors import EmbeddingError, UsageError

KNOWN = Interactions(["u"], ["c", "a"], Sequences.of([[0, 1, 0]]))


def embeddings(ids):
    return DomainEmbeddings(list(ids), np.arange(1, 1 + len(ids), dtype=np.float32)[:, None], "float32")


def test_every_item_with_a_vector_is_in_the_gallery_in_order_of_id():
    items, known = align_items(embeddings(["c", "b", "10", "a"]), KNOWN, "page")
    assert items.sample_ids == known.item_ids == ["a", "b", "c", "10"]
    assert items.vectors[:, 0].tolist() == [4, 2, 1, 3]
    assert known.taken[0].tolist() == [2, 0, 2]


@pytest.mark.parametrize(
    ("ids", "message"), [("ab", "1 sample without an embedding: 'c'"), ("aac", "1 sample with more than one embedding")]
)
def test_an_item_has_one_vector(ids, message):
    with pytest.raises(EmbeddingError, match=message):
        align_items(embeddings(ids), KNOWN, "page")


@pytest.mark.parametrize(
    ("found", "wanted", "chosen"), [(["video"], None, "video"), (["page", "video"], "page", "page")]
)
def test_the_items_are_of_the_domain_named_or_of_the_only_one(found, wanted, chosen):
    assert choose_domain(dict.fromkeys(found, embeddings("a")), wanted) == chosen


def test_one_of_several_domains_has_to_be_named():
    with pytest.raises(UsageError, match="of page, video; say which are the items"):
        choose_domain(dict.fromkeys(["page", "video"], embeddings("a")), None)


@pytest.mark.parametrize(
    "other",
    [
        Interactions(["v"], ["c", "a"], KNOWN.taken),
        Interactions(["u"], ["c", "b"], KNOWN.taken),
        Interactions(["u"], ["c", "a"], Sequences.of([[0, 0, 1]])),
    ],
)
def test_the_hash_tells_users_items_and_order_apart(other):
    assert interactions_sha256(other) != interactions_sha256(KNOWN)
