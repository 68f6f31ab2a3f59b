"""A sample that is drawn division by division is the one that is drawn at once."""

import tempfile

import numpy as np
import pyarrow as pa
import pytest

from rope.curation import scattered
from rope.curation.sampling.divided import divided_weights
from rope.curation.sampling.sample import SampleSize, Units, draw_sample, key_rows, row_weights, units_of
from rope.errors import UsageError


def rows_of(seed, n_rows):
    generator = np.random.default_rng(seed)
    keys = pa.array([f"k{i}" for i in generator.integers(0, 900, n_rows)])
    categories = pa.array([[None, "b", "a", "c"][i] for i in generator.integers(0, 4, n_rows)])
    domains = pa.array([("page", "video", "live")[i] for i in generator.integers(0, 3, n_rows)])
    return keys, categories, domains


def parts_of(columns, lengths):
    """The rows in parts of such lengths."""
    start = 0
    for n in lengths:
        yield key_rows(*(column.slice(start, n) for column in columns), seed=3)
        start += n


SIZES = [SampleSize(rate=0.1), SampleSize(count=300), SampleSize(rate=1.0), SampleSize(rate=0.001, floor=1)]


@pytest.mark.parametrize("division_rows", [10**6, 1000, 100, 7])
@pytest.mark.parametrize("size", SIZES)
def test_the_weights_are_bit_for_bit_those_of_a_sample_drawn_at_once(size, division_rows):
    columns, lengths = rows_of(0, 2800), [400, 0, 1100, 1, 1299]
    whole = key_rows(*columns, seed=3)
    expected = row_weights(draw_sample(units_of(whole), size), whole.hashes)
    found = list(divided_weights(parts_of(columns, lengths), 2800, size, division_rows))
    assert [len(part) for part in found] == lengths
    assert np.concatenate(found).tobytes() == expected.tobytes()
    assert np.count_nonzero(expected) > 0


def test_the_largest_array_is_that_of_a_part_however_many_rows_and_however_much_is_drawn(monkeypatch):
    def largest(n_rows):
        sizes = []
        read, units = scattered._read, Units.__init__

        def seen(file, kind):
            sizes.append(len(read(file, kind)))
            return read(file, kind)

        def built(self, hashes, *others):
            sizes.append(len(hashes))
            units(self, hashes, *others)

        with monkeypatch.context() as patch:
            patch.setattr(scattered, "_read", seen)
            patch.setattr(Units, "__init__", built)
            keys = pa.array([f"k{i}" for i in range(n_rows)])
            columns = (keys, pa.nulls(n_rows, pa.string()), pa.array(["page"] * n_rows))
            weights = divided_weights(parts_of(columns, [50] * (n_rows // 50)), n_rows, SampleSize(rate=0.9), 500)
            assert sum(np.count_nonzero(part) for part in weights) == round(0.9 * n_rows)
        return max(sizes)

    assert largest(20_000) < 700
    assert largest(5_000) < 700


def test_a_pool_without_rows_gives_no_sample():
    assert list(divided_weights([], 0, SampleSize(rate=0.1))) == []


def test_no_file_is_left_where_the_size_does_not_fit_or_nobody_reads_on(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    columns = rows_of(1, 100)
    with pytest.raises(UsageError, match="count is 500"):
        next(divided_weights(parts_of(columns, [100]), 100, SampleSize(count=500)))
    started = divided_weights(parts_of(columns, [50, 50]), 100, SampleSize(rate=0.5), 30)
    next(started)
    assert list(tmp_path.iterdir())
    started.close()
    assert not list(tmp_path.iterdir())
