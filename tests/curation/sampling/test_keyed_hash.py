import hashlib

import numpy as np
import pyarrow as pa
import pytest

from rope.curation.sampling.keyed_hash import keyed_hash
from rope.errors import UsageError

KEYS = pa.array([f"item{i}" for i in range(70_000)])


def test_it_is_blake2b_with_the_seed_as_salt_and_the_purpose_as_person():
    digest = hashlib.blake2b("页".encode(), digest_size=8, salt=bytes([7] + [0] * 7), person=b"sample").digest()
    assert keyed_hash(pa.array(["页"]), seed=7, purpose="sample").tolist() == [int.from_bytes(digest, "little")]


@pytest.mark.parametrize(
    "layout",
    [
        pa.chunked_array([KEYS.slice(0, 3), KEYS.slice(3)]),
        KEYS.dictionary_encode(),
        KEYS.cast(pa.large_string()),
        KEYS.cast(pa.binary()),
    ],
)
def test_the_layout_of_the_keys_changes_nothing(layout):
    expected = keyed_hash(KEYS, seed=0, purpose="sample")
    assert np.array_equal(keyed_hash(layout, seed=0, purpose="sample"), expected)


@pytest.mark.parametrize(("seed", "purpose"), [(1, "sample"), (0, "split")])
def test_seeds_and_purposes_are_independent(seed, purpose):
    a = keyed_hash(KEYS, seed=0, purpose="sample").astype(float)
    b = keyed_hash(KEYS, seed=seed, purpose=purpose).astype(float)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02


def test_the_numbers_are_uniform():
    tops = keyed_hash(KEYS, seed=0, purpose="sample") >> np.uint64(60)
    assert np.bincount(tops.astype(int), minlength=16) == pytest.approx(70_000 / 16, rel=0.06)


def test_no_keys_give_no_numbers():
    assert keyed_hash(pa.array([], pa.string()), seed=0, purpose="sample").shape == (0,)
    assert keyed_hash(pa.chunked_array([], pa.string()), seed=0, purpose="sample").shape == (0,)


def test_a_null_key_is_named():
    with pytest.raises(UsageError, match="1 of 2 keys are null, first in row 1"):
        keyed_hash(pa.array(["a", None]), seed=0, purpose="sample")
