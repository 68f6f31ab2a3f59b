"""Small files of Parquet that stand for more than fits in memory: each is refused before it is read."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboard.bounded import MAX_ID_BYTES
from leaderboard.parquet_headers import pages_of, read_footer
from leaderboard.vectors import check_vectors_file
from rope.errors import RopeError

ROOT = Path(__file__).parents[2]
ROWS = 20_000
LONG = "x" * (1 << 20)


def write(path, n=ROWS, sample_id=None, domain="page", dim=2, **options):
    """A file of vectors; by default all is as it should be, and every row alike."""
    numbers = pa.FixedSizeListArray.from_arrays(pa.repeat(pa.scalar(np.float16(1)), n * dim), dim)
    ids = pa.array([str(i) for i in range(n)]) if sample_id is None else sample_id
    table = pa.table({"domain": pa.repeat(pa.scalar(domain), n), "sample_id": ids, "embedding": numbers})
    pq.write_table(table.replace_schema_metadata(options.pop("metadata", None)), path, compression="zstd", **options)
    return path


def of_dictionary(path):
    """One text of a megabyte in a dictionary, and a run of references to it: kilobytes, and gigabytes once read."""
    numbers = pa.FixedSizeListArray.from_arrays(pa.repeat(pa.scalar(np.float16(1)), 2 * 64), 2)
    columns = [pa.repeat(pa.scalar("page"), 64), pa.repeat(pa.scalar(LONG), 64), numbers]
    batch = pa.record_batch(columns, ["domain", "sample_id", "embedding"])
    with pq.ParquetWriter(path, batch.schema, compression="zstd", dictionary_pagesize_limit=2 << 20) as writer:
        for _ in range(10):
            writer.write_batch(batch)
    assert path.stat().st_size < 10_000


def of_plain_pages(path):
    write(path, 64, sample_id=pa.repeat(pa.scalar(LONG), 64), use_dictionary=False)


def of_prefixes(path):
    encodings = {"sample_id": "DELTA_BYTE_ARRAY"}
    write(path, 64, sample_id=pa.repeat(pa.scalar(LONG), 64), use_dictionary=["domain"], column_encoding=encodings)


def of_runs(path):
    write(path, 1000, dim=8192)


def of_footer(path):
    write(path, metadata={"x": "y" * (2 << 20)})


def of_row_groups(path):
    write(path, 1200, row_group_size=1)


def of_rows(path):
    write(path, ROWS + 1)


def of_columns(path):
    nested = pa.array([[[1]]] * 10)
    pq.write_table(pa.table({"domain": ["page"] * 10, "sample_id": ["1"] * 10, "embedding": nested}), path)


def of_long_id(path):
    write(path, sample_id=pa.array(["y" * 513, *(str(i) for i in range(ROWS - 1))]))


def of_bad_text(path):
    bytes_ = pa.array([b"\xff\xfe", *(str(i).encode() for i in range(ROWS - 1))])
    write(path, sample_id=pa.StringArray.from_buffers(ROWS, *bytes_.buffers()[1:]))


def of_nulls(path):
    write(path, sample_id=pa.array([None, *(str(i) for i in range(ROWS - 1))]))


def of_page_header(path):
    """A header that says its page unpacks to 128 MiB: what Arrow would allocate, whatever the footer says."""
    write(path, dim=60, use_dictionary=False, data_page_size=1 << 20)
    data = bytearray(path.read_bytes())
    at = pq.ParquetFile(path).metadata.row_group(0).column(2).data_page_offset
    assert data[at : at + 3] == b"\x15\x00\x15"  # type: data page; then the size once unpacked
    assert data[at + 5] >= 128  # four bytes
    assert data[at + 6] < 128
    data[at + 3 : at + 7] = b"\xfe\xff\xff\x7f"
    path.write_bytes(data)


BOMBS = [
    (of_dictionary, "a text of more than 512 bytes"),
    (of_plain_pages, "a page of"),
    (of_prefixes, "few bytes can stand for long values"),
    (of_runs, "bytes of numbers"),
    (of_footer, "a footer of"),
    (of_row_groups, "row groups"),
    (of_rows, "20,001 rows, expected 20,000"),
    (of_columns, "expected domain: string"),
    (of_long_id, "a text of more than 512 bytes"),
    (of_bad_text, "UTF8|UTF-8"),
    (of_nulls, "holds a null"),
    (of_page_header, "a page of"),
]


N_ROWS = {of_dictionary: 640, of_plain_pages: 64, of_prefixes: 64, of_row_groups: 1200, of_columns: 10, of_runs: 1000}


@pytest.mark.parametrize(("bomb", "reason"), BOMBS, ids=[bomb.__name__ for bomb, _ in BOMBS])
def test_a_bomb_is_refused(bomb, reason, tmp_path, monkeypatch):
    bomb(tmp_path / "a.parquet")
    if bomb is of_runs:  # so that the file need not stand for more than the true bound
        monkeypatch.setattr("leaderboard.vectors.MAX_BYTES", 8 << 20)
    with pytest.raises(RopeError, match=reason):
        check_vectors_file(tmp_path / "a.parquet", N_ROWS.get(bomb, ROWS))


PROGRAM = """
import resource, sys
from pathlib import Path
from leaderboard.vectors import check_vectors_file
from rope.errors import RopeError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, n in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        check_vectors_file(Path(name), int(n))
    except RopeError:
        continue
    sys.exit(f"{name} was accepted")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_no_bomb_takes_memory(tmp_path):
    """Unpacked, these take up to 640 MB; refused in a process that needs less than 100 beside its imports."""
    words = []
    for bomb in (of_dictionary, of_plain_pages, of_prefixes, of_page_header):
        bomb(tmp_path / bomb.__name__)
        words += [str(tmp_path / bomb.__name__), str(N_ROWS.get(bomb, ROWS))]

    def limited():
        resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, cwd=ROOT, preexec_fn=limited
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 100


