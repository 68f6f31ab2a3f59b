"""Vectors in memory meet their labels by id: another order gives the same numbers, other ids an error."""

import numpy as np
import pytest

from rope.bench.attributes.columns import Column
from rope.bench.attributes.examples import gather
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.one_shot import Draws
from rope.bench.quick import quick_score
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.score import score
from rope.bench.tsne import choose_points
from rope.dataset.directory import SampleLabels
from rope.domain import DOMAINS
from rope.errors import EmbeddingError

IDS = [f"s{i}" for i in range(12)]
PRODUCTS = [f"p{i % 4}" for i in range(12)]
LABELS = {domain: SampleLabels(IDS, PRODUCTS) for domain in DOMAINS}
COLUMN = Column("colour", False, {f"p{i}": (f"c{i}",) for i in range(4)})

USES = {
    "score": lambda given: score(given, LABELS, Draws(seed=0, trials=2), ComputeSettings()).headline,
    "quick": lambda given: quick_score(given, LABELS, ComputeSettings()).headline,
    "tsne": lambda given: choose_points(given, LABELS, n_products=4, seed=0).vectors.tolist(),
    "attributes": lambda given: gather(given, LABELS, COLUMN, ["c0", "c1", "c2", "c3"]).examples.units.tolist(),
}


def vectors_of(order):
    """One direction per product, with rows in the order given."""
    rows = np.eye(4, dtype=np.float32)[[row % 4 for row in order]]
    return {domain: DomainEmbeddings([IDS[row] for row in order], rows, "float32") for domain in DOMAINS}


@pytest.mark.parametrize("use", USES)
def test_the_order_of_rows_changes_nothing(use):
    shuffled = vectors_of(np.random.default_rng(0).permutation(12).tolist())
    assert USES[use](shuffled) == USES[use](vectors_of(range(12)))
    assert len(shuffled) == 3


@pytest.mark.parametrize("use", USES)
def test_ids_of_other_samples_are_refused(use):
    given = vectors_of(range(12))
    given["video"] = DomainEmbeddings([*IDS[1:], "x"], given["video"].vectors, "float32")
    with pytest.raises(EmbeddingError, match=r"(?s)1 sample without an embedding: 's0'.*does not have: 'x'"):
        USES[use](given)


def test_perfect_vectors_score_one_in_any_order():
    assert USES["score"](vectors_of(range(11, -1, -1))) == 1
