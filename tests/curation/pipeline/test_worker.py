from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.pipeline.manifest import read_manifest
from rope.curation.pipeline.operation import Outcome, rejects_of
from rope.curation.pipeline.pool import PoolSlice
from rope.curation.pipeline.shard_job import ShardAttempt, ShardJob
from rope.curation.pipeline.sources import DamagedError
from rope.curation.pipeline.worker import execute, settle
from rope.errors import DatasetError, UsageError
from rope.files import sha256_of
from tests.curation.poisons import blas_threads
from tests.curation.pools import write_rows


def batch(n):
    return pa.RecordBatch.from_pydict({"id": [str(i) for i in range(n)], "domain": ["page"] * n})


def refuse(*ids, error=ValueError):
    """An operation that raises where one of these ids is among the rows, and the sizes of what it was given."""
    sizes = []

    def run(rows):
        sizes.append(rows.num_rows)
        if set(ids) & set(rows["id"].to_pylist()):
            raise error("no")
        return Outcome(rows, rejects_of(rows.slice(0, 0), ""))

    return run, sizes


@pytest.mark.parametrize("ids", [(), ("0",), ("3", "4"), ("0", "7"), tuple("01234567")])
def test_rows_that_raise_come_out_alone_and_all_rows_in_their_order(ids):
    run, _ = refuse(*ids)
    settled = list(settle(batch(8), run))
    raised = [row["id"] for one in settled if not isinstance(one, Outcome) for row in one.to_pylist()]
    kept = [row_id for one in settled if isinstance(one, Outcome) for row_id in one.kept["id"].to_pylist()]
    assert (raised, kept) == (list(ids), [str(i) for i in range(8) if str(i) not in ids])


def test_one_bad_row_costs_two_calls_a_halving():
    run, sizes = refuse("5")
    list(settle(batch(64), run))
    assert len(sizes) == 13


@pytest.mark.parametrize("error", [UsageError, ImportError, MemoryError])
def test_what_is_not_the_fault_of_rows_is_raised(error):
    run, _ = refuse("5", error=error)
    with pytest.raises(error):
        list(settle(batch(8), run))


@pytest.fixture
def shard(tmp_path):
    """A shard of rows 3 to 8 of a file with ten."""
    write_rows(tmp_path / "in.parquet", [f"r{i}" for i in range(10)])
    source = PoolSlice(tmp_path / "in.parquet", 3, 9, sha256_of(tmp_path / "in.parquet"))
    use = "tests.curation.poisons:POISON"
    return ShardJob("s", "00000", "key", use, {"rejects": ["r4"]}, (source,), tmp_path / "out", 4, 9.0, 0.0, True, True)


def test_a_range_of_rows_becomes_a_shard_that_accounts_for_them(shard):
    assert not shard.is_done
    execute(ShardAttempt(shard, lethal={2: "hung"}))
    assert shard.is_done
    manifest = read_manifest(shard.manifest_path)
    counts = [(count.domain, count.fate, count.reason, count.rows) for count in manifest.counts]
    assert manifest.rows_in == 6
    assert counts == [
        ("live", "kept", None, 1),
        ("live", "quarantined", "hung", 1),
        ("page", "kept", None, 2),
        ("video", "kept", None, 1),
        ("video", "rejected", "unwanted", 1),
    ]
    assert [part.kept.rows + part.rejects.rows for part in manifest.parts] == [6]


def test_files_of_a_shard_try_no_dictionaries(shard):
    execute(ShardAttempt(shard))
    columns = pq.read_metadata(shard.folder / "00000.kept.parquet").row_group(0).to_dict()["columns"]
    assert not [column["path_in_schema"] for column in columns if column["has_dictionary_page"]]


def test_files_of_this_machine_need_no_folder_for_copies_which_a_killed_worker_would_leave(
    shard, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    execute(ShardAttempt(shard))
    assert shard.is_done


def test_trying_rows_writes_nothing(shard):
    execute(ShardAttempt(shard, rows=(0, 3)))
    assert not shard.folder.exists()


def test_rows_that_are_not_as_they_were_are_not_read(shard):
    write_rows(shard.sources[0].path, ["x"] * 10)
    with pytest.raises(DamagedError, match=r"in\.parquet"):
        execute(ShardAttempt(shard))


@pytest.mark.parametrize("name", ["00000.kept.parquet", "00000.rejects.parquet", "00000.json"])
def test_a_shard_without_one_of_its_files_is_not_done(name, shard):
    execute(ShardAttempt(shard))
    (shard.folder / name).unlink()
    assert not shard.is_done


def test_an_operation_that_fails_on_no_rows_is_told_apart_from_bad_rows(shard):
    broken = replace(shard, use="tests.curation.poisons:BROKEN", options={})
    with pytest.raises(DatasetError, match="fails on a batch without rows"):
        execute(ShardAttempt(broken))


def test_the_arithmetic_of_rows_has_one_thread_whatever_the_number_of_workers(shard):
    before = blas_threads()
    execute(ShardAttempt(replace(shard, use="tests.curation.poisons:THREADS", options={})))
    [part] = read_manifest(shard.manifest_path).parts
    assert pq.read_table(shard.folder / part.kept.name)["threads"].unique().to_pylist() == [1]
    assert blas_threads() == before
