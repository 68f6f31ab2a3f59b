"""Which size of row groups: what a remote reader asks for, and what is sent again after a small change.

    python benchmarks/row_groups.py [--megabytes 64] [--image-bytes 12000]

Samples of 8 random images each are written by the writer of `rope build`, once for each size of row groups, with pages
cut by content and without. A sample is then read at random, and the file is compared with one in which a few samples
are missing and a few texts differ: what is sent again are the pieces that the Hub's store (Xet) has not got, pieces of
64 KB on average that are cut by a rolling hash of the bytes.
"""

import argparse
import hashlib
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rope.dataset.shards import writer_options
from rope.schema import SAMPLE_SCHEMA

FRAMES = 8
READS = 20
GROUPS_MB = (2, 4, 8, 16, 32, 64)
PIECE_BYTES = 8 << 10, 64 << 10, 128 << 10
"""Least, mean and most bytes of a piece."""


class CountedFile(io.RawIOBase):
    """A file that counts what is asked of it, as a server would see it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.requests = self.bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        n_bytes = self._file.readinto(buffer) or 0
        self.requests += 1
        self.bytes += n_bytes
        return n_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--image-bytes", type=int, default=12_000)
    options = parser.parse_args()
    n_rows = (options.megabytes << 20) // (FRAMES * options.image_bytes)
    rows = samples(n_rows, options.image_bytes)
    changed = with_changes(rows)
    print("| row group, MB | pages by content | requests a sample | MB a sample | ms a sample | sent again, MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size_mb in GROUPS_MB:
            for by_content in (False, True):
                before, after = (Path(folder) / name for name in ("before.parquet", "after.parquet"))
                write(rows, before, size_mb << 20, by_content)
                write(changed, after, size_mb << 20, by_content)
                asked = read_at_random(before, n_rows)
                sizes = pieces(after)
                again = sum(sizes[key] for key in sizes.keys() - pieces(before).keys())
                print(
                    f"| {size_mb} | {'yes' if by_content else 'no'} | {asked[0]:.1f} | {asked[1] / 1e6:.2f} "
                    f"| {asked[2] * 1e3:.1f} | {again / 1e6:.2f} |",
                    flush=True,
                )


def samples(n_rows: int, image_bytes: int) -> pa.Table:
    """Rows of random images of sizes around a mean, in the columns of a dataset."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(image_bytes // 2, image_bytes * 3 // 2, (n_rows, FRAMES))
    frames = [
        [{"bytes": rng.bytes(int(n)), "path": f"videos/{i}-{k}.jpg"} for k, n in enumerate(row)]
        for i, row in enumerate(sizes)
    ]
    columns = {
        "sample_id": [str(100_000 + i) for i in range(n_rows)],
        "product_id": [str(i // 12) for i in range(n_rows)],
        "text": [f"what is said of article {i} " * 8 for i in range(n_rows)],
        "frames": frames,
        "frame_times": [[30 * k for k in range(FRAMES)]] * n_rows,
        "category": [None] * n_rows,
    }
    return pa.table(columns, SAMPLE_SCHEMA)


def with_changes(rows: pa.Table) -> pa.Table:
    """The rows without one in 200, and with another text in one in 200."""
    texts = rows["text"].to_pylist()
    texts[100::200] = ["corrected"] * len(texts[100::200])
    kept = np.ones(len(rows), bool)
    kept[50::200] = False
    column = rows.schema.get_field_index("text")
    return rows.set_column(column, rows.schema.field("text"), pa.array(texts)).filter(pa.array(kept))


def write(rows: pa.Table, path: Path, group_bytes: int, by_content: bool) -> None:
    sizes = np.array([sum(len(frame["bytes"]) for frame in frames) for frames in rows["frames"].to_pylist()])
    options = writer_options(rows.schema)
    with pq.ParquetWriter(path, rows.schema, **options, use_content_defined_chunking=by_content) as writer:
        start = 0
        while start < len(rows):
            n_rows = max(1, int(np.searchsorted(np.cumsum(sizes[start:]), group_bytes, side="right")))
            writer.write_table(rows.slice(start, n_rows))
            start += n_rows


def read_at_random(path: Path, n_rows: int) -> tuple[float, float, float]:
    """Requests, bytes and seconds for one sample in a file whose end is known, on average."""
    metadata = pq.read_metadata(path)
    ends = np.cumsum([metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)])
    raw = CountedFile(path)
    started = time.perf_counter()
    for row in np.random.default_rng(1).integers(n_rows, size=READS):
        group = int(np.searchsorted(ends, row, side="right"))
        shard = pq.ParquetFile(raw, metadata=metadata, pre_buffer=True)
        shard.read_row_group(group).slice(int(row - (ends[group - 1] if group else 0)), 1).to_pylist()
    return raw.requests / READS, raw.bytes / READS, (time.perf_counter() - started) / READS


def pieces(path: Path) -> dict[bytes, int]:
    """Hash -> size of the pieces of a file."""
    content = np.fromfile(path, np.uint8)
    least, mean, most = PIECE_BYTES
    ends = np.flatnonzero((rolling_hash(content) >> np.uint64(64 - int(np.log2(mean)))) == 0) + 1
    found: dict[bytes, int] = {}
    start = 0
    while start < len(content):
        following = int(np.searchsorted(ends, start + least))
        end = min(start + most, len(content), int(ends[following]) if following < len(ends) else len(content))
        found[hashlib.blake2b(content[start:end].tobytes(), digest_size=16).digest()] = end - start
        start = end
    return found


def rolling_hash(content: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The gear hash of the 64 bytes that end at each place: the sum of a random number a byte, shifted by its age."""
    table = np.random.default_rng(64).integers(0, 1 << 64, 256, np.uint64, endpoint=False)
    hashes = table[content]
    for width in (1, 2, 4, 8, 16, 32):
        older = hashes[:-width] << np.uint64(width)
        hashes[width:] += older
    return hashes


if __name__ == "__main__":
    main()
