"""Planted search queries: of every kind, known in the dataset that is built, and no byte of the rest changes."""

import pytest

from rope.dataset.build import build_dataset
from rope.dataset.queries import add_queries
from rope.query import QUERY_KINDS
from rope.synthetic.release import write_release
from tests.synthetic.folders import hashes

OPTIONS = {"products": 4, "seed": 0, "mp4": False, "workers": 1, "progress": False, "validation_share": 0.75}
"""Three products in the split, two of which are look-alikes."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked")
    write_release(folder / "release", queries=True, **OPTIONS)
    return folder


def test_all_else_keeps_its_bytes(asked, tmp_path):
    write_release(tmp_path / "plain", **OPTIONS)
    write_release(tmp_path / "again", queries=True, **OPTIONS)
    with_queries, plain = hashes(asked / "release"), hashes(tmp_path / "plain")
    assert with_queries == hashes(tmp_path / "again")
    assert set(with_queries) - set(plain) == {"queries.jsonl"}
    assert {name for name in plain if plain[name] != with_queries[name]} == {"README.txt"}


def test_the_queries_fit_the_dataset_that_is_built(asked):
    build_dataset(asked / "release", asked / "data", progress=False)
    queries = add_queries(asked / "data", "validation", asked / "release/queries.jsonl").queries
    assert {one.kind for one in queries} == set(QUERY_KINDS)
    wide = [one for one in queries if one.query_id.endswith("wide")]
    assert {positive.grade for one in wide for positive in one.positives} >= {2, 3}
    groups = [one.group for one in queries if one.group]
    assert {groups.count(group) for group in groups} == {3}
    composed = [one for one in queries if one.kind == "composed"]
    assert all(one.negatives and len(one.excluded) == 1 for one in composed)
    assert any(one.negatives for one in queries if one.kind == "text")
