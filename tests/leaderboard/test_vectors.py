import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboard.vectors import MAX_BYTES, as_stored, check_vectors_file, stored_bytes, write_vectors
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.io.readers import read_embeddings
from rope.errors import FileError, RopeError


def vectors(n=50, dim=7, scale=1.0):
    array = (scale * np.random.default_rng(0).normal(size=(n, dim))).astype(np.float32)
    return DomainEmbeddings([str(i) for i in range(n)], array, "float32")


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_what_is_written_is_read_again_exactly(tmp_path, scale, dtype):
    stored = as_stored(vectors(scale=scale), dtype)
    write_vectors(tmp_path / "a.parquet", {"page": stored})
    check_vectors_file(tmp_path / "a.parquet", 50)
    again = read_embeddings([tmp_path / "a.parquet"])["page"]
    assert (again.sample_ids, again.stored_dtype) == (stored.sample_ids, dtype)
    np.testing.assert_array_equal(again.vectors, stored.decoded().vectors)
    np.testing.assert_allclose(np.linalg.norm(again.vectors, axis=1), 1, atol=1e-2)


def test_int8_is_the_integers_times_the_scale_of_the_row_in_float32():
    """Number by number in float64, which holds the product of 7 and 24 bits exactly, rounded once."""
    stored = as_stored(vectors(n=20, dim=300), "int8")
    products = [
        [np.float32(float(number) * float(scale)) for number in row]
        for row, scale in zip(stored.numbers, stored.scales, strict=True)
    ]
    np.testing.assert_array_equal(stored.decoded().vectors, np.array(products, np.float32))
    assert np.abs(stored.numbers.astype(int)).max(axis=1).tolist() == [127] * 20


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_blocks_of_rows_change_no_bit(monkeypatch, dtype):
    whole = as_stored(vectors(n=23), dtype).decoded().vectors
    monkeypatch.setattr("leaderboard.vectors._ROWS_A_BLOCK", 5)
    np.testing.assert_array_equal(as_stored(vectors(n=23), dtype).decoded().vectors, whole)


def test_int8_is_within_half_a_step_of_the_unit_vector():
    given = vectors(n=20, dim=300)
    stored = as_stored(given, "int8")
    units = given.vectors / np.linalg.norm(given.vectors.astype(float), axis=1, keepdims=True)
    assert (np.abs(stored.decoded().vectors - units) <= 0.5001 * stored.scales[:, None]).all()


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize(("n", "dim"), [(1, 1), (2000, 1), (1000, 8), (1000, 9), (1000, 64), (300, 4096)])
def test_the_size_that_is_told_beforehand_is_that_of_the_file_or_little_more(tmp_path, n, dim, dtype):
    given = {"page": vectors(n, dim), "video": vectors(n, dim)}
    write_vectors(tmp_path / "a.parquet", {domain: as_stored(rows, dtype) for domain, rows in given.items()})
    n_bytes, told = (tmp_path / "a.parquet").stat().st_size, stored_bytes(given, dtype)
    assert n_bytes <= told <= n_bytes + 4096 + 40 * n


@pytest.mark.parametrize(("dim", "dtype"), [(1536, "float16"), (2560, "float16"), (4096, "int8")])
def test_vectors_of_todays_models_fit_at_the_size_of_rope(dim, dtype):
    ids = [f"{n:012d}" for n in range(92_179)]
    rows = DomainEmbeddings(ids, np.broadcast_to(np.float32(0), (92_179, 1)).copy(), "float32")
    without_numbers = stored_bytes({"page": rows}, dtype) - 92_179 * np.dtype(dtype).itemsize
    assert without_numbers + 92_179 * dim * np.dtype(dtype).itemsize <= MAX_BYTES


def write_int8(path, scale, kind):
    columns = {"domain": ["page"] * 2, "sample_id": ["1", "2"], "embedding": pa.array([b"ab", b"cd"], pa.binary(2))}
    if kind is not None:
        columns["scale"] = pa.array([1, scale], kind)
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e-40, np.nan, np.inf, None])
def test_a_scale_that_is_no_positive_number_is_refused(tmp_path, scale):
    write_int8(tmp_path / "a.parquet", scale, pa.float32())
    with pytest.raises(FileError, match=r"a.parquet: row 2: the scale is .*, expected a positive number"):
        read_embeddings([tmp_path / "a.parquet"])


@pytest.mark.parametrize(("scale", "kind"), [(None, None), (1.0, pa.float64()), (1, pa.int32())])
def test_integers_without_a_scale_are_refused(tmp_path, scale, kind):
    write_int8(tmp_path / "a.parquet", scale, kind)
    with pytest.raises(FileError, match="or int8 as a fixed_size_binary with a column scale"):
        read_embeddings([tmp_path / "a.parquet"])


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
