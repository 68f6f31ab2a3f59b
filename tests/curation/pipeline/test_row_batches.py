"""Runs of rows of a file: the same batches, whether a reader goes on from the run before or begins anew."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.pipeline import row_batches as module
from rope.curation.pipeline.places import open_parquet
from rope.curation.pipeline.row_batches import no_rows, row_batches

N = 1000


@pytest.fixture(autouse=True)
def _nothing_open() -> Iterator[None]:
    yield
    while module._open:
        module._open.pop().close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are opened, in order."""
    paths: list[Path] = []

    def note(path: Path) -> AbstractContextManager[pq.ParquetFile]:
        paths.append(path)
        return open_parquet(path)

    monkeypatch.setattr(module, "open_parquet", note)
    return paths


def file_of(folder: Path, group_rows: int, first: int = 0) -> Path:
    path = folder / "rows.parquet"
    pq.write_table(pa.table({"a": range(first, first + N)}), path, row_group_size=group_rows)
    return path


def read(path: Path, start: int, stop: int, batch_rows: int, goes_on: bool) -> list[tuple[int, list[int]]]:
    return [
        (first, rows["a"].to_pylist()) for first, rows in row_batches(path, start, stop, batch_rows, goes_on=goes_on)
    ]


@pytest.mark.parametrize("group_rows", [1, 7, 100, 333, N])
@pytest.mark.parametrize("batch_rows", [1, 10, 64, N])
def test_a_reader_that_goes_on_gives_the_batches_of_a_new_one(tmp_path: Path, group_rows: int, batch_rows: int) -> None:
    path = file_of(tmp_path, group_rows)
    rng = np.random.default_rng(group_rows + batch_rows)
    cuts = [0, *np.sort(rng.choice(N, 12, replace=False)).tolist(), N]
    runs = list(pairwise(cuts))
    some = [*runs, *[runs[i] for i in rng.choice(len(runs), 20)]]  # in order, as a worker, and then in any order

    for start, stop in some:
        found = read(path, start, stop, batch_rows, goes_on=True)

        assert found == read(path, start, stop, batch_rows, goes_on=False)
        assert [row for _, rows in found for row in rows] == list(range(start, stop))
        assert [first for first, _ in found] == np.cumsum([0, *(len(rows) for _, rows in found)])[:-1].tolist()


def test_runs_of_one_group_open_the_file_once(tmp_path: Path, opened: list[Path]) -> None:
    path = file_of(tmp_path, N)

    for start in range(0, N, 50):
        read(path, start, start + 50, 30, goes_on=True)

    assert opened == [path]


def test_a_reader_that_was_left_in_the_middle_is_not_gone_on_with(tmp_path: Path, opened: list[Path]) -> None:
    path = file_of(tmp_path, N)

    left = row_batches(path, 0, 500, 100, goes_on=True)
    next(left)
    left.close()

    assert read(path, 100, 150, 100, goes_on=True) == [(0, list(range(100, 150)))]
    assert opened == [path, path]


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    read(file_of(tmp_path, N), 0, 50, 30, goes_on=True)

    path = file_of(tmp_path, N, first=5 * N)

    assert read(path, 50, 60, 30, goes_on=True) == [(0, list(range(5 * N + 50, 5 * N + 60)))]


def test_a_file_with_fewer_rows_gives_those_that_it_has(tmp_path: Path) -> None:
    assert sum(len(rows) for _, rows in read(file_of(tmp_path, 100), 950, N + 10, 64, goes_on=True)) == 50


def test_no_rows_has_the_columns_without_views(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": pa.array(["x"], pa.string_view())}), path)

    assert no_rows(path).schema == pa.schema([("a", pa.string())])
    assert no_rows(path).num_rows == 0