@pytest.mark.parametrize("dim", [1, 16, 3000])
def test_what_is_as_it_should_be_passes(tmp_path, dim):
    check_vectors_file(write(tmp_path / "a.parquet", 700, dim=dim), 700)


@pytest.mark.parametrize(("length", "is_refused"), [(MAX_ID_BYTES, False), (MAX_ID_BYTES + 1, True)])
def test_an_id_may_be_as_long_as_said(length, is_refused, tmp_path):
    path = write(tmp_path / "a.parquet", 1, sample_id=pa.array(["x" * length]))
    if is_refused:
        with pytest.raises(RopeError, match="more than 512 bytes"):
            check_vectors_file(path, 1)
    else:
        check_vectors_file(path, 1)


def test_sizes_are_those_that_pyarrow_states_of_an_honest_file(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table({"n": rng.normal(size=50_000), "t": [str(i % 700) for i in range(50_000)]})
    for options in ({}, {"use_dictionary": False}, {"data_page_version": "2.0"}, {"data_page_size": 1000}):
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=20_000, compression="zstd", **options)
        metadata, footer = pq.ParquetFile(tmp_path / "a.parquet").metadata, read_footer(tmp_path / "a.parquet")
        assert (footer.n_rows, footer.created_by) == (metadata.num_rows, metadata.created_by)
        for i, (n_rows, chunks) in enumerate(footer.row_groups):
            assert n_rows == metadata.row_group(i).num_rows
            for j, chunk in enumerate(chunks):
                stated, pages = metadata.row_group(i).column(j), list(pages_of(tmp_path / "a.parquet", chunk))
                assert (chunk.name, chunk.n_values) == (stated.path_in_schema, stated.num_values)
                assert sum(page.n_values for page in pages if not page.is_dictionary) == stated.num_values
                assert any(page.is_dictionary for page in pages) == stated.has_dictionary_page
                assert 0 <= stated.total_uncompressed_size - sum(page.n_bytes for page in pages) < 200 * len(pages)


def test_a_damaged_file_is_refused_with_a_sentence_wherever_the_damage_is(tmp_path):
    """One byte after another is changed; either the file is refused, or it is still within all bounds."""
    path = write(tmp_path / "a.parquet", 5)
    sound = path.read_bytes()
    refused = 0
    for at in range(0, len(sound), 4):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x5A]) + sound[at + 1 :])
        try:
            check_vectors_file(path, 5)
        except RopeError:
            refused += 1
    assert refused > len(sound) // 16
