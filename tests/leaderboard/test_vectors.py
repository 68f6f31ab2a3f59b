import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboard.vectors import as_float16, check_vectors_file, write_float16
from rope.bench.embeddings import DomainEmbeddings
from rope.bench.readers import read_embeddings
from rope.errors import RopeError


def vectors(n=50, dim=7, scale=1.0):
    array = (scale * np.random.default_rng(0).normal(size=(n, dim))).astype(np.float32)
    return DomainEmbeddings([str(i) for i in range(n)], array, "float32")


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_what_is_written_is_read_again_exactly(tmp_path, scale):
    stored = as_float16(vectors(scale=scale))
    write_float16(tmp_path / "a.parquet", {"page": stored})
    check_vectors_file(tmp_path / "a.parquet", 50)
    again = read_embeddings([tmp_path / "a.parquet"])["page"]
    assert again.sample_ids == stored.sample_ids
    np.testing.assert_array_equal(again.vectors, stored.vectors)
    np.testing.assert_allclose(np.linalg.norm(stored.vectors, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"domain": ["page"], "sample_id": ["1"]}, "columns domain: string, sample_id: string; expected"),
        ({"domain": ["page"], "sample_id": [1], "embedding": [[1.0]]}, "expected domain: string, sample_id: string"),
    ],
)
def test_other_columns_are_refused(tmp_path, columns, reason):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(RopeError, match=reason):
        check_vectors_file(tmp_path / "a.parquet", 1)


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    """A kilobyte of Parquet can stand for gigabytes of one repeated id."""
    monkeypatch.setattr("leaderboard.vectors.MAX_BYTES", 1 << 20)
    n, huge = 4, "x" * (1 << 20)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(n, np.float16)), 1)
    table = pa.Table.from_arrays(
        [pa.repeat(pa.scalar("page"), n), pa.repeat(pa.scalar(huge), n), lists], ["domain", "sample_id", "embedding"]
    )
    pq.write_table(table, tmp_path / "bomb.parquet", compression="zstd", use_dictionary=False)
    assert (tmp_path / "bomb.parquet").stat().st_size < 1 << 20
    with pytest.raises(RopeError, match="once decompressed"):
        check_vectors_file(tmp_path / "bomb.parquet", n)
