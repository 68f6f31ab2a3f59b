import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.wide import read_vectors, read_wanted
from rope.errors import DatasetError


def write(folder, *files):
    """Files of rows, whose embeddings are given."""
    paths, n = [], 0
    for i, vectors in enumerate(files):
        rows = {"id": [str(n + k) for k in range(len(vectors))], "domain": ["page"] * len(vectors)}
        paths.append(folder / f"{i}.parquet")
        pq.write_table(pa.table({**rows, "embedding": pa.array(vectors, pa.list_(pa.float32()))}), paths[-1])
        n += len(vectors)
    return paths


@pytest.mark.parametrize("wanted", [[0, 1, 2, 3], [1, 3], [3], []])
def test_vectors_of_wanted_rows_come_in_order_whatever_the_file(wanted, tmp_path):
    paths = write(tmp_path, [[0, 1], [2, 3]], [], [[4, 5], [6, 7]])
    mask = np.isin(np.arange(4), wanted)
    expected = np.arange(8, dtype=np.float32).reshape(4, 2)[mask]
    found = read_vectors(paths, mask, "merge")
    assert found.dtype == np.float32
    assert found.tolist() == expected.tolist()
    assert [name for table in read_wanted(paths, ["id"], mask) for name in table["id"].to_pylist()] == [
        str(i) for i in wanted
    ]


@pytest.mark.parametrize("second", [[[4, 5], None], [[4, 5], []], [[4, 5], [6, 7, 8]]])
def test_a_wanted_row_without_its_vector_is_named_and_others_may_lack_theirs(second, tmp_path):
    paths = write(tmp_path, [[0, 1]], second)
    with pytest.raises(DatasetError, match="merge: 1 rows have no embedding of 2 numbers, such as page '2'"):
        read_vectors(paths, np.array([True, True, True]), "merge")
    assert len(read_vectors(paths, np.array([True, True, False]), "merge")) == 2
